//go:build unix

package main

import (
	"io"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// whenReaderGone calls gone once nobody reads the pipe that out is, without waiting for the next write to find out. A
// write to it fails from now on, instead of ending the process by SIGPIPE. The function that it returns ends it.
func whenReaderGone(out io.Writer, gone func()) (end func()) {
	f, ok := fileOf(out)
	if !ok {
		return func() {}
	}
	if st, err := f.Stat(); err != nil || st.Mode()&os.ModeNamedPipe == 0 {
		return func() {}
	}
	wakes, wake, err := os.Pipe()
	if err != nil {
		return func() {}
	}
	signal.Ignore(syscall.SIGPIPE)
	// Of the end that writes, POLLERR says that no one reads; it is reported unasked.
	fds := []unix.PollFd{{Fd: int32(f.Fd())}, {Fd: int32(wakes.Fd())}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, err := unix.Poll(fds, -1)
		for err == unix.EINTR {
			_, err = unix.Poll(fds, -1)
		}
		if fds[0].Revents != 0 {
			gone()
		}
	}()
	return func() {
		_ = wake.Close()
		<-done
		_ = wakes.Close()
	}
}
