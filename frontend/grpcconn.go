package frontend

import (
	"context"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"

	"ramen/frontend/sock"
)

// grpcConn is the connection of a gRPC stream: SendMsg blocks on flow control, so frames wait in a queue for a goroutine that
// runs while there are any. The queue is bounded by the credit that the gateway has.
type grpcConn struct {
	// immutable
	rpc    grpc.ServerStream
	cancel context.CancelFunc // makes RecvMsg and SendMsg return, and so the handler
	h      sock.Handler
	remote net.Addr

	mu      sync.Mutex
	queue   []mem.Buffer
	kept    int
	sending bool
	ended   bool          // nothing more is queued: the sender cancels once it has sent what is
	dead    bool          // nothing more is sent
	idle    chan struct{} // while the handler waits for the sender
	since   time.Time     // of the last progress, while bytes are kept
}

var _ sock.Conn = (*grpcConn)(nil)

// Write implements sock.Conn; b is whole frames of grpcEncoder's.
func (c *grpcConn) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended || c.dead {
		return 0, sock.ErrClosed
	}
	if c.kept == 0 {
		c.since = time.Now()
	}
	pool := mem.DefaultBufferPool()
	eachFrame(b, func(frame []byte) { c.queue = append(c.queue, mem.Copy(frame, pool)) })
	c.kept += len(b)
	if !c.sending {
		c.sending = true
		go c.send()
	}
	return c.kept, nil
}

// send sends until the queue is empty, then ends the stream if that is wanted.
func (c *grpcConn) send() {
	var out rawOut
	for {
		c.mu.Lock()
		if c.dead || len(c.queue) == 0 {
			c.stopLocked()
			c.mu.Unlock()
			return
		}
		out.b = c.queue[0]
		c.queue[0] = nil
		c.queue = c.queue[1:]
		c.mu.Unlock()

		n := out.b.Len() + lengthBytes
		if err := c.rpc.SendMsg(&out); err != nil { // the stream is over: RecvMsg fails, too
			c.Close()
			continue
		}
		c.mu.Lock()
		c.kept -= n
		c.since = time.Now()
		c.mu.Unlock()
		c.h.Written(n)
	}
}

func (c *grpcConn) stopLocked() {
	c.sending = false
	for _, b := range c.queue {
		b.Free()
	}
	c.queue = nil
	if c.ended || c.dead {
		c.cancel()
	}
	if c.idle != nil {
		close(c.idle)
		c.idle = nil
	}
}

// Shutdown implements sock.Conn: the handler returns once everything was sent, within shutdownTime.
func (c *grpcConn) Shutdown() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return
	}
	c.ended = true
	if !c.sending {
		c.cancel()
		return
	}
	time.AfterFunc(shutdownTime, c.cancel)
}

// shutdownTime is how long a device may take to read what was said before the end.
const shutdownTime = 5 * time.Second

// Close implements sock.Conn.
func (c *grpcConn) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dead = true
	c.cancel()
}

// wait returns when nothing is sent any more. The handler must not return before.
func (c *grpcConn) wait() {
	c.mu.Lock()
	if !c.sending {
		c.mu.Unlock()
		return
	}
	idle := make(chan struct{})
	c.idle = idle
	c.mu.Unlock()
	<-idle
}

// Stalled implements sock.Conn.
func (c *grpcConn) Stalled() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kept == 0 {
		return 0
	}
	return time.Since(c.since)
}

// RemoteAddr implements sock.Conn.
func (c *grpcConn) RemoteAddr() net.Addr { return c.remote }
