//go:build race

package sock

import (
	"runtime"
	"syscall"
	"unsafe"
)

// The race detector takes what one end of a connection wrote as ordered before what the other end reads, but only where package
// syscall makes the calls. These hooks tell it the same of the calls of raw_linux.go, by calls that do nothing else.

// raceWrite goes before a write of b.
func raceWrite(b []byte) {
	if len(b) > 0 {
		runtime.RaceReadRange(unsafe.Pointer(unsafe.SliceData(b)), len(b))
	}
	_, _ = syscall.Write(-1, nil) // EBADF
}

// raceRead goes behind a read that put n bytes into b.
func raceRead(fd int, b []byte, n int) {
	if n > 0 {
		runtime.RaceWriteRange(unsafe.Pointer(unsafe.SliceData(b)), n)
	}
	_, _ = syscall.Read(fd, nil) // 0 bytes of a socket: done at once
}
