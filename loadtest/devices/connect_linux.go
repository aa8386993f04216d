package devices

import (
	"errors"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// target is an address to connect to.
type target struct{ addr netip.AddrPort }

// sockaddr is the address for one call: package unix writes to it.
func (t *target) sockaddr() unix.Sockaddr {
	if ip := t.addr.Addr(); ip.Is6() {
		return &unix.SockaddrInet6{Port: int(t.addr.Port()), Addr: ip.As16()}
	}
	return &unix.SockaddrInet4{Port: int(t.addr.Port()), Addr: t.addr.Addr().As4()}
}

// resolve finds a port's address; streams to it may be light.
func resolve(host string) (target, bool, error) {
	a, err := net.ResolveTCPAddr("tcp", host)
	if err != nil {
		return target{}, false, err
	}
	at := a.AddrPort()
	return target{netip.AddrPortFrom(at.Addr().Unmap(), at.Port())}, true, nil
}

func (s *Shard) connect(l *light, to *target) error {
	family := unix.AF_INET
	if to.addr.Addr().Is6() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	l.fd = fd
	// Acks are small and alone: they must not wait for each other.
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	if source, ok := s.source(to.addr.Addr()); ok {
		_ = unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
		if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: source}); err != nil {
			return err
		}
	}
	err = unix.Connect(fd, to.sockaddr())
	if err != nil && !errors.Is(err, unix.EINPROGRESS) {
		return err
	}
	if err == nil {
		l.begun = true
		l.flush()
	}
	l.writing = !l.begun || len(l.out) > 0
	return s.loop.(*epoll).add(l)
}

// perSource is how many connections share a source address. Ephemeral ports are 28,000 by default, and connect(2) takes those of one
// parity first: once these run low, each connect searches for long.
const perSource = 4000

// source is where the next connection to a loopback address comes from: 127.0.0.1, 127.0.0.2, … in turn, so that
// ephemeral ports do not run out. Called with mu held.
func (s *Shard) source(to netip.Addr) ([4]byte, bool) {
	if !to.Is4() || !to.IsLoopback() {
		return [4]byte{}, false
	}
	s.sources++
	return [4]byte{127, 0, 0, byte(1 + (int(s.cfg.Users[0])/perSource+int(s.sources)/perSource)%250)}, true
}
