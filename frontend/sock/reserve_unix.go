//go:build unix

package sock

import (
	"net"
	"syscall"
)

// descriptors is how many files the process may have open; 0: it is not known.
func descriptors() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0
	}
	return int(min(limit.Cur, 1<<30))
}

// descriptor is c's number; -1 where it has none.
func descriptor(c net.Conn) int {
	s, ok := c.(syscall.Conn)
	if !ok {
		return -1
	}
	rc, err := s.SyscallConn()
	if err != nil {
		return -1
	}
	number := -1
	if err := rc.Control(func(fd uintptr) { number = int(fd) }); err != nil {
		return -1
	}
	return number
}
