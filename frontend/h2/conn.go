package h2

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/peer"
)

// Conn is a connection of a gRPC port, whose frames are followed. It is also what grpc knows as the peer's authentication: so calls
// find it.
type Conn struct {
	net.Conn // what grpc reads and writes: raw, or TLS over it; set under out.mu

	// immutable
	guard *Guard
	raw   net.Conn

	known   atomic.Bool
	over    atomic.Bool   // it is ended by this side
	waiting atomic.Int32  // calls that were let in while it was unknown, and have not ended
	sent    atomic.Uint32 // DATA and HEADERS frames to the peer
	turns   atomic.Uint32 // of Write, two each: odd while one is under way
	last    atomic.Uint32 // the highest stream that the peer has opened

	// owned by the goroutine that reads
	in     inbound
	counts counts

	out outbound

	mu      sync.Mutex // guards what follows; a leaf
	partial map[uint32]*message
	pending int           // bytes of partial
	swept   bool          // is among guard.partial
	gone    bool          // is closed
	closed  chan struct{} // what Gone has answered
	ended   []uint32      // streams that this side has reset last, a ring
	endedAt int

	// guarded by guard.mu
	prev, next *Conn // of unknown connections
	since      uint32
	listed     bool
}

// AuthType implements credentials.AuthInfo.
func (*Conn) AuthType() string { return "ramen" }

// From is the connection of a call; nil where its port is not guarded.
func From(ctx context.Context) *Conn {
	if p, ok := peer.FromContext(ctx); ok {
		c, _ := p.AuthInfo.(*Conn)
		return c
	}
	return nil
}

// Known says that the call of ctx bears a good token or key: its connection may open as many as the port has.
func Known(ctx context.Context) { From(ctx).setKnown() }

func (c *Conn) setKnown() {
	if c == nil || c.known.Load() {
		return
	}
	c.guard.become(c)
}

// errEnded is what grpc reads of a connection that was ended.
var errEnded = errors.New("frontend/h2: the peer asked for too much")

// unknownRead is how much of an unknown connection is read at once, in bytes: a client may send what it likes behind its preface,
// before it has seen how many calls it may open.
const unknownRead = 2 << 10

// Read implements net.Conn.
func (c *Conn) Read(b []byte) (int, error) {
	if c.over.Load() {
		return 0, errEnded
	}
	if len(b) > unknownRead && !c.known.Load() {
		b = b[:unknownRead] // so that grpc has seen a token before all that came with it is counted
	}
	n, err := c.Conn.Read(b)
	if n > 0 {
		if why := c.arrived(b[:n]); why != fine {
			c.endReading(why)
			return 0, errEnded
		}
	}
	return n, err
}

// Write implements net.Conn.
func (c *Conn) Write(b []byte) (int, error) {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	c.turns.Add(1)
	defer c.turns.Add(1)
	return c.writeLocked(b)
}

// Turn tells what Write does: two answers that are the same and odd say that one write has been under way all the time between.
func (c *Conn) Turn() uint32 { return c.turns.Load() }

// Close implements net.Conn.
func (c *Conn) Close() error {
	c.guard.forget(c)
	return c.Conn.Close()
}

// Gone is closed when c is.
func (c *Conn) Gone() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed == nil {
		c.closed = make(chan struct{})
		if c.gone {
			close(c.closed)
		}
	}
	return c.closed
}

// end ends c from outside of its reading goroutine.
func (c *Conn) end(why reason) {
	if c.over.Swap(true) {
		return
	}
	c.guard.metrics.ended[why].Inc()
	c.goAway(why)
	c.raw.SetReadDeadline(time.Unix(1, 0)) // grpc's reading fails, and it closes
}

// endReading ends c, whose Read this is. It is not read for a moment, in which the peer can read why: it costs nothing, and slows down one
// that would come back at once.
func (c *Conn) endReading(why reason) {
	if c.over.Swap(true) {
		return
	}
	c.guard.metrics.ended[why].Inc()
	for range goAwayTries { // grpc may be writing answers to what came before
		if c.goAway(why) {
			break
		}
		c.guard.pause(goAwayPause)
	}
	c.guard.pause(linger)
}

// pause waits for d, or until g closes.
func (g *Guard) pause(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-g.done:
	}
}

// How often, and after which pause each, endReading tries to write GOAWAY.
const (
	goAwayTries = 20
	goAwayPause = 5 * time.Millisecond
)

// goAway writes GOAWAY, and reports whether that could be done at once.
func (c *Conn) goAway(why reason) bool {
	if !c.out.mu.TryLock() {
		return false
	}
	defer c.out.mu.Unlock()
	if !c.out.began || !c.out.scan.between() {
		return false
	}
	text := why.text()
	frame := appendHead(nil, 8+len(text), typeGoAway, 0, 0)
	frame = binary.BigEndian.AppendUint32(frame, c.last.Load())
	frame = binary.BigEndian.AppendUint32(frame, enhanceYourCalm)
	frame = append(frame, text...)
	c.raw.SetWriteDeadline(time.Now().Add(linger))
	c.Conn.Write(frame)
	return true
}
