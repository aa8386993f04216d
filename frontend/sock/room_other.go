//go:build !linux

package sock

import "net"

// Roomy is l: whether a socket has room is not asked here.
func Roomy(l net.Listener, _ Config) net.Listener { return l }
