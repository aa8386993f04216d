//go:build !unix

package pebble

import "io"

func lockSelf(string) (io.Closer, error) { return nil, nil }

func sameDisk(string, string) bool { return true }
