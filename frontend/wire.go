package frontend

import (
	"math/rand/v2"
	"sync"

	"ramen/frontend/sock"
	"ramen/frontend/stream"
	"ramen/protocol"
)

// wire is the FrameWriter of the transports that write bytes: a connection, and how frames look on it.
type wire struct {
	conn sock.Conn
	enc  encoder
	head *[]byte // held for the next write; nil: nothing is
}

var _ stream.FrameWriter = (*wire)(nil)

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

// writeHello writes the first bytes of a connection; where pushes follow at once, they wait for these, and go out in one write.
func (w *wire) writeHello(b *[]byte, more bool) stream.WriteResult {
	if !more {
		return w.write(b)
	}
	w.head = b
	return stream.WriteResult{}
}

// flush writes the first bytes where nothing has followed. It is called once the stream has its credit.
func (w *wire) flush() (stream.WriteResult, bool) {
	if w.head == nil {
		return stream.WriteResult{}, false
	}
	return w.write(buffers.Get().(*[]byte)), true
}

func (w *wire) write(b *[]byte) stream.WriteResult {
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
	return stream.WriteResult{N: n, Buffered: kept}
}

func (w *wire) WritePushes(batch []protocol.Push, _ bool) stream.WriteResult {
	b := buffers.Get().(*[]byte)
	for i := range batch {
		*b = w.enc.push(*b, &batch[i])
	}
	return w.write(b)
}

func (w *wire) WriteHeartbeat(unixMS int64) stream.WriteResult {
	b := buffers.Get().(*[]byte)
	*b = w.enc.heartbeat(*b, unixMS)
	return w.write(b)
}

func (w *wire) WriteGoAway(g *protocol.GoAway) stream.WriteResult {
	b := buffers.Get().(*[]byte)
	*b = w.enc.goaway(*b, g)
	return w.write(b)
}

func (w *wire) End(reason protocol.Reason, detail string) {
	b := buffers.Get().(*[]byte)
	if *b = w.enc.end(*b, reason, detail); len(*b) > 0 || w.head != nil {
		w.write(b)
	}
	w.conn.Shutdown()
}

func (w *wire) Abort(protocol.Reason, string) {
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
