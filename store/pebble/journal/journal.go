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
	// Lenient is of a directory whose last process wrote segments without sizes and seals: what those would tell is not missed.
	Lenient bool
	// Warn is told what Open found and left out, a line each. Nil: nobody is.
	Warn func(Note)
	// Salvage has Open go on behind what is damaged or missing, and tell it to Warn, where it would fail.
	Salvage bool
	// NoSync breaks invariant 1: for tests that must see what is lost then.
	NoSync bool
}

// Journal is an open journal. Make one with Open.
type Journal struct {
	cfg Config // immutable
	was Found  // immutable

	// owned by the writer
	unproven bool // the last record has nothing behind it

	writing, making pen // the writer's, and that of who calls Prepare

	room  atomic.Int64 // bytes in the current segment and the next
	used  atomic.Int64 // bytes in the current segment
	size  atomic.Int64 // of the current segment
	told  atomic.Int64 // of it, what its records tell
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
	if err := j.put(&j.writing, s, s.length, false, parts...); err != nil {
		return 0, err
	}
	j.unproven = true
	if n := s.length&^(pageSize-1) - s.kept; n >= fillStep {
		s.out.unneeded(s.kept, n)
		s.kept += n
	}
	j.count(s)
	return s.number, nil
}

// pen is what one goroutine writes records with.
type pen struct {
	syncer
	header  [headerSize]byte
	control [controlSize]byte
	parts   [][]byte
}

// put writes a record at off, behind all others of s, and zeros to the end of its page. Nil means that it is on the disk.
func (j *Journal) put(p *pen, s *segment, off int64, control bool, parts ...[]byte) error {
	putHeader(p.header[:], j.cfg.Secret, s.number, s.records, control, parts...)
	all := append(append(p.parts[:0], p.header[:]), parts...)
	n := int64(0)
	for _, b := range all {
		n += int64(len(b))
	}
	end := off + n
	if page := wholePages(end); page <= s.size {
		all = append(all, zeros[:page-end])
	}
	disk := &p.syncer
	if j.cfg.NoSync {
		disk = nil
	}
	err := s.out.write(all, off, disk)
	clear(all)
	p.parts = all[:0]
	if err != nil {
		return fmt.Errorf("journal: write record %d of %s at %d: %w", s.records, s.name, off, err)
	}
	s.place = place{length: off + padded(n), records: s.records + 1}
	return nil
}

// tell writes a control record at off of the current segment.
func (j *Journal) tell(off int64, c control, value int64) error {
	putControl(j.writing.control[:], c, value)
	if err := j.put(&j.writing, j.current, off, true, j.writing.control[:]); err != nil {
		return err
	}
	j.count(j.current)
	return nil
}

// Mark proves the last record by one behind it, so that damage to it is known from a write that was cut off: in a page of its own,
// or where the segment is full by its seal. It is the writer's.
func (j *Journal) Mark() error {
	if !j.unproven {
		return nil
	}
	at := wholePages(j.current.length)
	if at+controlRecord+reserved > j.current.told {
		if rotated, err := j.Rotate(); rotated || err != nil {
			return err
		}
		at = j.current.length
	}
	j.unproven = false
	if at+controlRecord+reserved > j.current.told {
		return nil // hardly ever: the next record proves it
	}
	return j.tell(at, marked, 0)
}

// Unproven reports that Mark has something to do. It is the writer's.
func (j *Journal) Unproven() bool { return j.unproven }

// end leaves the mark of an orderly stop.
func (j *Journal) end() error {
	at := wholePages(j.current.length)
	if at+controlRecord > j.current.told {
		at = j.current.length
	}
	return j.tell(at, ended, 0)
}

