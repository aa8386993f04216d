package frontend

import (
	"bytes"
	"errors"
	"net"
	"time"
)

// A head ends with an empty line. One that ends with a bare LF is rare, and left to net/http. RFC 9112 2.2.
var headEnd, bareEnd = []byte("\n\r\n"), []byte("\n\n")

// readHead reads until the head of a request that the door may serve is whole. end is where it ends; 0: it is net/http's.
func readHead(c net.Conn, buf []byte) (n, end int, err error) {
	for n < len(buf) {
		got, err := c.Read(buf[n:])
		if got == 0 && err != nil {
			return n, 0, err
		}
		n += got
		if !opensStream(buf[:n]) {
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

// opensStream reports whether b begins like a request for a stream, as far as it goes.
func opensStream(b []byte) bool {
	for _, prefix := range [...]string{"GET " + eventsPath + "?", "GET " + socketPath + "?"} {
		if k := min(len(b), len(prefix)); string(b[:k]) == prefix[:k] {
			return true
		}
	}
	return false
}

// replayed is a connection of which something was read already.
type replayed struct {
	net.Conn
	b  []byte
	by time.Time // when its first head must be whole, however often the reader changes; zero: that is over
}

// SetReadDeadline implements net.Conn. net/http gives a head all its time, and then none: what was used before it came counts.
func (r *replayed) SetReadDeadline(t time.Time) error {
	switch {
	case r.by.IsZero():
	case t.IsZero():
		r.by = t
	case t.After(r.by):
		t = r.by
	}
	return r.Conn.SetReadDeadline(t)
}

// CloseWrite ends this side.
func (r *replayed) CloseWrite() error {
	if half, ok := r.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// Read implements net.Conn.
func (r *replayed) Read(p []byte) (int, error) {
	if len(r.b) == 0 {
		return r.Conn.Read(p)
	}
	n := copy(p, r.b)
	if r.b = r.b[n:]; len(r.b) == 0 {
		r.b = nil
	}
	return n, nil
}

// bare is the connection itself once everything was read again, so that a socket loop knows it.
func bare(c net.Conn) net.Conn {
	if w, ok := c.(interface{ Unwrap() net.Conn }); ok { // net/http's way in
		c = w.Unwrap()
	}
	if r, ok := c.(*replayed); ok && len(r.b) == 0 {
		return r.Conn
	}
	return c
}
