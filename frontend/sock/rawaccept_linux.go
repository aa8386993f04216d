package sock

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// RawAcceptor accepts a listener's connections as bare descriptors: one that is given to a Loop at once never costs what package
// net makes of it, its place in the runtime's poller, its duplicate and its second close. It is for one goroutine.
type RawAcceptor struct {
	// immutable
	set     *epollSet
	from    *listener
	raw     syscall.RawConn
	reserve *reservingListener // nil: all descriptors may be used
	accept  func(fd uintptr) bool

	// of the call of Accept under way
	each     func(RawConn)
	accepted int
	err      error
}

const (
	maxAccepts   = 64 // in one call
	deferSeconds = 1  // for which the kernel keeps a connection that has sent nothing
)

// RawAcceptor makes one for a listener of Listen. errors.ErrUnsupported: accept from it as usual. From here on the kernel hands
// over a connection once it has sent something, or after a second or two: a connect then wakes this process once, with its
// request, and connections that send nothing cost no descriptor meanwhile. tcp(7), TCP_DEFER_ACCEPT.
func (l *Loop) RawAcceptor(from net.Listener) (*RawAcceptor, error) {
	a := &RawAcceptor{set: l.set}
	if r, ok := from.(*reservingListener); ok {
		a.reserve, from = r, r.Listener
	}
	own, ok := from.(*listener)
	if !ok || l.set == nil {
		return nil, fmt.Errorf("%w: %w", errNoRawAccept, errors.ErrUnsupported)
	}
	f, err := own.duplicate()
	if err != nil {
		return nil, fmt.Errorf("frontend/sock: raw accept on %v: %w", from.Addr(), err)
	}
	a.from, a.accept = own, a.acceptSome
	if a.raw, err = f.SyscallConn(); err == nil {
		cerr := a.raw.Control(func(fd uintptr) {
			if err = setOptions(int(fd), l.cfg); err == nil { // inherited: no call a connection is needed for them
				err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, deferSeconds)
			}
		})
		err = errors.Join(err, cerr)
	}
	if err != nil {
		return nil, fmt.Errorf("frontend/sock: raw accept on %v: %w", from.Addr(), err)
	}
	return a, nil
}

// Accept calls each with the connections that come, and returns after some of them, so that other goroutines have their turn. The
// error is net.ErrClosed after the listener was closed; after others it may be called again.
func (a *RawAcceptor) Accept(each func(RawConn)) error {
	a.each, a.accepted, a.err = each, 0, nil
	err := a.raw.Read(a.accept)
	a.each = nil
	switch {
	case err != nil && a.from.isClosed():
		return net.ErrClosed
	case err != nil:
		return fmt.Errorf("frontend/sock: wait for connections: %w", err)
	case a.err != nil:
		return fmt.Errorf("frontend/sock: accept connections: %w", os.NewSyscallError("accept4", a.err))
	}
	return nil
}

// acceptSome accepts what is there; false where the runtime's poller is to wait for more.
func (a *RawAcceptor) acceptSome(fd uintptr) bool {
	for a.accepted < maxAccepts {
		c, remote, err := acceptNow(int(fd))
		switch err {
		case nil:
			a.accepted++
			conn := RawConn{a.set, c, remote}
			if a.reserve != nil && a.reserve.isReserved(c) {
				conn.Close()
				continue
			}
			a.each(conn)
		case unix.EINTR, unix.ECONNABORTED:
		case unix.EAGAIN:
			return false
		default:
			a.err = err
			return true
		}
	}
	return true
}

// RawConn is a connection that nobody serves yet. After Reads, exactly one of its other methods is called, once.
type RawConn struct {
	set    *epollSet
	fd     int
	Remote netip.AddrPort
}

// Read reads what has come, without waiting: 0 bytes without an error are none yet.
func (c RawConn) Read(b []byte) (int, error) {
	for {
		n, err := readNow(c.fd, b)
		switch {
		case n > 0:
			return n, nil
		case n == 0:
			return 0, net.ErrClosed
		case err == unix.EAGAIN:
			return 0, nil
		case err != unix.EINTR:
			return 0, os.NewSyscallError("read", err)
		}
	}
}

// Attach gives the connection to the Loop, as Loop.Add does. It is closed where that fails.
func (c RawConn) Attach(h Handler) (Conn, error) {
	p := c.set.pollers[c.set.next.Add(1)%uint32(len(c.set.pollers))]
	conn := &epollConn{p: p, h: h, fd: int32(c.fd)}
	if err := p.register(conn); err != nil {
		c.Close()
		return nil, fmt.Errorf("frontend/sock: add connection of %v: %w", c.Remote, err)
	}
	return conn, nil
}

// Conn is the connection as package net has it. It is closed where that fails.
func (c RawConn) Conn() (net.Conn, error) {
	f := os.NewFile(uintptr(c.fd), "connection")
	conn, err := net.FileConn(f) // has a duplicate
	_ = f.Close()
	if err != nil {
		return nil, fmt.Errorf("frontend/sock: hand on connection of %v: %w", c.Remote, err)
	}
	if conn.RemoteAddr() == nil { // net has asked the system for it, and nobody looks before using it
		_ = conn.Close()
		return nil, fmt.Errorf("frontend/sock: hand on connection of %v: %w", c.Remote, os.NewSyscallError("getpeername", unix.ENOTCONN))
	}
	if tcp, ok := conn.(*net.TCPConn); ok { // net has set a keepalive of its own
		every := c.set.cfg.KeepAlive
		if err := tcp.SetKeepAliveConfig(net.KeepAliveConfig{Enable: every > 0, Idle: every, Interval: every, Count: -1}); err != nil {
			_ = conn.Close()
			return nil, fmt.Errorf("frontend/sock: hand on connection of %v: %w", c.Remote, err)
		}
	}
	return conn, nil
}

// Close closes the connection.
func (c RawConn) Close() { closeNow(c.fd) }
