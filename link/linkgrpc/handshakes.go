package linkgrpc

import (
	"io"
	"net"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc/credentials"
)

// handshakes are the credentials of a server, which know the connections on which nothing has come yet. grpc waits for the first bytes of each
// of them before it stops, and a controller that watches a gateway's port never sends any.
type handshakes struct {
	credentials.TransportCredentials
	*silentConns
}

// silentConns are the connections on which nothing has come yet.
type silentConns struct {
	mu     sync.Mutex
	conns  map[net.Conn]struct{} // guarded by mu
	closed bool                  // guarded by mu
}

func newHandshakes(c credentials.TransportCredentials) handshakes {
	return handshakes{c, &silentConns{conns: make(map[net.Conn]struct{})}}
}

// ServerHandshake implements credentials.TransportCredentials.
func (h handshakes) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	if !h.add(raw) {
		return nil, nil, io.EOF // that is how grpc takes it for nothing worth a word
	}
	c, info, err := h.TransportCredentials.ServerHandshake(raw)
	if err != nil {
		h.remove(raw)
		return nil, nil, err
	}
	return &silentConn{Conn: c, raw: raw, of: h.silentConns}, info, nil
}

// Clone implements credentials.TransportCredentials.
func (h handshakes) Clone() credentials.TransportCredentials {
	return handshakes{h.TransportCredentials.Clone(), h.silentConns}
}

// closeSilent closes the connections on which nothing has come, those to come included.
func (s *silentConns) closeSilent() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for c := range s.conns {
		_ = c.Close() // of the raw connection: it does not come back here
	}
	clear(s.conns)
}

func (s *silentConns) add(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.conns[c] = struct{}{}
	return true
}

func (s *silentConns) remove(c net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

// silentConn is a connection until its first bytes have come, and as it is after that.
type silentConn struct {
	net.Conn
	raw   net.Conn
	of    *silentConns
	heard atomic.Bool
}

// Read implements net.Conn.
func (c *silentConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 && !c.heard.Load() {
		c.heard.Store(true)
		c.of.remove(c.raw)
	}
	return n, err
}

// Close implements net.Conn.
func (c *silentConn) Close() error {
	if !c.heard.Load() {
		c.of.remove(c.raw)
	}
	return c.Conn.Close()
}
