//go:build !linux

package journal

import "github.com/cockroachdb/pebble/v2/vfs"

func newOutput(f vfs.File) output { return &fileOutput{file: f} }
