package sock

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// This file is the poller's side of an epollConn: all of it is called by the poller's goroutine.

const (
	maxReads  = 2  // a connection and event: a second where the peer's end is behind the data
	maxVector = 16 // chunks a write of what was buffered
)

// serve does what events call for.
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
		if eof { // only EPOLLHUP and EPOLLERR come now: nobody will take what is buffered
			c.die(os.NewSyscallError("write", unix.EPIPE))
			return
		}
		n, err := readNow(int(c.fd), c.p.buf)
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

// flushLocked answers how many buffered bytes have gone out: those that the socket had taken before, since it is writable now,
// and those that it takes.
func (c *epollConn) flushLocked() int {
	if c.state == dead || c.buf == nil {
		return 0
	}
	sent := c.buf.dropOverLowat()
	if c.buf.n > 0 {
		n, writable, ok := c.drainLocked()
		if !ok {
			return 0
		}
		if c.buf.n > 0 || !writable && c.state == open {
			if c.buf.n == 0 {
				c.buf.addOverLowat(n)
				n = 0
			}
			return sent + n
		}
		sent += n
	}
	c.buf = nil
	c.out = false
	switch {
	case c.state != ending:
		c.watchLocked()
	case c.eof: // FIN has come, and ours goes with the close
		c.dieLocked(nil)
	default:
		if c.watchLocked(); c.state == ending {
			c.finishLocked()
		}
	}
	return sent
}

// drainLocked writes a piece of what is buffered; ok is false where the connection died of it.
func (c *epollConn) drainLocked() (n int, writable, ok bool) {
	vec, rest := c.p.iovs[:0], maxPiece
	for _, chunk := range c.buf.chunks[:min(len(c.buf.chunks), maxVector)] {
		chunk = chunk[:min(len(chunk), rest)]
		vec = append(vec, chunk)
		if rest -= len(chunk); rest == 0 {
			break
		}
	}
	n, err := unix.Writev(int(c.fd), vec)
	clear(vec)
	switch {
	case err != nil && err != unix.EAGAIN && err != unix.EINTR:
		c.dieLocked(os.NewSyscallError("writev", err))
		return 0, false, false
	case n <= 0:
		return 0, false, true
	}
	c.buf.drop(n)
	return n, c.writableLocked(n), true
}

// expire closes c if it has lingered for long enough, and answers whether it is closed.
func (c *epollConn) expire(now time.Duration) bool {
	c.mu.Lock()
	if c.state != dead && now >= c.end.by {
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
	closeNow(int(c.fd)) // leaves the epoll set too: there is no other descriptor of this socket
	c.fd = -1
	err := c.end.err
	c.mu.Unlock()
	c.h.Closed(err)
	c.p.mu.Lock()
	c.p.unregisterLocked(c)
	c.p.mu.Unlock()
	return true
}

// die is dieLocked for the poller's goroutine.
func (c *epollConn) die(err error) {
	c.mu.Lock()
	c.dieLocked(err)
	c.mu.Unlock()
}
