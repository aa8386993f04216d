package journal

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// ErrDamaged is what is missing or cannot be read, though it was on the disk.
var ErrDamaged = errors.New("journal: damaged")

// Note is something that was found, and what became of it.
type Note struct {
	Segment uint64
	Record  uint64 // the first that it is about
	At      int64  // where, in bytes
	Lost    bool   // it was on the disk, and is not any more; else it never was for sure
	Text    string
}

func (n Note) String() string {
	return fmt.Sprintf("%s, record %d, at byte %d: %s", segmentName(n.Segment), n.Record, n.At, n.Text)
}

// Found is what Open or Inspect found.
type Found struct {
	Segments, Records int
	Last              uint64 // the segment to go on in: what is behind it was not used
	// Ended: the last process stopped in order.
	Ended bool
}

// Open reads the segments from first on, hands each record to replay in order, and goes on in a segment behind them: those
// that were read are sealed, and released by the caller once it needs them no more. A payload is replay's to keep.
// First 0 is a new journal, with segment 1; nothing may be there but what an Open that was cut off left.
func Open(cfg Config, first uint64, replay func(segment uint64, payload []byte) error) (*Journal, error) {
	o := opener{Journal: &Journal{cfg: cfg}, replay: replay, found: make(map[uint64]*segment), last: max(first, 1)}
	o.cfg.Admit = nil // without a segment there is no journal: the disk decides
	err := o.find(false)
	if err == nil {
		err = o.read(first)
	}
	if err == nil {
		err = o.start(o.last)
	}
	if err != nil {
		o.abandon()
		return nil, err
	}
	o.cfg.Admit = cfg.Admit
	o.writing.start(o.current.file)
	o.making.start(o.current.file)
	return o.Journal, nil
}

// Found is what Open found.
func (j *Journal) Found() Found { return j.was }

// Inspect reads what Open would, and changes nothing. All that is wrong is told to Warn, and what would have Open fail is
// joined in the error; replay has what can be read.
func Inspect(cfg Config, first uint64, replay func(segment uint64, payload []byte) error) (Found, error) {
	var errs []error
	warn := cfg.Warn
	cfg.Salvage = true
	cfg.Warn = func(n Note) {
		if n.Lost {
			errs = append(errs, fmt.Errorf("%w: %s", ErrDamaged, n))
		} else if warn != nil {
			warn(n)
		}
	}
	o := opener{Journal: &Journal{cfg: cfg}, replay: replay, found: make(map[uint64]*segment)}
	defer o.abandon()
	err := o.find(true)
	if err == nil {
		err = o.read(first)
	}
	return o.was, errors.Join(append(errs, err)...)
}

// opener is a journal that is being opened.
type opener struct {
	*Journal
	replay func(segment uint64, payload []byte) error
	found  map[uint64]*segment // not yet put to a use
	before place               // of the last segment that was read
	last   uint64              // the segment to go on in
}

func (o *opener) abandon() {
	for _, s := range append(o.sealed, o.free...) {
		_ = s.close()
	}
	for _, s := range o.found {
		_ = s.close()
	}
}

// note tells of something. What was lost is an error, but in salvage.
func (o *opener) note(n Note) error {
	if n.Lost && !o.cfg.Salvage {
		return fmt.Errorf("%w: %s", ErrDamaged, n)
	}
	if o.cfg.Warn != nil {
		o.cfg.Warn(n)
	}
	return nil
}

func (o *opener) lost(segment, record uint64, at int64, format string, args ...any) error {
	return o.note(Note{Segment: segment, Record: record, At: at, Lost: true, Text: fmt.Sprintf(format, args...)})
}

