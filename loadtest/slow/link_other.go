//go:build !linux

package slow

import (
	"errors"
	"net/netip"

	"ramen/internal/netspace"
)

var errSystem = errors.New("slow: a slow link is made of Linux's network namespaces and TUN devices: there is none on this system")

// The addresses of the two ends.
var NearAddr, FarAddr netip.Addr

// Space does not exist here.
type Space struct{ *netspace.Space }

// Unacked always fails here.
func (*Space) Unacked(uint16) (int, error) { return 0, errSystem }

// Link does not exist here.
type Link struct{ Near, Far *Space }

// Open always fails here.
func Open(Config) (*Link, error) { return nil, errSystem }

// Cut does nothing here.
func (*Link) Cut() {}

// Stats is nothing here.
func (*Link) Stats() (down, up Stats) { return }

// Close does nothing here.
func (*Link) Close() error { return nil }
