package journal

import (
	"errors"
	"io"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"

	"ramen/store/pebble/datasync"
)

func newOutput(f vfs.File) output {
	if f.Fd() == vfs.InvalidFd {
		return &fileOutput{file: f}
	}
	o := &fdOutput{fd: int(f.Fd()), direct: -1, slow: fileOutput{file: f}}
	if fd, err := datasync.OpenDirect(f.Fd()); err == nil { // else it does without
		o.direct = fd
	}
	return o
}

// fdOutput writes all parts in one system call: past the kernel's cache and with the sync where it can; else it syncs in the same
// one where it cannot wait for the disk without a thread.
type fdOutput struct {
	fd     int
	direct int        // the same file; -1: not to be used
	slow   fileOutput // where the file system does not know the flag
	old    bool
	rest   [][]byte
}

// maxParts is IOV_MAX of Linux.
const maxParts = 1024

func (o *fdOutput) write(parts [][]byte, off int64, disk *syncer) error {
	if o.direct >= 0 && disk != nil && disk.waits() {
		err := disk.write(o.direct, o.slow.file, parts, off)
		if !errors.Is(err, datasync.ErrUnsupported) {
			return err
		}
		if !errors.Is(err, errUnfit) {
			o.closeDirect()
		}
	}
	if o.old {
		return o.slow.write(parts, off, disk)
	}
	flags := 0
	if disk != nil && !disk.waits() {
		flags = unix.RWF_DSYNC
	}
	o.rest = append(o.rest[:0], parts...)
	defer clear(o.rest)
	for rest, at := o.rest, off; len(rest) > 0; {
		n, err := unix.Pwritev2(o.fd, rest[:min(len(rest), maxParts)], at, flags)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS):
			o.old = true
			return o.slow.write(parts, off, disk)
		case err != nil:
			return err
		case n == 0:
			return io.ErrShortWrite
		}
		at += int64(n)
		rest = behind(rest, n)
	}
	if disk == nil || flags != 0 {
		return nil
	}
	return disk.sync(o.slow.file)
}

func (o *fdOutput) close() { o.closeDirect() }

func (o *fdOutput) closeDirect() {
	if o.direct >= 0 {
		_ = unix.Close(o.direct) // what went through it is on the disk
	}
	o.direct = -1
}

// unneeded gives the memory back: a journal is written, and read by Open alone.
func (o *fdOutput) unneeded(off, n int64) { _ = unix.Fadvise(o.fd, off, n, unix.FADV_DONTNEED) }

// behind is what of parts comes after n bytes; it changes the part that is cut.
func behind(parts [][]byte, n int) [][]byte {
	for len(parts) > 0 && n >= len(parts[0]) {
		n -= len(parts[0])
		parts = parts[1:]
	}
	if len(parts) > 0 {
		parts[0] = parts[0][n:]
	}
	return parts
}