// fit is a segment with room for n bytes: the current one, else the next, else one that is made larger.
func (j *Journal) fit(n int64) (*segment, error) {
	n += reserved
	s := j.current
	if s.length+n > s.size {
		if _, err := j.Rotate(); err != nil {
			return nil, err
		}
		s = j.current
	}
	need := s.length + n
	if need > s.told {
		need += controlRecord
	}
	if need > s.size {
		err := j.grow(s, max(need, min(s.size+fillStep, j.cfg.SegmentBytes)), &j.writing.syncer, nil)
		if err != nil && !isNoRoom(err) { // a sync that failed, say: of a file that has records
			return nil, fmt.Errorf("journal: make %s %d bytes large: %w", s.name, need, err)
		}
		if s.size < need {
			return nil, fmt.Errorf("%w: make %s %d bytes large: %v", ErrNoRoom, s.name, need, err)
		}
	}
	if s.length+n > s.told { // told before it is used: what a cut takes from there on is missed
		s.told = s.size
		if err := j.tell(s.length, grown, s.size); err != nil {
			return nil, err
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

// Rotate goes on in the next segment, where there is one and the current one has records. An error leaves open what is on
// the disk, as one of Write does. It is the writer's.
func (j *Journal) Rotate() (bool, error) {
	j.mu.Lock()
	s, next := j.current, j.next
	j.mu.Unlock()
	if next == nil || s.records <= 1 {
		return false, nil
	}
	if err := j.tell(s.length, sealed, next.told); err != nil {
		return false, err
	}
	j.unproven = false
	j.mu.Lock()
	defer j.mu.Unlock()
	s.sealed = time.Now()
	j.sealed = append(j.sealed, s)
	j.current, j.next = next, nil
	j.countLocked(next)
	return true, nil
}

func (j *Journal) count(s *segment) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.countLocked(s)
}

func (j *Journal) countLocked(s *segment) {
	room := s.size - s.length
	if j.next != nil {
		room += j.next.size - j.next.length
	}
	j.used.Store(s.length)
	j.size.Store(s.size)
	j.told.Store(s.told)
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
	return left >= recordSize(n)+reserved+controlRecord
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
		err = j.make(s, number, size, head{before: place{length: j.used.Load()}}, pause)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if err != nil {
		j.dropLocked(s) // what a failed sync leaves of a file is not known
		return fmt.Errorf("journal: make %s: %w", segmentName(number), err)
	}
	j.next = s
	j.room.Add(s.size - s.length)
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
	size = max(j.size.Load(), FirstBytes)
	if j.used.Load() >= j.size.Load()/4 { // else it is made for its age
		size *= 4
	}
	size = min(size, j.cfg.SegmentBytes)
	if n := len(j.free); n > 0 {
		s, j.free = j.free[n-1], j.free[:n-1]
		s.reused = true
		return s, number, size, nil
	}
	if j.files >= j.cfg.MaxSegments {
		return nil, 0, 0, ErrBehind
	}
	j.files++
	s, err = openSegment(j.cfg.FS, j.cfg.Dir, number, false)
	return s, number, size, err
}

// make makes s a segment that can be written to: its name and its whole length are on the disk before its head is, and its head
// before anything tells of it.
func (j *Journal) make(s *segment, number uint64, size int64, h head, pause func()) error {
	if err := s.rename(j.cfg.FS, j.cfg.Dir, number); err != nil {
		return err
	}
	if err := j.grow(s, size, &j.making.syncer, pause); err != nil && s.size < min(size, FirstBytes) {
		if err = j.grow(s, min(size, FirstBytes), &j.making.syncer, pause); err != nil {
			return err
		}
	}
	if err := syncDir(j.cfg.FS, j.cfg.Dir); err != nil {
		return err
	}
	h.size, h.reused = s.size, s.reused
	s.told = s.size
	payload := make([]byte, headSize2)
	putHead(payload, h)
	return j.put(&j.making, s, 0, false, payload)
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

// Close leaves the mark of an orderly stop, and closes the files. What was written is on the disk already.
func (j *Journal) Close() error { return errors.Join(j.end(), j.closeFiles()) }

func (j *Journal) closeFiles() error {
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
