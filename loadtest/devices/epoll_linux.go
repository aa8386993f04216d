package devices

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// poller is how a shard hears of its light streams.
type poller interface {
	run(s *Shard)
	wake()
	close()
}

// epoll is a set of descriptors. Its shard's lock guards lines.
//
// The set itself is waited for by the runtime's own poller, not in a system call: that would hold the processor, which is the
// only one where the server has the other, until the runtime notices, up to 10 ms later, and publishes that became due
// meanwhile would be late.
type epoll struct {
	fd, event int // event: an eventfd that wakes the shard
	file      *os.File
	conn      syscall.RawConn
	lines     []slot // by descriptor
	age       int32
}

// slot tells an event of a descriptor from one of the connection that had it before.
type slot struct {
	l   *light
	age int32
}

func newPoller() (poller, error) {
	p := new(epoll)
	var err error
	if p.fd, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("devices: make an epoll set: %w", err)
	}
	_ = unix.SetNonblock(p.fd, true) // it tells os of a descriptor to poll
	p.file = os.NewFile(uintptr(p.fd), "epoll")
	if p.conn, err = p.file.SyscallConn(); err != nil {
		_ = p.file.Close()
		return nil, fmt.Errorf("devices: wait for an epoll set: %w", err)
	}
	if p.event, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err == nil {
		err = unix.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, p.event, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(p.event)})
	}
	if err != nil {
		_ = p.file.Close()
		return nil, fmt.Errorf("devices: make an event descriptor: %w", err)
	}
	return p, nil
}

func (p *epoll) add(l *light) error {
	for len(p.lines) <= l.fd {
		p.lines = append(p.lines, slot{})
	}
	p.age++
	p.lines[l.fd] = slot{l, p.age}
	return unix.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, l.fd, p.eventOf(l))
}

func (p *epoll) watch(l *light) {
	_ = unix.EpollCtl(p.fd, unix.EPOLL_CTL_MOD, l.fd, p.eventOf(l)) // it is in the set
}

func (p *epoll) eventOf(l *light) *unix.EpollEvent {
	e := &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(l.fd), Pad: p.lines[l.fd].age}
	if l.writing {
		e.Events |= unix.EPOLLOUT
	}
	return e
}

// forget takes l out of the set without closing it: nothing of it is lastByte any more.
func (p *epoll) forget(l *light) {
	_ = unix.EpollCtl(p.fd, unix.EPOLL_CTL_DEL, l.fd, nil)
	p.lines[l.fd] = slot{}
}

func (p *epoll) remove(l *light) {
	if l.fd < len(p.lines) {
		p.lines[l.fd] = slot{}
	}
	_ = unix.Close(l.fd)
}

func (p *epoll) wake() {
	_, _ = unix.Write(p.event, []byte{1, 0, 0, 0, 0, 0, 0, 0}) // full is awake, too
}

func (p *epoll) close() {
	_ = unix.Close(p.event)
	_ = p.file.Close()
}

// readBuffer is what one read takes, in bytes; all streams of a shard share it.
const readBuffer = 256 << 10

// run serves the shard until it is closed.
func (p *epoll) run(s *Shard) {
	buf := make([]byte, readBuffer)
	events := make([]unix.EpollEvent, 512)
	for {
		n := p.wait(events, s.patience())
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			return
		}
		// All that epoll told of had come by now: what serving it takes is this side's time, not the server's.
		s.now = now()
		s.late()
		for i := range n {
			p.serve(s, &events[i], buf)
		}
		began := s.now
		if s.now = now(); n > 0 {
			s.stats.Turn.Record(s.now - began)
		}
		s.tick()
		s.mu.Unlock()
	}
}

// wait waits for events, for so many ms at most.
func (p *epoll) wait(events []unix.EpollEvent, most int) (n int) {
	_ = p.file.SetReadDeadline(time.Now().Add(time.Duration(most) * time.Millisecond)) // it has one: NewFile says so by SyscallConn
	err := p.conn.Read(func(fd uintptr) bool {
		var err error
		n, err = unix.EpollWait(int(fd), events, 0)
		if err != nil && !errors.Is(err, unix.EINTR) {
			panic("devices: wait for events: " + err.Error()) // the set is ours
		}
		return n > 0
	})
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		panic("devices: wait for events: " + err.Error())
	}
	return max(n, 0)
}

func (p *epoll) serve(s *Shard, e *unix.EpollEvent, buf []byte) {
	fd := int(e.Fd)
	if fd == p.event {
		_, _ = unix.Read(fd, buf[:8])
		return
	}
	if fd >= len(p.lines) || p.lines[fd].l == nil || p.lines[fd].age != e.Pad {
		return // of a connection that is gone
	}
	l := p.lines[fd].l
	if e.Events&unix.EPOLLOUT != 0 {
		if !l.begun {
			if code, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR); err != nil || code != 0 {
				l.d.ended(l, fmt.Errorf("devices: connect: %w", unix.Errno(code)))
				return
			}
			l.begun = true
		}
		l.flush()
	}
	if e.Events&^unix.EPOLLOUT != 0 {
		l.readable(buf)
	}
}

// patience is how long the shard may wait for events, ms.
func (s *Shard) patience() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) > 0 {
		return 1
	}
	if s.cfg.AckAfter > 0 {
		return int(min(sweepEvery, s.cfg.AckAfter/2+time.Millisecond) / time.Millisecond)
	}
	return int(sweepEvery / time.Millisecond)
}
