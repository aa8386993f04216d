package poll

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"ramen/frontend/stream"
	"ramen/frontend/transport"
	"ramen/protocol"
)

// deviceStream is a stream that ends with its answer. SPEC 5. It writes its frames itself: pushes are collected until the gateway
// has no more to push at once, then answered together.
type deviceStream struct {
	stream    stream.Stream
	mostBytes int           // of an answer
	some      chan struct{} // closed when there is something to answer, and more was promised
	ready     chan struct{} // closed when it is to be answered

	// guarded by the stream's mutex until it has ended
	answer protocol.PollAnswer
	cost   int // of the messages
	done   bool
}

var _ stream.FrameWriter = (*deviceStream)(nil)

func newStream(mostBytes int) *deviceStream {
	return &deviceStream{mostBytes: mostBytes, some: make(chan struct{}), ready: make(chan struct{})}
}

// WritePushes implements stream.FrameWriter.
func (p *deviceStream) WritePushes(batch []protocol.Push, more bool) stream.WriteResult {
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
	return stream.WriteResult{N: n, Buffered: p.cost} // buffered until it is answered, so that no credit is returned
}

// WriteGoAway implements stream.FrameWriter: goaway is answered at once, and alone. What was collected stays unacked, and goes to the next stream.
func (p *deviceStream) WriteGoAway(g *protocol.GoAway) stream.WriteResult {
	p.answer.Messages, p.answer.GoAway = nil, g
	p.signal()
	return stream.WriteResult{}
}

// WriteHeartbeat implements stream.FrameWriter.
func (p *deviceStream) WriteHeartbeat(int64) stream.WriteResult { return stream.WriteResult{} }

// End implements stream.FrameWriter.
func (p *deviceStream) End(protocol.Reason, string) { p.signal() }

// Abort implements stream.FrameWriter.
func (p *deviceStream) Abort(protocol.Reason, string) { p.signal() }

func (p *deviceStream) signal() {
	if !p.done {
		p.done = true
		close(p.ready)
	}
}

// wait returns when it is time to answer; false where nobody waits for that any more.
func (p *deviceStream) wait(ctx context.Context, most time.Duration) bool {
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
			timer.Reset(min(most, pendingTime))
		}
	}
}

// writeTime is how long a device may take to read its answer.
const writeTime = 30 * time.Second

// write answers. The stream has ended: nothing changes the answer any more.
func (p *deviceStream) write(w http.ResponseWriter) {
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
	rc.SetWriteDeadline(time.Now().Add(writeTime))
	w.Write(*b)
	rc.Flush()
	rc.SetWriteDeadline(time.Time{})
	transport.ReleaseBuffer(b)
}
