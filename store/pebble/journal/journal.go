package journal

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// ErrNoRoom is the answer where the disk has no room for a record. Nothing was written.
var ErrNoRoom = errors.New("journal: no room on the disk")

// ErrBehind is the answer to Prepare where there are as many segments as there may be: some must be released first.
var ErrBehind = errors.New("journal: every segment is in use")

// FirstBytes is how large the first segment is made; each is made four times the one before, so that a store that writes
// little stays small.
const FirstBytes = 4 << 20

// Config of a journal.
type Config struct {
	FS  vfs.FS
	Dir string
	// Secret is where checksums start: whoever makes payloads must not know it.
	Secret uint32
	// SegmentBytes is how large a segment gets. A record that is larger makes its segment as large as it needs.
	SegmentBytes int64
	// MaxSegments is how many files there may be, the ones that wait to be used again included; from 2.
	MaxSegments int
	// Admit answers nil where the disk can spare so many bytes. Nil: always.
	Admit func(bytes int64) error
	// NoSync breaks invariant 1: for tests that must see what is lost then.
	NoSync bool
}

// Journal is an open journal. Make one with Open.
type Journal struct {
	cfg Config // immutable

	// owned by the writer
	heads  [2 * headerSize]byte
	head   [headSize]byte
	parts  [][]byte
	before place // of the segment before the current one

	writing, making syncer // the writer's, and that of who calls Prepare

	room  atomic.Int64 // bytes in the current segment and the next
	used  atomic.Int64 // bytes in the current segment
	size  atomic.Int64 // of the current segment
	bytes atomic.Int64 // of all files

	mu sync.Mutex
	// guarded by mu
	current *segment // its place and size are the writer's
	next    *segment // nil: Prepare
	sealed  []*segment
	free    []*segment
	files   int
}

// Write appends a record of parts, and answers its segment. Nil means that it is on the disk.
func (j *Journal) Write(parts ...[]byte) (number uint64, err error) {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	if n > maxPayload {
		return 0, fmt.Errorf("%w: a record of %d bytes, the most is %d", ErrNoRoom, n, maxPayload)
	}
	s, err := j.fit(recordSize(n))
	if err != nil {
		return 0, err
	}
	all, used, records := j.parts[:0], s.length, s.records
	if records == 0 {
		putHead(j.head[:], j.before)
		putHeader(j.heads[headerSize:], j.cfg.Secret, s.number, 0, j.head[:])
		all = append(all, j.heads[headerSize:], j.head[:])
		used, records = headRecord, 1
	}
	putHeader(j.heads[:], j.cfg.Secret, s.number, records, parts...)
	all = append(append(all, j.heads[:headerSize]), parts...)
	end := used + headerSize + int64(n)
	if page := (end + pageSize - 1) &^ (pageSize - 1); page <= s.size {
		all = append(all, zeros[:page-end])
	}
	disk := &j.writing
	if j.cfg.NoSync {
		disk = nil
	}
	err = s.out.write(all, s.length, disk)
	clear(all)
	j.parts = all[:0]
	if err != nil {
		return 0, fmt.Errorf("journal: write record %d of %s at %d: %w", records, s.name, s.length, err)
	}
	s.place = place{length: used + recordSize(n), records: records + 1}
	if n := s.length&^(pageSize-1) - s.kept; n >= fillStep {
		s.out.unneeded(s.kept, n)
		s.kept += n
	}
	j.count(s)
	return s.number, nil
}

// fit is a segment with room for n bytes: the current one, else the next, else one that is made larger.
func (j *Journal) fit(n int64) (*segment, error) {
	s := j.current
	if s.length+headRecord+n > s.size && j.Rotate() {
		s = j.current
	}
	if need := s.length + headRecord + n; need > s.size {
		err := j.grow(s, max(need, min(s.size+fillStep, j.cfg.SegmentBytes)), &j.writing, nil)
		if err != nil && !isNoRoom(err) { // a sync that failed, say: of a file that has records
			return nil, fmt.Errorf("journal: make %s %d bytes large: %w", s.name, need, err)
		}
		if s.size < need {
			return nil, fmt.Errorf("%w: make %s %d bytes large: %v", ErrNoRoom, s.name, need, err)
		}
	}
	return s, nil
}

// grow makes s size bytes large, if the disk can spare them.
func (j *Journal) grow(s *segment, size int64, disk *syncer, pause func()) error {
	before := s.size
	if size <= before {
		return nil
	}
	if j.cfg.Admit != nil {
		if err := j.cfg.Admit(size - before); err != nil {
			return fmt.Errorf("%w: %w", ErrNoRoom, err)
		}
	}
	err := s.fill(size, disk, pause)
	j.bytes.Add(s.size - before)
	return err
}

