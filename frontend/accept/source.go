package accept

import (
	"net"
	"net/http"

	"ramen/frontend/sock"
)

// ConnSource is the connection that a request came on, before anybody serves it.
type ConnSource interface {
	// Attach gives the connection to the socket loop, which calls h. It is called once; where it fails, the connection is closed.
	Attach(h sock.Handler) (sock.Conn, error)
}

// FromHijacker is the connection of a request of net/http's.
func FromHijacker(loop *sock.Loop, w http.Hijacker) ConnSource { return &netSource{loop: loop, w: w} }

// FromConn is a connection that was taken over from net/http.
func FromConn(loop *sock.Loop, c net.Conn) ConnSource { return &netSource{loop: loop, c: c} }

// netSource is a connection of package net's, or how to get it.
type netSource struct {
	loop *sock.Loop
	w    http.Hijacker // used where c is nil
	c    net.Conn
}

// Attach implements ConnSource.
func (s *netSource) Attach(h sock.Handler) (sock.Conn, error) {
	if s.c == nil {
		var err error
		if s.c, _, err = s.w.Hijack(); err != nil {
			return nil, err
		}
	}
	conn, err := s.loop.Add(Unwrap(s.c), h)
	if err != nil {
		s.c.Close()
	}
	return conn, err
}
