package testserver

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// dirPrefix begins the name of every folder that NewDir makes.
const dirPrefix = "ramen-testserver-"

// lockName is a file in each folder that is locked as long as the process that made the folder lives.
const lockName = "lock"

// NewDir makes a folder for a server in os.TempDir, and removes what processes left there that were killed. release removes the folder.
func NewDir(name string) (dir string, release func() error, err error) {
	fail := func(err error) (string, func() error, error) {
		return "", nil, fmt.Errorf("testserver: make a folder: %w", err)
	}
	// Held while a folder has no lock yet, which others would take for one that was left.
	all, err := Lock(filepath.Join(os.TempDir(), fmt.Sprintf("%slock-%d", dirPrefix, os.Getuid())))
	if err != nil {
		return fail(err)
	}
	defer all.Close()
	if err := removeLeft(); err != nil {
		return fail(err)
	}
	if dir, err = os.MkdirTemp("", dirPrefix+name+"-"); err != nil {
		return fail(err)
	}
	mine, err := Lock(filepath.Join(dir, lockName))
	if err != nil {
		return fail(errors.Join(err, os.RemoveAll(dir)))
	}
	return dir, func() error { return errors.Join(os.RemoveAll(dir), mine.Close()) }, nil
}

// removeLeft removes the folders whose processes are gone.
func removeLeft() error {
	dirs, err := filepath.Glob(filepath.Join(os.TempDir(), dirPrefix+"*", lockName))
	if err != nil {
		return err
	}
	for _, path := range dirs {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			continue // removed by its owner just now, or another user's
		}
		if err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err == nil {
			err = os.RemoveAll(filepath.Dir(path))
		} else {
			err = nil // its process lives
		}
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	return nil
}

// Lock waits until no other process, and no other caller here, has the lock at path. Closing the file gives it back, and so does the
// end of this process.
func Lock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		if err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err == nil {
			return f, nil
		}
		if !errors.Is(err, syscall.EINTR) {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
		}
	}
}
