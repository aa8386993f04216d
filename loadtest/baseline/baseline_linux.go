package baseline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// server is the baseline server. Its one goroutine owns everything.
type server struct {
	cfg      Config
	set      int     // epoll
	wake     int     // an eventfd that ends the loop
	devices  int     // listeners
	backends int     //
	conns    []*conn // by descriptor; nil: none
	users    map[string]*user
	wheel    wheel
	now      int64 // ms
	in       []byte
	out      []byte
	body     []byte // of the frame under way
}

// conn is one connection.
type conn struct {
	fd    int32
	state state
	slots uint16 // of the wheel, between heartbeats
	wrote int64  // ms: when the last byte was written
	user  *user  // of a stream
	more  *more  // nil: nothing is incomplete
}

// more is the buffers of a connection that is not idle.
type more struct {
	in  []byte // the first part of a request
	out []byte // bytes that the socket did not take
}

// state is what a connection is used for.
type state uint8

const (
	request   state = iota // the next bytes are a request
	sse                    // a stream of events
	wsJSON                 // a WebSocket
	wsProto                // a WebSocket
	publisher              // publish requests, each behind its length
	closed
)

// user is a user and its one device.
type user struct {
	conn *conn  // nil: no stream
	n    uint64 // pushes so far, which is the last one's seq
	last []byte // the last message, as it was published
}

// Sizes, in bytes.
const (
	readBuffer = 256 << 10
	mostKept   = 4 << 20 // bounds each buffer of a connection
)

// Serve runs the baseline server until ctx ends. It writes its addresses to out.
func Serve(ctx context.Context, cfg Config, out io.Writer) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	s := &server{cfg: cfg, users: make(map[string]*user), in: make([]byte, readBuffer)}
	if err := s.start(); err != nil {
		return err
	}
	defer s.close()
	stop := context.AfterFunc(ctx, func() { _, _ = unix.Write(s.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0}) })
	defer stop()
	banner(out, address(s.devices), address(s.backends))
	s.run(ctx)
	return nil
}

func (s *server) start() (err error) {
	if s.set, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return fmt.Errorf("baseline: make an epoll set: %w", err)
	}
	if s.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return fmt.Errorf("baseline: make an event descriptor: %w", err)
	}
	if s.devices, err = listen(s.cfg.Devices); err != nil {
		return err
	}
	if s.backends, err = listen(s.cfg.Backends); err != nil {
		return err
	}
	for _, fd := range []int{s.wake, s.devices, s.backends} {
		if err := s.watch(unix.EPOLL_CTL_ADD, fd, unix.EPOLLIN); err != nil {
			return fmt.Errorf("baseline: watch a descriptor: %w", err)
		}
	}
	return nil
}

// backlog is how many connections may wait to be accepted in a storm; the system cuts it to net.core.somaxconn.
const backlog = 16384

func listen(addr string) (int, error) {
	at, err := netip.ParseAddrPort(addr)
	if err != nil {
		return 0, fmt.Errorf("baseline: listen: %w", err)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("baseline: listen: %w", err)
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1) // connections have it from here
	if err = unix.Bind(fd, &unix.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}); err == nil {
		err = unix.Listen(fd, backlog)
	}
	if err != nil {
		_ = unix.Close(fd)
		return 0, fmt.Errorf("baseline: listen on %s: %w", addr, err)
	}
	return fd, nil
}

func address(fd int) string {
	name, err := unix.Getsockname(fd)
	at, ok := name.(*unix.SockaddrInet4)
	if err != nil || !ok {
		return "?"
	}
	return netip.AddrPortFrom(netip.AddrFrom4(at.Addr), uint16(at.Port)).String()
}

func (s *server) watch(op, fd int, events uint32) error {
	return unix.EpollCtl(s.set, op, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)})
}

// run serves until ctx ends.
func (s *server) run(ctx context.Context) {
	events := make([]unix.EpollEvent, 512)
	began := time.Now()
	for ctx.Err() == nil {
		n, err := unix.EpollWait(s.set, events, s.wheel.patience(s.now))
		if err != nil && !errors.Is(err, unix.EINTR) {
			panic("baseline: wait for events: " + err.Error()) // the set is ours
		}
		s.now = time.Since(began).Milliseconds()
		for i := range max(n, 0) {
			s.serve(int(events[i].Fd), events[i].Events)
		}
		s.beat()
	}
}

func (s *server) serve(fd int, events uint32) {
	switch fd {
	case s.wake:
		return
	case s.devices:
		s.accept(fd, request)
		return
	case s.backends:
		s.accept(fd, publisher)
		return
	}
	c := s.conns[fd]
	if c == nil {
		return // closed earlier in this turn
	}
	if events&unix.EPOLLOUT != 0 {
		s.flush(c)
	}
	if events&^unix.EPOLLOUT != 0 && c.state != closed {
		s.read(c)
	}
}

// mostAccepts bounds what one turn of the loop accepts, so that open connections are served, too.
const mostAccepts = 64

func (s *server) accept(listener int, as state) {
	for range mostAccepts {
		fd, _, err := unix.Accept4(listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		if err != nil {
			return // nothing is left; or descriptors ran out, and epoll reports the listener again
		}
		for len(s.conns) <= fd {
			s.conns = append(s.conns, nil)
		}
		s.conns[fd] = &conn{fd: int32(fd), state: as}
		if err := s.watch(unix.EPOLL_CTL_ADD, fd, unix.EPOLLIN); err != nil {
			s.drop(s.conns[fd])
		}
	}
}

func (s *server) close() {
	for _, c := range s.conns {
		if c != nil {
			s.drop(c)
		}
	}
	for _, fd := range []int{s.devices, s.backends, s.wake, s.set} {
		_ = unix.Close(fd)
	}
}
