package sock

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	maxReads  = 2  // a connection and event: a second where the peer's end is behind the data
	maxVector = 16 // chunks a write of what was kept
)

// epollConn is a connection in an epoll set. An idle one is this struct, its slot, and what the kernel holds.
//
// Its descriptor is closed by the poller's goroutine alone, with mu held: that goroutine reads without mu, everyone else
// finds fd open while holding mu.
type epollConn struct {
	// immutable
	p      *poller
	h      Handler
	remote netip.AddrPort
	slot   uint32
	gen    uint32

	mu    sync.Mutex
	fd    int32 // -1: closed. Written by the poller's goroutine
	state state
	eof   bool          // the peer has ended its side; input is not waited for
	out   bool          // EPOLLOUT is waited for
	end   time.Duration // clock by which an ending or finished connection is closed
	q     *kept         // nil: nothing is kept
	err   error         // for Closed
}

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
		return c.q.len(), nil
	}
	if c.q == nil {
		n, err := c.sendLocked(b)
		if err != nil {
			c.failLocked(err)
			return 0, err
		}
		if n == len(b) {
			return 0, nil
		}
		b = b[n:]
		c.q = &kept{}
		c.out = true
		if c.watchLocked(); c.state == dead {
			return 0, c.err
		}
	}
	if c.q.n+len(b) > c.p.cfg.MaxKept {
		c.failLocked(ErrFull)
		return 0, ErrFull
	}
	c.q.add(b)
	return c.q.n, nil
}

// sendLocked writes what the socket takes of b.
func (c *epollConn) sendLocked(b []byte) (int, error) {
	for {
		n, err := unix.Write(int(c.fd), b)
		switch err {
		case nil: // a short write is a full socket: the next one would say EAGAIN
			return n, nil
		case unix.EAGAIN:
			return 0, nil
		case unix.EINTR:
		default:
			return 0, os.NewSyscallError("write", err)
		}
	}
}

// endedLocked is what a Write is told after the end.
func (c *epollConn) endedLocked() error {
	if c.err != nil {
		return c.err
	}
	return ErrClosed
}

// Shutdown implements Conn.
func (c *epollConn) Shutdown() {
	c.mu.Lock()
	begun := c.state == open
	if begun {
		c.state = ending
		c.end = clock() + c.p.cfg.Flush
		if c.q == nil {
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
	c.end = clock() + c.p.cfg.Linger
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
		c.err = err
		c.q = nil
	}
}

// die is dieLocked for the poller's goroutine.
func (c *epollConn) die(err error) {
	c.mu.Lock()
	c.dieLocked(err)
	c.mu.Unlock()
}

// Stalled implements Conn.
func (c *epollConn) Stalled() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.q.stalled()
}

// RemoteAddr implements Conn.
func (c *epollConn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.remote) }

// serve does what events call for. Like all below it is called by the poller's goroutine.
func (c *epollConn) serve(events uint32) {
	const ended = unix.EPOLLRDHUP | unix.EPOLLHUP | unix.EPOLLERR
	if events&unix.EPOLLOUT != 0 {
		c.flush()
	}
	if events&(unix.EPOLLIN|ended) != 0 {
		c.input(events&ended != 0)
	}
	c.reap()
}

// input reads once: level triggered, what is left comes with the next wait, after the others' turns. Where the peer has
// ended, it looks a second time, for the end.
func (c *epollConn) input(ended bool) {
	for range maxReads {
		c.mu.Lock()
		st, eof := c.state, c.eof
		c.mu.Unlock()
		if st == dead {
			return
		}
		if eof { // only EPOLLHUP and EPOLLERR come now: nobody will take what is kept
			c.die(os.NewSyscallError("write", unix.EPIPE))
			return
		}
		n, err := unix.Read(int(c.fd), c.p.buf)
		switch {
		case n > 0:
			if st == open {
				c.h.Read(c.p.buf[:n])
			}
			if !ended {
				return
			}
		case err == unix.EAGAIN || err == unix.EINTR:
			return
		case err != nil:
			c.die(os.NewSyscallError("read", err))
			return
		default:
			c.peerEnded()
			return
		}
	}
}

// peerEnded ends c, or after a Shutdown lets it send the rest first.
func (c *epollConn) peerEnded() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == ending {
		c.eof = true
		c.watchLocked()
		return
	}
	c.dieLocked(nil)
}

// flush sends what the socket takes now.
func (c *epollConn) flush() {
	c.mu.Lock()
	n := c.flushLocked()
	c.mu.Unlock()
	if n > 0 {
		c.h.Written(n)
	}
}

// flushLocked answers how many bytes went out.
func (c *epollConn) flushLocked() int {
	if c.state == dead || c.q == nil {
		return 0
	}
	vec := append(c.p.iovs[:0], c.q.chunks[:min(len(c.q.chunks), maxVector)]...)
	n, err := unix.Writev(int(c.fd), vec)
	clear(vec)
	if err != nil && err != unix.EAGAIN && err != unix.EINTR {
		c.dieLocked(os.NewSyscallError("writev", err))
		return 0
	}
	if n <= 0 {
		return 0
	}
	c.q.drop(n)
	if c.q.n > 0 {
		return n
	}
	c.q = nil
	c.out = false
	switch {
	case c.state != ending:
		c.watchLocked()
	case c.eof: // FIN has come, and ours goes with the close
		c.dieLocked(nil)
	default:
		c.watchLocked()
		c.finishLocked()
	}
	return n
}

// expire closes c if it has lingered for long enough, and answers whether it is closed.
func (c *epollConn) expire(now time.Duration) bool {
	c.mu.Lock()
	if c.state != dead && now >= c.end {
		c.dieLocked(ErrLingered)
	}
	c.mu.Unlock()
	return c.reap()
}

// reap closes the descriptor of a dead connection, and answers whether it is closed. Here alone descriptors are closed.
func (c *epollConn) reap() bool {
	c.mu.Lock()
	if c.state != dead || c.fd < 0 {
		gone := c.fd < 0
		c.mu.Unlock()
		return gone
	}
	_ = unix.Close(int(c.fd)) // leaves the epoll set too: there is no other descriptor of this socket
	c.fd = -1
	err := c.err
	c.mu.Unlock()
	c.h.Closed(err)
	c.p.mu.Lock()
	c.p.unregisterLocked(c)
	c.p.mu.Unlock()
	return true
}

// check recounts.
func (c *epollConn) check() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != dead && c.fd < 0 {
		return fmt.Errorf("connection of %v is alive without a descriptor", c.remote)
	}
	if c.out != (c.q != nil) && c.state != dead {
		return fmt.Errorf("connection of %v waits for room: %t, has something kept: %t", c.remote, c.out, c.q != nil)
	}
	return c.q.check()
}
