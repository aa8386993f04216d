package frontend

import (
	"net/http"
	"strconv"
	"time"

	"ramen/protocol"
)

// pollStream is a stream that ends with its answer. PROTOCOL 5. It is its own outlet: pushes are collected until the gateway
// has no more to push at once, then answered together.
type pollStream struct {
	stream stream
	ready  chan struct{} // closed when there is something to answer

	// guarded by stream.mu
	answer protocol.PollAnswer
	cost   int // of the messages
	done   bool
}

var _ outlet = (*pollStream)(nil)

func (p *pollStream) push(batch []protocol.Push, more bool) written {
	n := 0
	for i := range batch {
		n += batch[i].Cost()
	}
	p.answer.Messages = append(p.answer.Messages, batch...)
	p.cost += n
	if !more || p.cost >= p.stream.srv.cfg.PollBytes {
		p.signal()
	}
	return written{n, p.cost} // kept until it is answered, so that no credit goes back
}

// goaway is answered at once, and alone: what was collected stays unacked, and goes to the next stream.
func (p *pollStream) goaway(g *protocol.GoAway) written {
	p.answer.Messages, p.answer.GoAway = nil, g
	p.signal()
	return written{}
}

func (p *pollStream) heartbeat(int64) written       { return written{} }
func (p *pollStream) end(protocol.Reason, string)   { p.signal() }
func (p *pollStream) abort(protocol.Reason, string) { p.signal() }

func (p *pollStream) signal() {
	if !p.done {
		p.done = true
		close(p.ready)
	}
}

// pollGrace is the least wait: a gateway on another machine needs as long to say what is pending.
const pollGrace = 100 * time.Millisecond

// poll serves GET /ramen/poll.
func (s *Server) poll(w http.ResponseWriter, r *http.Request) {
	from, refused := s.limits.enter(r.RemoteAddr)
	if refused != nil {
		s.fail(w, refused.err)
		return
	}
	q, err := s.newRequest(r)
	if err != nil {
		s.limits.exit(from)
		s.fail(w, err)
		return
	}
	p := &pollStream{ready: make(chan struct{})}
	p.stream.init(s, q, protocol.TransportPoll, p, from)
	lk, opened, err := p.stream.ask(r.Context(), q)
	if err != nil {
		s.limits.exit(from)
		s.fail(w, err)
		return
	}
	p.stream.start(lk, opened, func(h *protocol.Hello) (written, error) {
		p.answer = protocol.PollAnswer{Resumed: h.Resumed, Stream: h.Stream, Expired: h.Expired, Cursor: opened.Cursor}
		return written{}, nil
	})
	timer := time.NewTimer(max(time.Duration(q.wait)*time.Second, pollGrace))
	defer timer.Stop()
	select {
	case <-p.ready:
	case <-timer.C:
	case <-r.Context().Done():
		p.stream.gone()
		return
	}
	p.stream.finish(protocol.ReasonNone, "")
	p.write(w)
}

// pollWrite is how long a device may take to read its answer.
const pollWrite = 30 * time.Second

// write answers. The stream has ended: nothing changes the answer any more.
func (p *pollStream) write(w http.ResponseWriter) {
	p.stream.mu.Lock()
	a := &p.answer
	p.stream.mu.Unlock()
	if n := len(a.Messages); n > 0 {
		a.Cursor = a.Messages[n-1].Cursor
	}
	b := buffers.Get().(*[]byte)
	*b = append(protocol.AppendPollAnswer(*b, a), '\n')
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(len(*b)))
	rc := http.NewResponseController(w)
	rc.SetWriteDeadline(time.Now().Add(pollWrite))
	w.Write(*b)
	rc.Flush()
	rc.SetWriteDeadline(time.Time{})
	release(b)
}
