package pebble

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"syscall"

	engine "github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// ErrInUse is the answer where another process has the directory.
var ErrInUse = errors.New("the directory is in use by another ramen process: stop that one, or give each process its own directory")

// dirLock keeps other processes out of a directory.
type dirLock struct {
	file *engine.Lock // LOCK, which releases before know alone
	self io.Closer    // nil: there is none
}

func lockDir(files vfs.FS, dir string) (*dirLock, error) {
	var l dirLock
	var err error
	if files == vfs.Default {
		if l.self, err = lockSelf(dir); err != nil {
			return nil, lockError(err)
		}
	}
	if l.file, err = engine.LockDirectory(dir, files); err != nil {
		return nil, errors.Join(lockError(err), l.close())
	}
	return &l, nil
}

// lockError says whether somebody has the directory, or it cannot be locked.
func lockError(err error) error {
	var path *fs.PathError
	held := !errors.As(err, &path) && (errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES)) ||
		strings.Contains(err.Error(), "lock held by current process") // the engine has no value for it
	switch {
	case errors.Is(err, ErrInUse), held:
		return ErrInUse
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("the directory cannot be locked: %w: this process's user must be able to write to it and to its files", err)
	}
	return fmt.Errorf("the directory cannot be locked: %w", err)
}

func (l *dirLock) close() (err error) {
	if l.file != nil {
		err = l.file.Close()
	}
	if l.self != nil {
		err = errors.Join(err, l.self.Close())
	}
	return err
}
