package sock

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	readBuffer = 64 << 10               // bytes of input an event, for all connections of a poller
	batch      = 256                    // events a wait
	tick       = 100 * time.Millisecond // between looks at the connections that linger
)

// poller is one epoll set and the goroutine that serves it.
type poller struct {
	// immutable
	cfg   Config
	index int             // in the set
	epfd  int             // the set; closed with file
	file  *os.File        // the set again, as the runtime's poller knows it
	raw   syscall.RawConn // of file

	// owned by run
	events [batch]unix.EpollEvent
	ready  [batch]*epollConn // of events; nil: gone meanwhile
	buf    []byte
	iovs   [][]byte
	wait   func(fd uintptr) bool // asks for events; false: the runtime's poller is to wait. Made once: it allocates
	got    int                   // what wait found
	gotErr error

	mu        sync.Mutex
	closed    bool
	slots     []slot
	free      []uint32 // slots without a connection
	lingering []*epollConn
	ticking   bool // file has a deadline: run will look at lingering
}

// slot is a connection's place in the poller. What epoll hands back with an event is the place and its generation, so that
// an event of a connection that was closed meanwhile finds no other.
type slot struct {
	c   *epollConn
	gen uint32
}

func newPoller(cfg Config, index int) (*poller, error) {
	epfd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("frontend/sock: make epoll set: %w", err)
	}
	// Not blocking, so that os gives it to the runtime's poller: an epoll set is readable while it has an event.
	if err := unix.SetNonblock(epfd, true); err != nil {
		_ = unix.Close(epfd)
		return nil, fmt.Errorf("frontend/sock: make epoll set non-blocking: %w", err)
	}
	p := &poller{cfg: cfg, index: index, epfd: epfd, file: os.NewFile(uintptr(epfd), "epoll"), buf: make([]byte, readBuffer)}
	p.iovs = make([][]byte, 0, maxVector)
	p.wait = func(fd uintptr) bool {
		for {
			if p.got, p.gotErr = pollNow(int(fd), p.events[:]); p.gotErr != unix.EINTR {
				return p.got > 0 || p.gotErr != nil
			}
		}
	}
	if p.raw, err = p.file.SyscallConn(); err != nil {
		return nil, errors.Join(fmt.Errorf("frontend/sock: watch epoll set: %w", err), p.file.Close())
	}
	return p, nil
}

// register gives c a place and begins to wait for its input.
func (p *poller) register(c *epollConn) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return net.ErrClosed
	}
	if n := len(p.free); n > 0 {
		c.slot = p.free[n-1]
		p.free = p.free[:n-1]
	} else {
		c.slot = uint32(len(p.slots))
		p.slots = append(p.slots, slot{})
	}
	s := &p.slots[c.slot]
	s.c = c
	c.gen = s.gen
	if err := c.watch(unix.EPOLL_CTL_ADD, unix.EPOLLIN|unix.EPOLLRDHUP); err != nil {
		p.unregisterLocked(c)
		return err
	}
	return nil
}

// unregisterLocked frees the place of c.
func (p *poller) unregisterLocked(c *epollConn) {
	s := &p.slots[c.slot]
	s.c = nil
	s.gen++
	p.free = append(p.free, c.slot)
}

// run serves the set until stop.
func (p *poller) run() {
	for {
		err := p.raw.Read(p.wait)
		switch {
		case err == nil && p.gotErr == nil:
			p.serve(p.got)
		case err == nil:
			panic(fmt.Sprintf("frontend/sock: wait in epoll set: %v", p.gotErr)) // EBADF, EINVAL: somebody closed our descriptor
		case !errors.Is(err, os.ErrDeadlineExceeded):
			panic(fmt.Sprintf("frontend/sock: wait for epoll set: %v", err))
		case p.sweep():
			_ = p.file.Close()
			return
		}
	}
}

// serve works off n events.
func (p *poller) serve(n int) {
	p.mu.Lock()
	for i := range n {
		ev := &p.events[i]
		p.ready[i] = nil
		if s := p.slots[uint32(ev.Fd)]; s.gen == uint32(ev.Pad) {
			p.ready[i] = s.c
		}
	}
	p.mu.Unlock()
	for i := range n {
		if c := p.ready[i]; c != nil {
			p.ready[i] = nil // the array must not keep it
			c.serve(p.events[i].Events)
		}
	}
}

// linger has run look at c until it is closed.
func (p *poller) linger(c *epollConn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lingering = append(p.lingering, c)
	p.tickLocked()
}

// tickLocked sees to it that run wakes up within a tick.
func (p *poller) tickLocked() {
	if !p.ticking && !p.closed {
		p.ticking = true
		_ = p.file.SetReadDeadline(time.Now().Add(tick))
	}
}

// sweep closes those of the lingering connections whose time has come. It is called when the set's deadline has passed.
// closed: by stop, and all connections are closed.
func (p *poller) sweep() (closed bool) {
	p.mu.Lock()
	closed = p.closed
	var look []*epollConn
	if closed {
		look = make([]*epollConn, 0, len(p.slots))
		for _, s := range p.slots {
			if s.c != nil {
				look = append(look, s.c)
			}
		}
	} else {
		look, p.lingering = p.lingering, nil
		p.ticking = false
		_ = p.file.SetReadDeadline(time.Time{})
	}
	p.mu.Unlock()
	if closed {
		for _, c := range look {
			c.die(ErrClosed)
			c.reap()
		}
		return true
	}
	now := clock()
	rest := look[:0]
	for _, c := range look {
		if !c.expire(now) {
			rest = append(rest, c)
		}
	}
	clear(look[len(rest):])
	if len(rest) > 0 {
		p.mu.Lock()
		p.lingering = append(rest, p.lingering...)
		p.tickLocked()
		p.mu.Unlock()
	}
	return false
}

// stop makes run close everything and return.
func (p *poller) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.closed = true
		_ = p.file.SetReadDeadline(time.Unix(1, 0)) // long ago: run wakes at once
	}
}

func (p *poller) len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.slots) - len(p.free)
}

// check recounts.
func (p *poller) check() error {
	p.mu.Lock()
	used := 0
	conns := make([]*epollConn, 0, len(p.slots))
	for i, s := range p.slots {
		if s.c == nil {
			continue
		}
		used++
		if int(s.c.slot) != i || s.c.gen != s.gen {
			p.mu.Unlock()
			return fmt.Errorf("slot %d of generation %d has the connection of slot %d, generation %d", i, s.gen, s.c.slot, s.c.gen)
		}
		conns = append(conns, s.c)
	}
	slots, free := len(p.slots), len(p.free)
	p.mu.Unlock()
	if used+free != slots {
		return fmt.Errorf("%d slots used and %d free are not the %d there are", used, free, slots)
	}
	for _, c := range conns {
		if err := c.check(); err != nil {
			return err
		}
	}
	return nil
}

// unsent reports whether a connection that was shut down still has something buffered.
func (p *poller) unsent() bool {
	p.mu.Lock()
	look := slices.Clone(p.lingering)
	p.mu.Unlock()
	return slices.ContainsFunc(look, func(c *epollConn) bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.state == ending
	})
}
