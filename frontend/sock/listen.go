package sock

import (
	"context"
	"fmt"
	"net"
	"syscall"
)

// Listen listens for TCP connections that have cfg's options from their accept on: they inherit them from the listening socket,
// which spares system calls a connection. Multipath TCP is off: its sockets refuse TCP_USER_TIMEOUT.
func Listen(ctx context.Context, addr string, cfg Config) (net.Listener, error) {
	lc := net.ListenConfig{
		KeepAlive: -1, // set below, once
		Control: func(_, _ string, rc syscall.RawConn) error {
			var err error
			if cerr := rc.Control(func(fd uintptr) { err = setOptions(int(fd), cfg) }); cerr != nil {
				return cerr
			}
			return err
		},
	}
	lc.SetMultipathTCP(false)
	l, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("frontend/sock: listen on %s: %w", addr, err)
	}
	return &listener{TCPListener: l.(*net.TCPListener)}, nil
}

// prepare gives cfg's options to a connection that may come from another listener.
func prepare(c syscall.Conn, cfg Config) error {
	rc, err := c.SyscallConn()
	if err != nil {
		return err
	}
	if cerr := rc.Control(func(fd uintptr) { err = ensureOptions(int(fd), cfg) }); cerr != nil {
		return cerr
	}
	return err
}
