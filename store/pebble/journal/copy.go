package journal

import (
	"io"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// extent is as much of a segment as a copy takes.
type extent struct {
	s      *segment
	number uint64
	length int64
	size   int64 // that its records tell
}

// Copy writes the segments that are not released to dir, with all that was written before the call: what an Open finds there is
// what it would find here after a kill. Nobody may call Prepare or Release meanwhile. It answers the names of the files.
func (j *Journal) Copy(dir string) (names []string, err error) {
	for _, e := range j.extents() {
		name := segmentName(e.number)
		if err := copySegment(j.cfg.FS, e, j.cfg.FS.PathJoin(dir, name)); err != nil {
			return names, err
		}
		names = append(names, name)
	}
	return names, nil
}

func (j *Journal) extents() (all []extent) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, s := range j.sealed {
		all = append(all, extent{s, s.number, s.length, max(s.told, s.length)})
	}
	return append(all, extent{j.current, j.current.number, j.used.Load(), j.told.Load()})
}

// copySegment makes a file of what was written, and zeros up to the size that it tells.
func copySegment(fs vfs.FS, e extent, path string) error {
	f, err := fs.Create(path, category)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, io.NewSectionReader(e.s.file, 0, e.length))
	for left := e.size - e.length; left > 0 && err == nil; left -= fillWrite {
		_, err = f.Write(zeros[:min(left, fillWrite)])
	}
	if err == nil {
		err = f.Sync()
	}
	if closing := f.Close(); err == nil {
		err = closing
	}
	return err
}
