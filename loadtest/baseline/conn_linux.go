package baseline

import (
	"errors"

	"golang.org/x/sys/unix"
)

// read reads once, and handles what it read.
func (s *server) read(c *conn) {
	n, err := unix.Read(int(c.fd), s.in)
	if n <= 0 {
		if n == 0 && err == nil || !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
			s.drop(c)
		}
		return
	}
	if c.state != request && c.state != publisher {
		return // acks and echoes are dropped
	}
	b := s.in[:n]
	if c.more != nil && len(c.more.in) > 0 {
		c.more.in = append(c.more.in, b...)
		b = c.more.in
	}
	taken := 0
	if c.state == publisher {
		taken = s.publishes(c, b)
	} else {
		taken = s.request(c, b)
	}
	if c.state == closed {
		return
	}
	c.keep(b[taken:])
	if c.more != nil && len(c.more.in) > mostKept {
		s.drop(c)
	}
}

// keep keeps the first part of a request.
func (c *conn) keep(rest []byte) {
	switch {
	case len(rest) > 0:
		if c.more == nil {
			c.more = new(more)
		}
		c.more.in = append([]byte(nil), rest...)
	case c.more != nil:
		if c.more.in = nil; c.more.out == nil {
			c.more = nil
		}
	}
}

// write writes b, and keeps what the socket does not take.
func (s *server) write(c *conn, b []byte) {
	c.wrote = s.now
	if c.more != nil && len(c.more.out) > 0 {
		if c.more.out = append(c.more.out, b...); len(c.more.out) > mostKept {
			s.drop(c)
		}
		return
	}
	n, err := unix.Write(int(c.fd), b)
	if n == len(b) {
		return
	}
	if err != nil && !errors.Is(err, unix.EAGAIN) {
		s.drop(c)
		return
	}
	if c.more == nil {
		c.more = new(more)
	}
	c.more.out = append(c.more.out, b[max(n, 0):]...)
	_ = s.watch(unix.EPOLL_CTL_MOD, int(c.fd), unix.EPOLLIN|unix.EPOLLOUT) // it is in the set
}

func (s *server) flush(c *conn) {
	if c.more == nil {
		return
	}
	n, err := unix.Write(int(c.fd), c.more.out)
	if err != nil && !errors.Is(err, unix.EAGAIN) {
		s.drop(c)
		return
	}
	if c.more.out = c.more.out[max(n, 0):]; len(c.more.out) > 0 {
		return
	}
	if c.more.out = nil; len(c.more.in) == 0 {
		c.more = nil
	}
	_ = s.watch(unix.EPOLL_CTL_MOD, int(c.fd), unix.EPOLLIN) // it is in the set
}

func (s *server) drop(c *conn) {
	if c.state == closed {
		return
	}
	c.state, c.more = closed, nil
	s.conns[c.fd] = nil
	_ = unix.Close(int(c.fd))
	if c.user != nil && c.user.conn == c {
		c.user.conn = nil
	}
}
