package frontend

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"ramen/frontend/admission"
	"ramen/frontend/stream"
	"ramen/frontend/transport"
	"ramen/protocol"
)

// pollStream is a stream that ends with its answer. SPEC 5. It writes its frames itself: pushes are collected until the gateway
// has no more to push at once, then answered together.
type pollStream struct {
	stream    stream.Stream
	mostBytes int           // of an answer
	some      chan struct{} // closed when there is something to answer, and more was promised
	ready     chan struct{} // closed when it is to be answered

	// guarded by the stream's mutex until it has ended
	answer protocol.PollAnswer
	cost   int // of the messages
	done   bool
}

var _ stream.FrameWriter = (*pollStream)(nil)

func (p *pollStream) WritePushes(batch []protocol.Push, more bool) stream.WriteResult {
	n := 0
	for i := range batch {
		n += batch[i].Cost()
	}
	p.cost += n
	if p.answer.GoAway == nil {
		if more && len(p.answer.Messages) == 0 {
			close(p.some)
		}
		p.answer.Messages = append(p.answer.Messages, batch...)
	}
	if !more || p.cost >= p.mostBytes {
		p.signal()
	}
	return stream.WriteResult{N: n, Buffered: p.cost} // kept until it is answered, so that no credit goes back
}

// goaway is answered at once, and alone: what was collected stays unacked, and goes to the next stream.
func (p *pollStream) WriteGoAway(g *protocol.GoAway) stream.WriteResult {
	p.answer.Messages, p.answer.GoAway = nil, g
	p.signal()
	return stream.WriteResult{}
}

func (p *pollStream) WriteHeartbeat(int64) stream.WriteResult { return stream.WriteResult{} }
func (p *pollStream) End(protocol.Reason, string)             { p.signal() }
func (p *pollStream) Abort(protocol.Reason, string)           { p.signal() }

func (p *pollStream) signal() {
	if !p.done {
		p.done = true
		close(p.ready)
	}
}

// pollGrace is how long what a gateway said is pending may take at most: it may be on another machine, or have been lost.
const pollGrace = time.Second

// poll serves GET /ramen/poll.
func (s *Server) poll(w http.ResponseWriter, r *http.Request) {
	permit, refused := s.Admission.Admit(r.RemoteAddr)
	defer permit.Close() // once the answer is written
	if refused != nil {
		s.Refusals.WriteError(w, refused.Err)
		return
	}
	h := headOf(r)
	q, err := s.Requests.Stream(h.Query, h.Authorization, h.LastEventID)
	if err != nil {
		s.Refusals.WriteError(w, err)
		return
	}
	p := &pollStream{mostBytes: s.cfg.PollBytes, some: make(chan struct{}), ready: make(chan struct{})}
	p.stream.Init(s.Streams, &q.Request, protocol.TransportPoll, p)
	opened, err := p.stream.Open(r.Context(), &q.Request)
	if err != nil {
		s.Refusals.WriteError(w, err)
		return
	}
	p.stream.Start(opened, admission.Permit{}, func(h *protocol.Hello) (stream.WriteResult, error) {
		p.answer = protocol.PollAnswer{Resumed: h.Resumed, Stream: h.Stream, Expired: h.Expired, Cursor: opened.Cursor}
		return stream.WriteResult{}, nil
	})
	wait := time.Duration(q.WaitS) * time.Second
	if opened.Pending {
		wait = max(wait, pollGrace)
	}
	if !p.wait(r.Context(), wait) {
		p.stream.OnGone()
		return
	}
	p.stream.Finish(protocol.ReasonNone, "")
	p.write(w)
}

// wait returns when it is time to answer; false where nobody waits for that any more.
func (p *pollStream) wait(ctx context.Context, most time.Duration) bool {
	timer := time.NewTimer(most)
	defer timer.Stop()
	some := p.some
	for {
		select {
		case <-p.ready:
			return true
		case <-timer.C:
			return true
		case <-ctx.Done():
			return false
		case <-some:
			some = nil
			timer.Reset(min(most, pollGrace))
		}
	}
}

// pollWrite is how long a device may take to read its answer.
const pollWrite = 30 * time.Second

// write answers. The stream has ended: nothing changes the answer any more.
func (p *pollStream) write(w http.ResponseWriter) {
	a := &p.answer
	if n := len(a.Messages); n > 0 {
		a.Cursor = a.Messages[n-1].Cursor
	}
	b := transport.Buffer()
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
	transport.ReleaseBuffer(b)
}
