//go:build unix

package pebble

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// lockSelf locks the directory itself, which nobody can remove unseen: the file LOCK, which the engine locks, can be. Nil where
// the file system has no such locks.
func lockSelf(dir string) (io.Closer, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(d.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		return d, nil
	}
	_ = d.Close()
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, ErrInUse
	}
	return nil, nil
}

// sameDisk reports that two directories are on one file system, as far as is known.
func sameDisk(a, b string) bool {
	var one, other unix.Stat_t
	return unix.Stat(a, &one) == nil && unix.Stat(b, &other) == nil && one.Dev == other.Dev
}
