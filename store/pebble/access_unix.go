//go:build unix

package pebble

import "golang.org/x/sys/unix"

// access says why this user may not read, write and search dir.
func access(dir string) error { return unix.Access(dir, unix.R_OK|unix.W_OK|unix.X_OK) }
