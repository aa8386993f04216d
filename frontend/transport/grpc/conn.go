package grpc

import (
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"

	"ramen/frontend/grpcend"
	"ramen/frontend/sock"
)

// conn is the connection of a gRPC stream: SendMsg blocks on flow control, so frames wait in a queue for a goroutine that
// runs while there are any. The queue is bounded by the credit that the gateway has.
//
// SendMsg only queues too: grpc takes up to 64 KiB a stream before it blocks, half a second of a slow link. So the frames' buffers
// are of a pool that conn is itself: when grpc gives them back, they have been written to the connection, which waits for room
// (sock.BoundUnsent). No more than maxInTransport is in grpc's hands beyond one frame, and it counts as buffered until it is back.
type conn struct {
	// immutable
	rpc grpc.ServerStream
	end grpcend.Ender
	h   sock.Handler

	mu       sync.Mutex
	queue    []*[]byte
	buffered int
	sending  bool
	over     *status.Status // nothing more is queued, and this is said behind what is
	idle     chan struct{}  // while the handler waits for the sender
	timer    *time.Timer    // from Shutdown on, while something is sent
	since    time.Time      // of the last progress, while bytes are buffered

	poolMu      sync.Mutex    // guards what follows; a leaf: grpc calls Put with a lock held that it takes for WriteStatus, under mu
	inTransport int           // bytes of frames that grpc has
	back        chan struct{} // while the sender waits for buffers
}

var _ sock.Conn = (*conn)(nil)

// Write implements sock.Conn; b is whole frames of encoder's.
func (c *conn) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over != nil {
		return 0, sock.ErrClosed
	}
	if c.buffered == 0 {
		c.since = time.Now()
	}
	eachFrame(b, func(frame []byte) { c.queue = append(c.queue, copyOf(frame)) })
	c.buffered += len(b)
	if !c.sending {
		c.sending = true
		go c.send()
	}
	return c.buffered, nil
}

// maxInTransport is how many bytes grpc may have of a stream while it is given more: enough that small frames do not wait for each other.
const maxInTransport = 4 << 10

// leastPooled is the least capacity of a buffer that grpc gives back.
const leastPooled = 1<<10 + 1

// copyOf is a copy of frame in a pooled buffer.
func copyOf(frame []byte) *[]byte {
	b := mem.DefaultBufferPool().Get(max(len(frame), leastPooled))
	*b = (*b)[:copy(*b, frame)]
	return b
}

// Get implements mem.BufferPool; it is not called.
func (c *conn) Get(n int) *[]byte { return mem.DefaultBufferPool().Get(n) }

// Put implements mem.BufferPool: grpc has written a frame, or dropped it.
func (c *conn) Put(b *[]byte) {
	n := len(*b)
	mem.DefaultBufferPool().Put(b)
	c.poolMu.Lock()
	c.inTransport -= n
	if c.back != nil && c.inTransport <= maxInTransport {
		close(c.back)
		c.back = nil
	}
	c.poolMu.Unlock()
}

// send sends until the queue is empty, then ends the stream if that is wanted.
func (c *conn) send() {
	var out rawOut
	for c.next(&out) {
		n := out.b.Len() + lengthBytes
		if err := c.rpc.SendMsg(&out); err != nil { // the stream is over, and RecvMsg says so too
			c.mu.Lock()
			c.dropLocked()
			c.mu.Unlock()
			continue
		}
		c.awaitTransport()
		c.mu.Lock()
		c.buffered -= n
		c.since = time.Now()
		c.mu.Unlock()
		c.h.Written(n)
	}
}

// awaitTransport waits until grpc has at most maxInTransport, or the stream is over: then it may not give back everything.
func (c *conn) awaitTransport() {
	c.poolMu.Lock()
	if c.inTransport <= maxInTransport {
		c.poolMu.Unlock()
		return
	}
	back := make(chan struct{})
	c.back = back
	c.poolMu.Unlock()
	select {
	case <-back:
	case <-c.rpc.Context().Done():
	}
}

// next takes the next frame; false where the sender is done.
func (c *conn) next(out *rawOut) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.queue) > 0 {
		frame := c.queue[0]
		c.queue[0] = nil
		c.queue = c.queue[1:]
		out.b = mem.NewBuffer(frame, c)
		c.poolMu.Lock()
		c.inTransport += len(*frame)
		c.poolMu.Unlock()
		return true
	}
	c.queue = nil
	c.sending = false
	if c.over != nil {
		c.end.WriteStatus(c.over)
	}
	if c.timer != nil {
		c.timer.Stop()
	}
	if c.idle != nil {
		close(c.idle)
		c.idle = nil
	}
	return false
}

func (c *conn) dropLocked() {
	for _, frame := range c.queue {
		mem.DefaultBufferPool().Put(frame)
	}
	c.queue = nil
}

// shutdownTime is how long a device may take to read what was said before the end.
const shutdownTime = 5 * time.Second

// stalledTime is how long a device may have taken nothing when its stream ends, and be waited for still.
const stalledTime = time.Second

// finish ends the stream with st: behind what is queued, within shutdownTime, or now.
func (c *conn) finish(st *status.Status, now bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over != nil {
		return
	}
	c.over = st
	switch {
	case now || !c.sending || time.Since(c.since) >= stalledTime:
		c.dropLocked()
		c.end.WriteStatus(st) // SendMsg and RecvMsg return, so the handler does
	default:
		c.timer = time.AfterFunc(shutdownTime, func() { c.end.WriteStatus(st) })
	}
}

// Shutdown implements sock.Conn.
func (c *conn) Shutdown() { c.finish(status.New(0, ""), false) }

// Close implements sock.Conn.
func (c *conn) Close() { c.finish(status.New(0, ""), true) }

// status is what the stream has ended with. It waits until nothing is sent any more: the handler must not return before.
func (c *conn) status() *status.Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sending {
		idle := make(chan struct{})
		c.idle = idle
		c.mu.Unlock()
		<-idle
		c.mu.Lock()
	}
	return c.over
}

// Stalled implements sock.Conn.
func (c *conn) Stalled() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.buffered == 0 {
		return 0
	}
	return time.Since(c.since)
}
