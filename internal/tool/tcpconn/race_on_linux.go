//go:build race

package tcpconn

import (
	"runtime"
	"syscall"
	"unsafe"
)

// The race detector takes what one end of a connection wrote as ordered before what the other end reads, but only where package syscall makes
// the calls. These hooks tell it the same, by calls that do nothing else.

// announce goes before a write.
func (r *call) announce(trap uintptr) {
	if trap == syscall.SYS_WRITE && len(r.b) > 0 {
		runtime.RaceReadRange(unsafe.Pointer(unsafe.SliceData(r.b)), len(r.b))
		_, _ = syscall.Write(-1, nil) // EBADF
	}
}

// announced goes behind a read.
func (r *call) announced(trap, fd uintptr) {
	if trap == syscall.SYS_READ && r.n > 0 {
		runtime.RaceWriteRange(unsafe.Pointer(unsafe.SliceData(r.b)), r.n)
		_, _ = syscall.Read(int(fd), nil) // 0 bytes of a socket: done at once
	}
}
