//go:build !unix

package pebble

func access(string) error { return nil }
