package devices

import "golang.org/x/sys/unix"

// halfOpenConn is a connection whose device has gone without closing it: it stays open, and is neither read nor written.
type halfOpenConn struct {
	fd    int
	until int64 // µs
}

// halfOpenTime is how long a half-open connection stays: longer than a server may take to find it (SPEC 2.8.11), in µs.
const halfOpenTime = 40e6

// abandon makes d's connection half-open: the server is told nothing. Called with mu held.
func (s *Shard) abandon(d *Device) {
	l, ok := d.conn.(*light)
	if !ok || l.fd < 0 {
		d.drop()
		return
	}
	s.loop.(*epoll).forget(l)
	s.halfOpen = append(s.halfOpen, halfOpenConn{l.fd, s.now + halfOpenTime})
	l.fd = -1
	d.drop()
}

// closeHalfOpen closes the half-open connections whose time is over. Called with mu held.
func (s *Shard) closeHalfOpen() {
	for len(s.halfOpen) > 0 && (s.closed || s.halfOpen[0].until <= s.now) {
		_ = unix.Close(s.halfOpen[0].fd)
		s.halfOpen = s.halfOpen[1:]
	}
}
