package frontend

import (
	"math/rand/v2"
	"sync"

	"ramen/frontend/sock"
	"ramen/protocol"
)

// wire is the outlet of the transports that write bytes: a connection, and how frames look on it.
type wire struct {
	conn sock.Conn
	enc  encoder
	head *[]byte // held for the next write; nil: nothing is
}

var _ outlet = (*wire)(nil)

// encoder is how one transport's frames look. It has no state.
type encoder interface {
	hello(b []byte, h *protocol.Hello) []byte
	push(b []byte, p *protocol.Push) []byte
	heartbeat(b []byte, unixMS int64) []byte
	goaway(b []byte, g *protocol.GoAway) []byte
	// end is what closes the transport in order, before the connection's own end.
	end(b []byte, reason protocol.Reason, detail string) []byte
}

// buffers are what frames are encoded into: a connection has none of its own.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 2048); return &b }}

// keptBuffer is the largest buffer that goes back to the pool, in bytes.
const keptBuffer = 256 << 10

// release gives a buffer back, unless it has grown large.
func release(b *[]byte) {
	if cap(*b) <= keptBuffer {
		*b = (*b)[:0]
		buffers.Put(b)
	}
}

// greet writes the first bytes of a connection; where pushes follow at once, they wait for these, and go out in one write.
func (w *wire) greet(s *stream, b *[]byte, more bool) written {
	if !more {
		return w.write(b)
	}
	w.head = b
	s.wroteMS = s.srv.clock.now() // as good as: sent is next
	return written{}
}

// sent sees to it that the first bytes are out, though nothing may have followed. It is called once the stream has its credit.
func (w *wire) sent(s *stream) {
	s.mu.Lock()
	if w.head != nil {
		b := buffers.Get().(*[]byte)
		s.wroteLocked(s.srv.clock.now(), w.write(b), 0)
	}
	s.mu.Unlock()
}

func (w *wire) write(b *[]byte) written {
	if head := w.head; head != nil {
		w.head = nil
		*head = append(*head, *b...)
		release(b)
		b = head
	}
	n := len(*b)
	kept, err := w.conn.Write(*b)
	release(b)
	if err != nil {
		kept = 0 // the connection's end is reported by itself
	}
	return written{n, kept}
}

func (w *wire) push(batch []protocol.Push, _ bool) written {
	b := buffers.Get().(*[]byte)
	for i := range batch {
		*b = w.enc.push(*b, &batch[i])
	}
	return w.write(b)
}

func (w *wire) heartbeat(unixMS int64) written {
	b := buffers.Get().(*[]byte)
	*b = w.enc.heartbeat(*b, unixMS)
	return w.write(b)
}

func (w *wire) goaway(g *protocol.GoAway) written {
	b := buffers.Get().(*[]byte)
	*b = w.enc.goaway(*b, g)
	return w.write(b)
}

func (w *wire) end(reason protocol.Reason, detail string) {
	b := buffers.Get().(*[]byte)
	if *b = w.enc.end(*b, reason, detail); len(*b) > 0 || w.head != nil {
		w.write(b)
	}
	w.conn.Shutdown()
}

func (w *wire) abort(protocol.Reason, string) {
	w.head = nil
	w.conn.Close()
}

// sseEncoder writes events. SPEC 5.
type sseEncoder struct{ beat string }

var (
	sseLF    = sseEncoder{protocol.SSEHeartbeat}
	sseEvent = sseEncoder{protocol.SSEHeartbeatEvent} // heartbeats that a page can see

	chunkedLF    = newChunked(sseLF)
	chunkedEvent = newChunked(sseEvent)
)

// sseEncoderOf is how events are written: in chunks or as they are, with heartbeats as events or not.
func sseEncoderOf(inChunks, beatEvent bool) encoder {
	switch {
	case inChunks && beatEvent:
		return chunkedEvent
	case inChunks:
		return chunkedLF
	case beatEvent:
		return sseEvent
	}
	return sseLF
}

// retry: is drawn for each stream, so that devices cut together do not come back together. ms, SPEC 5.
const (
	retryLeast, retryMost = 500, 2000
	// where a new stream is refused
	refusedLeast, refusedMost = 2000, 10_000
)

func draw(least, most int) int { return least + rand.IntN(most-least+1) }

func (sseEncoder) hello(b []byte, h *protocol.Hello) []byte {
	return protocol.AppendSSEHello(b, h, draw(retryLeast, retryMost))
}

func (sseEncoder) push(b []byte, p *protocol.Push) []byte { return protocol.AppendSSEPush(b, p) }

func (e sseEncoder) heartbeat(b []byte, _ int64) []byte { return append(b, e.beat...) }

func (sseEncoder) goaway(b []byte, g *protocol.GoAway) []byte {
	retry := 0
	if g.ReconnectMS > 0 {
		retry = draw(1, int(g.ReconnectMS))
	}
	return protocol.AppendSSEGoAway(b, g, retry)
}

func (sseEncoder) end(b []byte, _ protocol.Reason, _ string) []byte { return b }