func isNoRoom(err error) bool {
	return errors.Is(err, ErrNoRoom) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// Rotate goes on in the next segment, where there is one and the current one has records.
func (j *Journal) Rotate() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	s := j.current
	if j.next == nil || s.records == 0 {
		return false
	}
	s.sealed = time.Now()
	j.sealed = append(j.sealed, s)
	j.before, j.current, j.next = s.place, j.next, nil
	j.countLocked(j.current)
	return true
}

func (j *Journal) count(s *segment) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.countLocked(s)
}

func (j *Journal) countLocked(s *segment) {
	room := s.size - s.length
	if j.next != nil {
		room += j.next.size
	}
	j.used.Store(s.length)
	j.size.Store(s.size)
	j.room.Store(room)
}

// Current is the segment that the next record is written to, unless it is full.
func (j *Journal) Current() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.current.number
}

// Room is the bytes that can be written without making room.
func (j *Journal) Room() int64 { return j.room.Load() }

// Bytes is what the files take.
func (j *Journal) Bytes() int64 { return j.bytes.Load() }

// Ready reports that the next segment is made.
func (j *Journal) Ready() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.next != nil
}

// Wanting reports that the next segment is not made, and the current one a quarter full.
func (j *Journal) Wanting() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.next == nil && j.used.Load() >= j.size.Load()/4
}

// Fits reports that a record of n bytes can be written without making room, whatever is written or refused before it.
func (j *Journal) Fits(n int) bool {
	left := j.size.Load() - j.used.Load()
	if next := j.room.Load() - left; next > 0 {
		left = next // a larger record may go on there, and then find no room
	}
	return left >= headRecord+recordSize(n)
}

// Oldest is the first segment that is full and not released, and since when; 0: none.
func (j *Journal) Oldest() (number uint64, since time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.sealed) == 0 {
		return 0, time.Time{}
	}
	return j.sealed[0].number, j.sealed[0].sealed
}

// Pressing reports that the next segment is not made, and three quarters of the current one are full.
func (j *Journal) Pressing() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.next == nil && j.used.Load() >= j.size.Load()/4*3
}

// Prepare makes the next segment, where there is none: of a released one, or a new one, with pauses; nil: none. ErrBehind: there
// are enough.
func (j *Journal) Prepare(pause func()) error {
	s, number, size, err := j.spare()
	if s == nil && err == nil || errors.Is(err, ErrBehind) {
		return err
	}
	if err == nil {
		err = j.make(s, number, size, pause)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if err != nil {
		j.dropLocked(s) // what a failed sync leaves of a file is not known
		return fmt.Errorf("journal: make %s: %w", segmentName(number), err)
	}
	j.next = s
	j.room.Add(s.size)
	return nil
}

// spare takes a segment that is not in use, or makes a file; nil: there is a next segment.
func (j *Journal) spare() (s *segment, number uint64, size int64, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.next != nil {
		return nil, 0, 0, nil
	}
	number = j.current.number + 1
	size = min(4*max(j.size.Load(), FirstBytes), j.cfg.SegmentBytes)
	if n := len(j.free); n > 0 {
		s, j.free = j.free[n-1], j.free[:n-1]
		return s, number, size, nil
	}
	if j.files >= j.cfg.MaxSegments {
		return nil, 0, 0, ErrBehind
	}
	j.files++
	s, err = openSegment(j.cfg.FS, j.cfg.Dir, number)
	return s, number, size, err
}

// make makes s a segment that can be written to.
func (j *Journal) make(s *segment, number uint64, size int64, pause func()) error {
	if err := s.rename(j.cfg.FS, j.cfg.Dir, number); err != nil {
		return err
	}
	if err := j.grow(s, size, &j.making, pause); err != nil && s.size < min(size, FirstBytes) {
		if err = j.grow(s, min(size, FirstBytes), &j.making, pause); err != nil {
			return err
		}
	}
	return syncDir(j.cfg.FS, j.cfg.Dir)
}

// dropLocked gives a file up.
func (j *Journal) dropLocked(s *segment) {
	j.files--
	if s == nil {
		return
	}
	j.bytes.Add(-s.size)
	_ = s.close()
	_ = j.cfg.FS.Remove(s.name) // if it stays, it has no record of ours, and the next Open uses it
}

// Release lets go of the segments up to number: nothing in them is needed any more, even after a power cut. Open makes one
// more than there may be, where all that it finds are needed.
func (j *Journal) Release(number uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for len(j.sealed) > 0 && j.sealed[0].number <= number {
		s := j.sealed[0]
		j.sealed = j.sealed[1:]
		if j.files > j.cfg.MaxSegments {
			j.dropLocked(s)
			continue
		}
		j.free = append(j.free, s)
	}
}

// Close closes the files. What was written is on the disk already.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	all := append(append([]*segment{j.current}, j.sealed...), j.free...)
	if j.next != nil {
		all = append(all, j.next)
	}
	errs := []error{j.writing.close(), j.making.close()}
	for _, s := range all {
		errs = append(errs, s.close())
	}
	return errors.Join(errs...)
}

func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
