package journal

import (
	"errors"
	"fmt"
	"unsafe"

	"github.com/cockroachdb/pebble/v2/vfs"

	"ramen/store/pebble/datasync"
)

// syncer brings what was written to a file to the disk: without a thread that waits, where the system can. It is for one
// goroutine.
type syncer struct {
	aio *datasync.Syncer // nil: there is none

	buf    []byte   // what write hands to the disk, at an address for it
	last   []byte   // the last block of buf that was written
	lastAt int64    // where last is
	lastOf vfs.File // its file; nil: last is of none
}

// errUnfit says that a write has to go another way. Nothing was written.
var errUnfit = fmt.Errorf("%w: no whole blocks, or too many", datasync.ErrUnsupported)

// mostDirect is how much is written past the kernel's cache at once: what is copied to be.
const mostDirect = 256 << 10

// start takes what the system has, if f is a file of its.
func (s *syncer) start(f vfs.File) {
	if f.Fd() == vfs.InvalidFd {
		return
	}
	if aio, err := datasync.New(); err == nil { // else it does without
		s.aio = aio
	}
}

// waits reports that sync costs no thread.
func (s *syncer) waits() bool { return s.aio != nil }

func (s *syncer) sync(f vfs.File) error {
	if s.aio == nil || f.Fd() == vfs.InvalidFd {
		return f.SyncData()
	}
	err := s.aio.Sync(f.Fd())
	if errors.Is(err, datasync.ErrUnsupported) {
		return f.SyncData()
	}
	return err
}

// write writes parts at off through the descriptor direct, in whole blocks, and returns once they are on the disk. The first
// block is written anew where a record begins in the middle of it, with the bytes that it has. An error that wraps
// datasync.ErrUnsupported means that nothing was written.
func (s *syncer) write(direct int, f vfs.File, parts [][]byte, off int64) error {
	begin := off &^ (datasync.Block - 1)
	n := int(off - begin)
	for _, p := range parts {
		n += len(p)
	}
	if n%datasync.Block != 0 || n > mostDirect {
		s.lastOf = nil
		return errUnfit
	}
	s.grow(n)
	if err := s.first(f, begin, int(off-begin)); err != nil {
		return err
	}
	b := s.buf[:off-begin]
	for _, p := range parts {
		b = append(b, p...)
	}
	s.lastOf = nil
	if err := s.aio.Write(uintptr(direct), b, begin); err != nil {
		return err
	}
	s.last = append(s.last[:0], b[n-datasync.Block:]...)
	s.lastOf, s.lastAt = f, begin+int64(n)-datasync.Block
	return nil
}

// first puts what the block at begin has in its first n bytes into buf.
func (s *syncer) first(f vfs.File, begin int64, n int) error {
	switch {
	case n == 0:
	case s.lastOf == f && s.lastAt == begin:
		copy(s.buf[:n], s.last)
	default:
		if _, err := f.ReadAt(s.buf[:n], begin); err != nil {
			return fmt.Errorf("%w: read what is there: %v", errUnfit, err)
		}
	}
	return nil
}

func (s *syncer) grow(n int) {
	if len(s.buf) >= n {
		return
	}
	size := max(n, min(2*len(s.buf), mostDirect), 4*datasync.Block)
	b := make([]byte, size+datasync.Block)
	skip := -int(uintptr(unsafe.Pointer(&b[0]))) & (datasync.Block - 1)
	s.buf = b[skip : skip+size : skip+size]
}

func (s *syncer) close() error {
	if s.aio == nil {
		return nil
	}
	return s.aio.Close()
}
