//go:build !linux

package sock

import "net"

// BoundUnsent is l: whether a socket is writable is not asked here.
func BoundUnsent(l net.Listener, _ Config) net.Listener { return l }