// find opens every segment's file.
func (o *opener) find(readOnly bool) error {
	names, err := o.cfg.FS.List(o.cfg.Dir)
	if err != nil {
		return fmt.Errorf("journal: list %s: %w", o.cfg.Dir, err)
	}
	for _, name := range names {
		number, ok := parseName(name)
		if !ok {
			if strings.HasPrefix(name, namePrefix) {
				return fmt.Errorf("journal: %s is not a segment: move it away", o.cfg.FS.PathJoin(o.cfg.Dir, name))
			}
			continue
		}
		s, err := openSegment(o.cfg.FS, o.cfg.Dir, number, readOnly)
		if err != nil {
			return fmt.Errorf("journal: open %s: %w", name, err)
		}
		o.found[number] = s
		o.files++
		s.reused = true
		if err := s.found(); err != nil {
			return fmt.Errorf("journal: read the size of %s: %w", s.name, err)
		}
		o.bytes.Add(s.size)
	}
	return nil
}

// read replays the segments from first on, and checks that none is missing.
func (o *opener) read(first uint64) error {
	if err := o.misplaced(first); err != nil {
		return err
	}
	var before *scanned // of the segment before; nil: there is none
	var torn *Note      // of the last that was written to
	for number := first; first > 0; number++ {
		o.last = number
		s := o.found[number]
		r, err := o.readSegment(s, number, before)
		if err != nil {
			return err
		}
		if r.torn {
			torn = &Note{Segment: number, Record: r.records, At: r.length, Text: leftOut}
		}
		if s != nil { // where it tells its size, all of that is there: begun anew, it keeps its head until it has another
			size := max(s.size, padded(r.length), min(r.size, r.fileSize))
			o.bytes.Add(size - s.size)
			s.size, s.told = size, r.size
		}
		if (s == nil || r.unused()) && !o.more(number) {
			break
		}
		if !r.torn {
			torn = nil
		}
		if before = &r; s == nil {
			continue // in salvage
		}
		s.place = r.place
		o.before = r.place
		s.sealed = time.Now()
		o.sealed = append(o.sealed, s)
		o.was = Found{Segments: len(o.sealed), Records: o.was.Records + r.data, Ended: r.ended}
		delete(o.found, number)
	}
	o.was.Last = o.last
	if !o.cfg.Salvage || first == 0 {
		if err := o.nothingBehind(first); err != nil {
			return err
		}
	}
	if torn != nil {
		return o.note(*torn)
	}
	return nil
}

const leftOut = "an incomplete record was dropped: a write that a kill or a loss of power interrupted before it was answered, " +
	"or the last write, damaged later"

// unused reports a segment in which nothing was written but its head.
func (r *scanned) unused() bool { return r.records == 0 || r.records == 1 && r.head.version == 2 }

// more reports, in salvage, that there is a segment behind number that has records.
func (o *opener) more(number uint64) bool {
	if !o.cfg.Salvage {
		return false
	}
	for _, n := range slices.Sorted(maps.Keys(o.found)) {
		if n <= number {
			continue
		}
		if r, err := scan(o.cfg.Secret, o.found[n], nil, true); err == nil && !r.unused() {
			return true
		}
	}
	return false
}

// misplaced finds segments under the names of others.
func (o *opener) misplaced(first uint64) error {
	for _, n := range slices.Sorted(maps.Keys(o.found)) {
		number, ok := foreign(o.cfg.Secret, o.found[n])
		if !ok || first == 0 || number < first {
			continue
		}
		if err := o.lost(n, 0, 0, "the file is %s under another name: give it its own", segmentName(number)); err != nil {
			return err
		}
	}
	return nil
}

// nothingBehind refuses records behind the last segment.
func (o *opener) nothingBehind(first uint64) error {
	number := max(o.last, 1)
	for _, n := range slices.Sorted(maps.Keys(o.found)) {
		if first > 0 && n <= number {
			continue
		}
		r, err := scan(o.cfg.Secret, o.found[n], nil, false)
		if err != nil {
			return err
		}
		if !r.unused() || len(r.holes) > 0 {
			return o.lost(n, 0, 0, "it has records, though %s before it has none or is not there", segmentName(number))
		}
	}
	return nil
}

