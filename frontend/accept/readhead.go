package accept

import (
	"bytes"
	"errors"
	"net"
	"time"
)

// A head ends with an empty line. One that ends with a bare LF is rare, and left to net/http. RFC 9112 2.2.
var headEnd, bareEnd = []byte("\n\r\n"), []byte("\n\n")

// readHead reads until the head of a request that opens a stream is whole. end is where it ends; 0: it is net/http's.
func (p prefixes) readHead(c net.Conn, buf []byte) (n, end int, err error) {
	for n < len(buf) {
		got, err := c.Read(buf[n:])
		if got == 0 && err != nil {
			return n, 0, err
		}
		n += got
		if !p.match(buf[:n]) {
			return n, 0, nil
		}
		from := max(0, n-got-len(headEnd))
		at := bytes.Index(buf[from:n], headEnd)
		if bare := bytes.Index(buf[from:n], bareEnd); bare >= 0 && (at < 0 || bare < at) {
			return n, 0, nil
		}
		if at >= 0 {
			return n, from + at + len(headEnd), nil
		}
	}
	return n, 0, nil
}

// prefixConn is a connection of which b was read already, and is read again.
type prefixConn struct {
	net.Conn
	b  []byte
	by time.Time // when its first head must be whole, however often the reader changes; zero: that is over
}

// SetReadDeadline implements net.Conn. net/http gives a head all its time, and then none: what was used before it came counts.
func (c *prefixConn) SetReadDeadline(t time.Time) error {
	switch {
	case c.by.IsZero():
	case t.IsZero():
		c.by = t
	case t.After(c.by):
		t = c.by
	}
	return c.Conn.SetReadDeadline(t)
}

// CloseWrite ends this side.
func (c *prefixConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// Read implements net.Conn.
func (c *prefixConn) Read(p []byte) (int, error) {
	if len(c.b) == 0 {
		return c.Conn.Read(p)
	}
	n := copy(p, c.b)
	if c.b = c.b[n:]; len(c.b) == 0 {
		c.b = nil
	}
	return n, nil
}

// Unwrap is the connection of package net's under c once everything was read again, so that a socket loop knows it.
func Unwrap(c net.Conn) net.Conn {
	if w, ok := c.(interface{ Unwrap() net.Conn }); ok { // httpconn's
		c = w.Unwrap()
	}
	if p, ok := c.(*prefixConn); ok && len(p.b) == 0 {
		return p.Conn
	}
	return c
}
