package frontend

import (
	"net"
	"net/http"

	"ramen/frontend/sock"
)

// taker is what a stream gets its connection from. take is called once; where it fails, the connection is closed.
type taker interface {
	take(h sock.Handler) (sock.Conn, error)
}

// hijacked is a connection of net/http's, c, or how to get it, w.
type hijacked struct {
	s *Server
	w http.Hijacker
	c net.Conn
}

func (t *hijacked) take(h sock.Handler) (sock.Conn, error) {
	if t.c == nil {
		var err error
		if t.c, _, err = t.w.Hijack(); err != nil {
			return nil, err
		}
	}
	conn, err := t.s.loop.Add(bare(t.c), h)
	if err != nil {
		t.c.Close()
	}
	return conn, err
}
