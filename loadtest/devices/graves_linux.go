package devices

import "golang.org/x/sys/unix"

// grave is a connection whose device is gone without a word: it stays open, and is neither read nor written.
type grave struct {
	fd    int
	until int64 // µs
}

// graveTime is how long a half-open connection stays: longer than a server may take to find it (SPEC 2.8), µs.
const graveTime = 40e6

// abandon makes d's connection half-open: the server is told nothing. Called with mu held.
func (s *Shard) abandon(d *Device) {
	l, ok := d.line.(*light)
	if !ok || l.fd < 0 {
		d.drop()
		return
	}
	s.loop.(*epoll).forget(l)
	s.graves = append(s.graves, grave{l.fd, s.now + graveTime})
	l.fd = -1
	d.drop()
}

// bury closes half-open connections whose time has come. Called with mu held.
func (s *Shard) bury() {
	for len(s.graves) > 0 && (s.closed || s.graves[0].until <= s.now) {
		_ = unix.Close(s.graves[0].fd)
		s.graves = s.graves[1:]
	}
}
