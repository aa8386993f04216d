package pebble

import (
	"errors"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// markerPrefix is of the files whose names say which manifest counts.
const markerPrefix = "marker."

// namesFirst syncs the directory before a marker is made. The engine makes a manifest, syncs its content, makes the marker
// that names it, and then syncs the directory once for both names: where a loss of power keeps the second name and not
// the first, the store does not open any more. (Journals of Linux file systems keep the order; POSIX does not say so.)
type namesFirst struct{ vfs.FS }

func (f namesFirst) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if strings.HasPrefix(f.PathBase(name), markerPrefix) {
		if err := syncDir(f.FS, f.PathDir(name)); err != nil {
			return nil, err
		}
	}
	return f.FS.Create(name, category)
}

// Unwrap is for vfs.Root.
func (f namesFirst) Unwrap() vfs.FS { return f.FS }

func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
