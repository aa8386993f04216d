package pebble

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	engine "github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// ErrInUse is the answer for a directory that a process has open.
var ErrInUse = errors.New("the directory is in use by another ramen process; give each process its own")

// lockDir keeps other processes out of dir, until the lock is closed.
func lockDir(files vfs.FS, dir string) (*engine.Lock, error) {
	lock, err := engine.LockDirectory(dir, files)
	if err == nil {
		return lock, nil
	}
	_, inPath := errors.AsType[*fs.PathError](err)
	errno, inCall := errors.AsType[syscall.Errno](err)
	switch {
	case inPath: // the file of the lock cannot be made or opened
		return nil, fmt.Errorf("the directory cannot be locked: its files must be this user's to write: %w", err)
	case inCall && errno != syscall.EAGAIN && errno != syscall.EACCES: // fcntl(2): those two say that it is held
		return nil, fmt.Errorf("the directory cannot be locked: its file system must have locks: %w", err)
	}
	return nil, ErrInUse
}
