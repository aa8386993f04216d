package journal

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

const (
	namePrefix = "journal-"
	nameDigits = 12
	// fillStep is how much of a segment is made, and synced, at once. What a power cut leaves of the last step may be no
	// more than a length.
	fillStep = 1 << 20
	// fillWrite is how much of a step is written at once.
	fillWrite = 16 << 10
	// pageSize is what Linux reads before it writes a part of it: every write goes on to the end of one.
	pageSize = 4 << 10
)

// category is under which the engine's file system counts our writes.
const category vfs.DiskWriteCategory = "ramen-journal"

var zeros [fillWrite]byte

// segment is one file. Its number, name and file belong to who has it: the writer the current one, the checkpointer the others.
type segment struct {
	number uint64
	name   string
	file   vfs.File
	out    output
	size   int64 // bytes that are there to be written over
	told   int64 // the size that its records tell: what lies behind is not used before they do
	reused bool  // it had records of an earlier life
	kept   int64 // up to there memory was given back
	place        // what is written
	sealed time.Time
}

func segmentName(number uint64) string { return fmt.Sprintf("%s%0*d", namePrefix, nameDigits, number) }

// Number is the number of the segment in the file of that name, if it is one.
func Number(name string) (number uint64, ok bool) { return parseName(name) }

func parseName(name string) (number uint64, ok bool) {
	digits, found := strings.CutPrefix(name, namePrefix)
	if !found || len(digits) < nameDigits {
		return 0, false
	}
	number, err := strconv.ParseUint(digits, 10, 64)
	return number, err == nil && number > 0 && segmentName(number) == name
}

func openSegment(fs vfs.FS, dir string, number uint64, readOnly bool) (*segment, error) {
	s := &segment{number: number, name: fs.PathJoin(dir, segmentName(number))}
	var f vfs.File
	var err error
	if readOnly {
		f, err = fs.Open(s.name)
	} else {
		f, err = fs.OpenReadWrite(s.name, category)
	}
	if err != nil {
		return nil, err
	}
	s.file, s.out = f, newOutput(f)
	return s, nil
}

func (s *segment) close() error {
	s.out.close()
	return s.file.Close()
}

// rename makes s segment number, in name only: the directory is to be synced.
func (s *segment) rename(fs vfs.FS, dir string, number uint64) error {
	name := fs.PathJoin(dir, segmentName(number))
	if name != s.name {
		if err := fs.Rename(s.name, name); err != nil {
			return err
		}
	}
	s.number, s.name, s.place, s.kept, s.told = number, name, place{}, 0, 0
	return nil
}

// found takes over the size that a file was found with, less what may be a mere length.
func (s *segment) found() error {
	info, err := s.file.Stat()
	if err != nil {
		return err
	}
	s.size = max(info.Size()-fillStep, 0) &^ (align - 1)
	return nil
}

// fill makes s size bytes large, of zeros, in steps, with a pause behind each; nil: none.
func (s *segment) fill(size int64, disk *syncer, pause func()) error {
	for s.size < size {
		n := min(size-s.size, fillStep)
		for at := int64(0); at < n; at += fillWrite {
			if _, err := s.file.WriteAt(zeros[:min(fillWrite, n-at)], s.size+at); err != nil {
				return err
			}
		}
		if err := disk.sync(s.file); err != nil {
			return err
		}
		s.out.unneeded(s.size, n)
		s.size += n
		if pause != nil {
			pause()
		}
	}
	return nil
}

// output writes parts at an offset, and syncs them; a nil syncer: it does not.
type output interface {
	write(parts [][]byte, off int64, disk *syncer) error
	// unneeded says that what was written, and synced, there is not read soon.
	unneeded(off, n int64)
	// close lets go of what the output has beside the file.
	close()
}

// fileOutput is for files that are not the operating system's: a write, then a sync.
type fileOutput struct {
	file vfs.File
	buf  []byte
}

func (o *fileOutput) unneeded(int64, int64) {}
func (o *fileOutput) close()                {}

const keptBuf = 1 << 20

func (o *fileOutput) write(parts [][]byte, off int64, disk *syncer) error {
	o.buf = o.buf[:0]
	for _, p := range parts {
		o.buf = append(o.buf, p...)
	}
	_, err := o.file.WriteAt(o.buf, off)
	if cap(o.buf) > keptBuf {
		o.buf = nil
	}
	if err != nil || disk == nil {
		return err
	}
	return disk.sync(o.file)
}
