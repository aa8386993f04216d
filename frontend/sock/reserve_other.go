//go:build !unix

package sock

import "net"

func descriptors() int { return 0 }

func descriptor(net.Conn) int { return -1 }
