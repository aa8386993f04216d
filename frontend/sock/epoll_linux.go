package sock

import (
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// epollSet spreads connections over pollers.
type epollSet struct {
	// immutable
	cfg     Config
	pollers []*poller

	next atomic.Uint32 // the poller of the next connection
	wg   sync.WaitGroup
}

func newEpollSet(cfg Config) (*epollSet, error) {
	n := cfg.Pollers
	if n == 0 {
		n = runtime.GOMAXPROCS(0)
	}
	s := &epollSet{cfg: cfg}
	for i := range n {
		p, err := newPoller(cfg, i)
		if err != nil {
			return nil, errors.Join(err, s.close())
		}
		s.pollers = append(s.pollers, p)
		s.wg.Go(p.run)
	}
	return s, nil
}

// add takes tcp over: see the package comment for how.
func (s *epollSet) add(tcp *net.TCPConn, h Handler) (Conn, error) {
	fail := func(err error) (Conn, error) {
		return nil, fmt.Errorf("frontend/sock: add connection of %v: %w", tcp.RemoteAddr(), err)
	}
	rc, err := tcp.SyscallConn()
	if err != nil {
		return fail(err)
	}
	fd := -1
	cerr := rc.Control(func(old uintptr) {
		if err = ensureOptions(int(old), s.cfg); err == nil {
			fd, err = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0)
		}
	})
	if cerr != nil || err != nil {
		return fail(errors.Join(cerr, err))
	}
	p := s.pollers[s.next.Add(1)%uint32(len(s.pollers))]
	c := &epollConn{p: p, h: h, fd: int32(fd)}
	if err := p.register(c); err != nil {
		_ = unix.Close(fd)
		return fail(err)
	}
	_ = tcp.Close() // the duplicate keeps the socket
	return c, nil
}

// size is how many pollers there are.
func (s *epollSet) size() int { return len(s.pollers) }

func (s *epollSet) len() int {
	n := 0
	for _, p := range s.pollers {
		n += p.len()
	}
	return n
}

func (s *epollSet) check() error {
	var errs []error
	for i, p := range s.pollers {
		if err := p.check(); err != nil {
			errs = append(errs, fmt.Errorf("frontend/sock: check poller %d: %w", i, err))
		}
	}
	return errors.Join(errs...)
}

func (s *epollSet) close() error {
	for _, p := range s.pollers {
		p.stop()
	}
	s.wg.Wait()
	return nil
}

func (s *epollSet) unsent() bool {
	for _, p := range s.pollers {
		if p.unsent() {
			return true
		}
	}
	return false
}
