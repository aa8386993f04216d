//go:build !linux

package sock

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
)

// Arrivals does not exist here: every listener is accepted from as usual.
type Arrivals struct{}

// Arrivals answers errors.ErrUnsupported.
func (*Loop) Arrivals(net.Listener) (*Arrivals, error) {
	return nil, fmt.Errorf("%w: %w", errNoArrivals, errors.ErrUnsupported)
}

// Accept is never called.
func (*Arrivals) Accept(func(Arrival)) error { return net.ErrClosed }

// Arrival does not exist here.
type Arrival struct{ Remote netip.AddrPort }

// Read is never called, like all that follow.
func (Arrival) Read([]byte) (int, error) { return 0, net.ErrClosed }

// Serve is never called.
func (Arrival) Serve(Handler) (Conn, error) { return nil, net.ErrClosed }

// Conn is never called.
func (Arrival) Conn() (net.Conn, error) { return nil, net.ErrClosed }

// Close is never called.
func (Arrival) Close() {}
