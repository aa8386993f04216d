package slow

import "ramen/internal/netspace"

// Space is a network namespace of its own.
type Space struct{ *netspace.Space }

// newSpace makes a namespace and runs first in it: what opens its device.
func newSpace(first func() error) (*Space, error) {
	s, err := netspace.New(first)
	if err != nil {
		return nil, err
	}
	return &Space{s}, nil
}
