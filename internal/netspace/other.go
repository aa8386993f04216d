//go:build !linux

package netspace

import (
	"context"
	"net"
)

// Space does not exist here.
type Space struct{}

// New always fails here.
func New(func() error) (*Space, error) { return nil, ErrNoSpaces }

// Close does nothing here.
func (*Space) Close() error { return nil }

// Enter always fails here.
func (*Space) Enter() error { return ErrNoSpaces }

// Do always fails here.
func (*Space) Do(func() error) error { return ErrNoSpaces }

// Dial always fails here.
func (*Space) Dial(context.Context, string, string) (net.Conn, error) { return nil, ErrNoSpaces }

// Listen always fails here.
func (*Space) Listen(context.Context, string, string) (net.Listener, error) { return nil, ErrNoSpaces }

// Network does not exist here.
type Network struct{}

// Host does not exist here.
type Host struct {
	*Space
	Name string
}

// HostAddresses is how many addresses a host has.
const HostAddresses = 3

// Addr is no address here.
func (*Host) Addr(int) string { return "" }

// NewNetwork always fails here.
func NewNetwork() (*Network, error) { return nil, ErrNoSpaces }

// Add always fails here.
func (*Network) Add(string) (*Host, error) { return nil, ErrNoSpaces }

// Cut always fails here.
func (*Network) Cut(_, _ *Host) error { return ErrNoSpaces }

// Heal always fails here.
func (*Network) Heal(_, _ *Host) error { return ErrNoSpaces }

// Close does nothing here.
func (*Network) Close() error { return nil }

// Inside is false here.
func Inside() bool { return false }

// Relocated always fails here.
func Relocated(...string) (status int, err error) { return 0, ErrNoSpaces }

// Setup does nothing here.
func Setup() error { return nil }

// Possible always fails here.
func Possible() error { return ErrNoSpaces }