// readSegment replays s, and checks it against what the segment before it and it itself say. A nil s is missing.
func (o *opener) readSegment(s *segment, number uint64, before *scanned) (scanned, error) {
	expected := before != nil && before.sealed > 0 || before == nil && !o.cfg.Lenient
	if s == nil {
		if expected || before == nil || o.more(number) {
			return scanned{}, o.lost(number, 0, 0, "the file is missing in %s", o.cfg.Dir)
		}
		return scanned{}, nil
	}
	r, err := scan(o.cfg.Secret, s, func(payload []byte) error { return o.replay(number, payload) }, o.cfg.Salvage)
	if err != nil {
		if !o.cfg.Salvage {
			return r, err
		}
		return r, o.lost(number, r.records, r.length, "what is from here on cannot be used: %v", err)
	}
	for _, h := range r.holes {
		err = errors.Join(err, o.lost(number, h.record, h.at, "it cannot be read, and record %d behind it, at byte %d, can", h.behind, h.behindAt))
	}
	if err == nil {
		err = o.checkSize(&r, number, before, expected)
	}
	if err == nil && before != nil {
		err = o.checkBefore(&r, number, before)
	}
	return r, err
}

// checkSize misses what a segment must have.
func (o *opener) checkSize(r *scanned, number uint64, before *scanned, expected bool) error {
	switch {
	case r.records == 0 && expected:
		return o.lost(number, 0, 0, "the segment's head cannot be read: the file, of %d bytes, was cut, overwritten or swapped", r.fileSize)
	case r.fileSize < r.size:
		return o.lost(number, r.records, r.fileSize, "the file was cut: it has %d bytes, and had %d at least", r.fileSize, r.size)
	case before != nil && before.sealed > r.fileSize && r.records > 0:
		return o.lost(number, r.records, r.fileSize, "the file was cut: it has %d bytes, and had %d when it was begun", r.fileSize, before.sealed)
	}
	return nil
}

// checkBefore misses what the segment before must have.
func (o *opener) checkBefore(r *scanned, number uint64, before *scanned) error {
	b := r.head.before
	switch {
	case r.records == 0 || before.records == 0:
	case r.head.exact && b != before.place:
		return o.lost(number-1, before.records, before.length, "it ends after %d bytes and %d records, and was %d bytes and %d records long",
			before.length, before.records, b.length, b.records)
	case !r.head.exact && before.length < b.length:
		return o.lost(number-1, before.records, before.length, "it ends after %d bytes, and was %d bytes long at least", before.length, b.length)
	case !r.head.exact && before.sealed == 0 && !r.unused():
		return o.lost(number-1, before.records, before.length, "its end is missing: the journal goes on in %s", segmentName(number))
	}
	return nil
}

// start begins segment number, of a file that was found if there is one.
func (o *opener) start(number uint64) error {
	if n := len(o.sealed); n == 0 {
		o.before = place{}
	} else if err := o.sealed[n-1].file.SyncData(); err != nil { // what a killed process wrote may be in the kernel alone
		return fmt.Errorf("journal: sync %s: %w", o.sealed[n-1].name, err)
	}
	s := o.found[number]
	delete(o.found, number)
	for n, other := range o.found {
		delete(o.found, n)
		if n < number {
			o.free = append(o.free, other)
			continue
		}
		o.dropLocked(other) // its name may be needed soon
	}
	slices.SortFunc(o.free, func(a, b *segment) int { return int(int64(a.number) - int64(b.number)) })
	var err error
	if s == nil && len(o.free) > 0 {
		s, o.free = o.free[0], o.free[1:]
	} else if s == nil {
		o.files++
		s, err = openSegment(o.cfg.FS, o.cfg.Dir, number, false)
	}
	if err == nil {
		o.current = s
		err = o.make(s, number, min(FirstBytes, o.cfg.SegmentBytes), head{exact: true, before: o.before}, nil)
	}
	if err != nil {
		if s != nil {
			_ = s.close()
		}
		return fmt.Errorf("journal: make %s: %w", segmentName(number), err)
	}
	o.count(s)
	return nil
}
