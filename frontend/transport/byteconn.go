package transport

import (
	"sync"
	"time"

	"ramen/frontend/sock"
	"ramen/frontend/stream"
	"ramen/protocol"
)

// Encoder is how one transport's frames look. It has no state.
type Encoder interface {
	AppendHello(b []byte, h *protocol.Hello) []byte
	AppendPush(b []byte, p *protocol.Push) []byte
	AppendHeartbeat(b []byte, unixMS int64) []byte
	AppendGoAway(b []byte, g *protocol.GoAway) []byte
	// AppendEnd is what closes the transport in order, before the connection's own end.
	AppendEnd(b []byte, reason protocol.Reason, detail string) []byte
}

// ByteConn is the frame writer of transports that write bytes: a connection, and how frames look on it.
type ByteConn struct {
	conn sock.Conn
	enc  Encoder
	head *[]byte // waits for the next write; nil: none does
}

var _ stream.FrameWriter = (*ByteConn)(nil)

// NewByteConn has no connection yet: Attach gives it one, before anything is written.
func NewByteConn(enc Encoder) ByteConn { return ByteConn{enc: enc} }

// ConnSource is the connection that a request came on: one of package accept.
type ConnSource interface {
	Attach(h sock.Handler) (sock.Conn, error)
}

// Attach takes the connection of s from source; h hears of it. Where it fails, the connection is gone, and writes fail.
func (c *ByteConn) Attach(s *stream.Stream, source ConnSource, h sock.Handler) error {
	conn, err := source.Attach(h)
	if err != nil {
		c.conn = goneConn{}
		return err
	}
	c.conn = conn
	if p, ok := conn.(sock.Polled); ok {
		s.UsePoller(p.Poller())
	}
	return nil
}

// Use takes conn.
func (c *ByteConn) Use(conn sock.Conn) { c.conn = conn }

// buffers are what frames are encoded into: a connection has none of its own.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 2048); return &b }}

// maxPooled is the largest buffer that goes back to the pool, in bytes.
const maxPooled = 256 << 10

// Buffer is an empty buffer, for Write or ReleaseBuffer.
func Buffer() *[]byte { return buffers.Get().(*[]byte) }

// ReleaseBuffer gives a buffer back, unless it has grown large.
func ReleaseBuffer(b *[]byte) {
	if cap(*b) <= maxPooled {
		*b = (*b)[:0]
		buffers.Put(b)
	}
}

// WriteHello writes the first bytes of a connection: what is in b, and hello behind it. Where pushes follow at once, these bytes
// wait for them, and go out in one write.
func (c *ByteConn) WriteHello(b *[]byte, h *protocol.Hello, more bool) stream.WriteResult {
	*b = c.enc.AppendHello(*b, h)
	if !more {
		return c.Write(b)
	}
	c.head = b
	return stream.WriteResult{}
}

// Flush writes the first bytes where nothing has followed: see stream.Flush. It is called once the stream has its credit.
func (c *ByteConn) Flush() (stream.WriteResult, bool) {
	if c.head == nil {
		return stream.WriteResult{}, false
	}
	return c.Write(Buffer()), true
}

// Write writes b and releases it.
func (c *ByteConn) Write(b *[]byte) stream.WriteResult {
	if head := c.head; head != nil {
		c.head = nil
		*head = append(*head, *b...)
		ReleaseBuffer(b)
		b = head
	}
	n := len(*b)
	buffered, err := c.conn.Write(*b)
	ReleaseBuffer(b)
	if err != nil {
		buffered = 0 // the connection's end is reported by itself
	}
	return stream.WriteResult{N: n, Buffered: buffered}
}

// WritePushes implements stream.FrameWriter.
func (c *ByteConn) WritePushes(batch []protocol.Push, _ bool) stream.WriteResult {
	b := Buffer()
	for i := range batch {
		*b = c.enc.AppendPush(*b, &batch[i])
	}
	return c.Write(b)
}

// WriteHeartbeat implements stream.FrameWriter.
func (c *ByteConn) WriteHeartbeat(unixMS int64) stream.WriteResult {
	b := Buffer()
	*b = c.enc.AppendHeartbeat(*b, unixMS)
	return c.Write(b)
}

// WriteGoAway implements stream.FrameWriter.
func (c *ByteConn) WriteGoAway(g *protocol.GoAway) stream.WriteResult {
	b := Buffer()
	*b = c.enc.AppendGoAway(*b, g)
	return c.Write(b)
}

// End implements stream.FrameWriter.
func (c *ByteConn) End(reason protocol.Reason, detail string) {
	b := Buffer()
	if *b = c.enc.AppendEnd(*b, reason, detail); len(*b) > 0 || c.head != nil {
		c.Write(b)
	}
	c.Shutdown()
}

// Shutdown ends the connection behind what was written.
func (c *ByteConn) Shutdown() { c.conn.Shutdown() }

// Abort implements stream.FrameWriter.
func (c *ByteConn) Abort(protocol.Reason, string) {
	c.head = nil
	c.conn.Close()
}

// goneConn stands in for a connection that was gone before its stream began.
type goneConn struct{}

func (goneConn) Write([]byte) (int, error) { return 0, sock.ErrClosed }
func (goneConn) Shutdown()                 {}
func (goneConn) Close()                    {}
func (goneConn) Stalled() time.Duration    { return 0 }
