//go:build !linux

package sock

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
)

// RawAcceptor does not exist here: net.Listener is used.
type RawAcceptor struct{}

// RawAcceptor answers errors.ErrUnsupported.
func (*Loop) RawAcceptor(net.Listener) (*RawAcceptor, error) {
	return nil, fmt.Errorf("%w: %w", errNoRawAccept, errors.ErrUnsupported)
}

// Accept is never called.
func (*RawAcceptor) Accept(func(RawConn)) error { return net.ErrClosed }

// RawConn does not exist here.
type RawConn struct{ Remote netip.AddrPort }

// Read is never called, like all that follow.
func (RawConn) Read([]byte) (int, error) { return 0, net.ErrClosed }

// Attach is never called.
func (RawConn) Attach(Handler) (Conn, error) { return nil, net.ErrClosed }

// Conn is never called.
func (RawConn) Conn() (net.Conn, error) { return nil, net.ErrClosed }

// Close is never called.
func (RawConn) Close() {}
