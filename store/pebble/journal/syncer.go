package journal

import (
	"errors"

	"github.com/cockroachdb/pebble/v2/vfs"

	"ramen/store/pebble/datasync"
)

// syncer brings what was written to a file to the disk: without a thread that waits, where the system can. It is for one
// goroutine.
type syncer struct {
	aio *datasync.Syncer // nil: there is none
}

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

func (s *syncer) close() error {
	if s.aio == nil {
		return nil
	}
	return s.aio.Close()
}
