package pebble

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

const (
	// markerPrefix is of the files whose names say which manifest counts.
	markerPrefix = "marker."
	// The engine's categories of files that it writes when it merges others, and when it empties a memtable.
	compactionFile vfs.DiskWriteCategory = "pebble-compaction"
	flushFile      vfs.DiskWriteCategory = "pebble-memtable-flush"

	spacePause = time.Second           // how long a file waits for room before the engine is told that there is none
	spacePoll  = 50 * time.Millisecond // between looks
)

// guardFS keeps the engine from two traps.
//
// It syncs the directory before a marker is made. The engine makes a manifest, syncs its content, makes the marker that
// names it, and then syncs the directory once for both names: where a loss of power keeps the second name and not the
// first, the store does not open any more. (Journals of Linux file systems keep the order; POSIX does not say so.)
//
// And it holds compactions back while the disk is nearly full: they need room for their output beside their input, and
// would take what the manifest needs, whose failure is fatal. A compaction that is refused is tried again, perhaps a smaller
// one. Flushes are only slowed: the engine repeats a failing one without a pause.
type guardFS struct {
	vfs.FS
	diskSpace *diskSpace
}

func (f guardFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	switch {
	case strings.HasPrefix(f.PathBase(name), markerPrefix):
		if err := syncDir(f.FS, f.PathDir(name)); err != nil {
			return nil, err
		}
		file, err := f.FS.Create(name, category)
		if err == nil {
			_, _ = file.Write([]byte(markerText)) // its name alone counts
		}
		return file, err
	case category == compactionFile:
		if !f.diskSpace.awaitCompaction() {
			return nil, fmt.Errorf("%w: a compaction waits for room", ErrFull)
		}
	case category == flushFile:
		f.diskSpace.await(f.diskSpace.flushes)
	}
	return f.FS.Create(name, category)
}

// Unwrap is for vfs.Root.
func (f guardFS) Unwrap() vfs.FS { return f.FS }

func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
