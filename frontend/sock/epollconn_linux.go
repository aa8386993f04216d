package sock

import (
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// epollConn is a connection in an epoll set. An idle one is this struct, its slot, and what the kernel holds.
//
// Its descriptor is closed by the poller's goroutine alone, with mu held: that goroutine reads without mu, everyone else
// finds fd open while holding mu.
type epollConn struct {
	// immutable
	p    *poller
	h    Handler
	slot uint32
	gen  uint32

	mu    sync.Mutex
	fd    int32 // -1: closed. Written by the poller's goroutine
	state state
	eof   bool        // the peer has ended its side; input is not waited for
	out   bool        // EPOLLOUT is waited for
	fresh uint8       // written since the socket was last asked whether it is writable, in checkUnit
	buf   *sendBuffer // nil: nothing is buffered
	end   *connEnd    // nil while open
}

// connEnd is what a connection needs that is not open any more.
type connEnd struct {
	by  time.Duration // clock by which an ending or finished connection is closed
	err error         // for Closed, once dead
}

var _ Polled = (*epollConn)(nil)

// Poller implements Polled.
func (c *epollConn) Poller() int { return c.p.index }

// watch tells epoll what to wait for. With c.mu held, or before anyone else knows c.
func (c *epollConn) watch(op int, events uint32) error {
	ev := unix.EpollEvent{Events: events, Fd: int32(c.slot), Pad: int32(c.gen)}
	if err := unix.EpollCtl(c.p.epfd, op, int(c.fd), &ev); err != nil {
		return os.NewSyscallError("epoll_ctl", err)
	}
	return nil
}

// watchLocked waits for what the state calls for.
func (c *epollConn) watchLocked() {
	var events uint32
	if !c.eof {
		events = unix.EPOLLIN | unix.EPOLLRDHUP
	}
	if c.out {
		events |= unix.EPOLLOUT
	}
	if err := c.watch(unix.EPOLL_CTL_MOD, events); err != nil { // ENOMEM
		c.failLocked(err)
	}
}

// Write implements Conn.
func (c *epollConn) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != open {
		return 0, c.endedLocked()
	}
	if len(b) == 0 {
		return c.buf.buffered(), nil
	}
	if c.buf == nil {
		n, writable, err := c.sendLocked(b)
		if err != nil {
			c.failLocked(err)
			return 0, err
		}
		if n == len(b) && writable {
			return 0, nil
		}
		c.buf = &sendBuffer{}
		c.out = true
		if c.watchLocked(); c.state == dead {
			return 0, c.end.err
		}
		if n == len(b) {
			c.buf.addOverLowat(n)
			return n, nil
		}
		b = b[n:]
	}
	if c.buf.buffered()+len(b) > c.p.cfg.MaxKept {
		c.failLocked(ErrFull)
		return 0, ErrFull
	}
	c.buf.add(b)
	return c.buf.buffered(), nil
}

// sendLocked writes what the socket takes of b, in pieces, so that a slow peer's progress is seen. writable is whether the
// socket still is, though it may have taken all.
func (c *epollConn) sendLocked(b []byte) (n int, writable bool, err error) {
	for n < len(b) {
		piece := b[n:min(n+maxPiece, len(b))]
		took, err := writeNow(int(c.fd), piece)
		switch err {
		case nil:
			n += took
			if took < len(piece) { // a full socket: the next write would say EAGAIN
				return n, false, nil
			}
			if !c.writableLocked(took) {
				return n, false, nil
			}
		case unix.EAGAIN:
			return n, false, nil
		case unix.EINTR:
		default:
			return n, false, os.NewSyscallError("write", err)
		}
	}
	return n, true, nil
}

// writableLocked reports whether the socket is writable behind n bytes that it took; a small write does not ask.
func (c *epollConn) writableLocked(n int) bool {
	if c.p.cfg.NotSentLowat == 0 {
		return true
	}
	if units := int(c.fresh) + (n+checkUnit-1)/checkUnit; units < checkAfter/checkUnit {
		c.fresh = uint8(units)
		return true
	}
	c.fresh = 0
	return isWritable(int(c.fd))
}

// endedLocked is what a Write is told after the end.
func (c *epollConn) endedLocked() error {
	if c.end.err != nil {
		return c.end.err
	}
	return ErrClosed
}

// Shutdown implements Conn.
func (c *epollConn) Shutdown() {
	c.mu.Lock()
	begun := c.state == open
	if begun {
		c.state = ending
		c.end = &connEnd{by: clock() + c.p.cfg.Flush}
		if c.buf == nil {
			c.finishLocked()
		}
	}
	c.mu.Unlock()
	if begun {
		c.p.linger(c)
	}
}

// finishLocked ends this side: everything has gone out. Where the peer's has ended too, the poller hears of it by EPOLLHUP.
func (c *epollConn) finishLocked() {
	c.state = finished
	c.end.by = clock() + c.p.cfg.Linger
	_ = unix.Shutdown(int(c.fd), unix.SHUT_WR) // ENOTCONN: reset; the poller hears of it by itself
}

// Close implements Conn.
func (c *epollConn) Close() { c.fail(ErrClosed) }

// fail has the poller close c.
func (c *epollConn) fail(err error) {
	c.mu.Lock()
	c.failLocked(err)
	c.mu.Unlock()
}

// failLocked makes the socket ready, with EPOLLHUP, which is always waited for: the poller comes and closes it.
func (c *epollConn) failLocked(err error) {
	if c.state != dead {
		c.dieLocked(err)
		_ = unix.Shutdown(int(c.fd), unix.SHUT_RDWR) // ENOTCONN: reset, and so ready already
	}
}

// dieLocked ends the connection where reap follows.
func (c *epollConn) dieLocked(err error) {
	if c.state != dead {
		c.state = dead
		c.end = &connEnd{err: err}
		c.buf = nil
	}
}

// Stalled implements Conn.
func (c *epollConn) Stalled() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.buf.stalled()
}

// check recounts.
func (c *epollConn) check() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != dead && c.fd < 0 {
		return fmt.Errorf("connection in slot %d is alive without a descriptor", c.slot)
	}
	if c.out != (c.buf != nil) && c.state != dead {
		return fmt.Errorf("connection in slot %d waits for EPOLLOUT: %t, has something buffered: %t", c.slot, c.out, c.buf != nil)
	}
	return c.buf.check()
}
