package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// lookBehind is how often, on average, a byte behind the last record is read to see whether it is of another one. What looks
// like so many of them is no damage, but a payload that somebody made to have Open take for ever.
const lookBehind = 8

// maxFile bounds what Open reads into memory at once.
const maxFile = 4 << 30

// Open reads the segments from first on, hands each record to replay in order, and goes on in a segment behind them: those
// that were read are sealed, and released by the caller once it needs them no more. A payload is replay's to keep.
// First 0 is a new journal, with segment 1; nothing may be there but what an Open that was cut off left.
func Open(cfg Config, first uint64, replay func(segment uint64, payload []byte) error) (*Journal, error) {
	o := opener{Journal: &Journal{cfg: cfg}, replay: replay, found: make(map[uint64]*segment)}
	o.cfg.Admit = nil // without a segment there is no journal: the disk decides
	err := o.find()
	if err == nil {
		err = o.read(first)
	}
	if err == nil {
		err = o.start(max(first, 1) + uint64(len(o.sealed)))
	}
	if err != nil {
		for _, s := range append(o.sealed, o.free...) {
			_ = s.close()
		}
		for _, s := range o.found {
			_ = s.close()
		}
		return nil, err
	}
	o.cfg.Admit = cfg.Admit
	o.writing.start(o.current.file)
	o.making.start(o.current.file)
	return o.Journal, nil
}

// opener is a journal that is being opened.
type opener struct {
	*Journal
	replay func(segment uint64, payload []byte) error
	found  map[uint64]*segment // not yet put to a use
}

// find opens every segment's file.
func (o *opener) find() error {
	names, err := o.cfg.FS.List(o.cfg.Dir)
	if err != nil {
		return fmt.Errorf("journal: list %s: %w", o.cfg.Dir, err)
	}
	for _, name := range names {
		number, ok := parseName(name)
		if !ok {
			if strings.HasPrefix(name, namePrefix) {
				return fmt.Errorf("journal: %s is no name of a segment: move it elsewhere", o.cfg.FS.PathJoin(o.cfg.Dir, name))
			}
			continue
		}
		s, err := openSegment(o.cfg.FS, o.cfg.Dir, number)
		if err != nil {
			return fmt.Errorf("journal: open %s: %w", name, err)
		}
		o.found[number] = s
		o.files++
		if err := s.found(); err != nil {
			return fmt.Errorf("journal: read the size of %s: %w", s.name, err)
		}
		o.bytes.Add(s.size)
	}
	return nil
}

// read replays the segments from first on, and checks that none behind them has a record.
func (o *opener) read(first uint64) error {
	number := first
	for first > 0 {
		s := o.found[number]
		if s == nil && number == first {
			return fmt.Errorf("journal: %s is missing in %s: put it back, or restore a whole copy of the directory", segmentName(number), o.cfg.Dir)
		}
		if s == nil {
			break
		}
		if err := o.readSegment(s, number > first); err != nil {
			return err
		}
		if s.records == 0 {
			break
		}
		s.sealed = time.Now()
		o.sealed = append(o.sealed, s)
		delete(o.found, number)
		number++
	}
	for n, s := range o.found {
		if n < number {
			continue
		}
		if p, err := scan(o.cfg.Secret, s, nil); err != nil {
			return err
		} else if p.records > 0 {
			return fmt.Errorf("journal: %s has %d records, though %s before it has none or is not there: "+
				"put it back, or restore a whole copy of the directory", s.name, p.records, segmentName(max(number, 1)))
		}
	}
	return nil
}

// readSegment replays s, which must begin where the one before it ends.
func (o *opener) readSegment(s *segment, follows bool) error {
	p, err := scan(o.cfg.Secret, s, func(number uint64, payload []byte) error {
		if number > 0 {
			return o.replay(s.number, payload)
		}
		before, err := readHead(payload)
		if err == nil && follows && before != o.before {
			err = fmt.Errorf("%s ends after %d bytes and %d records, and was %d bytes and %d records long: it is damaged",
				segmentName(s.number-1), o.before.length, o.before.records, before.length, before.records)
		}
		return err
	})
	if err != nil {
		return err
	}
	s.place = p
	if p.records > 0 {
		o.before = p
		o.bytes.Add(max(padded(p.length)-s.size, 0))
		s.size = max(s.size, padded(p.length))
	}
	return nil
}

// start goes on in segment number.
func (o *opener) start(number uint64) error {
	if len(o.sealed) == 0 {
		o.before = place{}
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
		s, err = openSegment(o.cfg.FS, o.cfg.Dir, number)
	}
	if err == nil {
		o.current = s
		err = o.make(s, number, min(FirstBytes, o.cfg.SegmentBytes), nil)
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

// scan hands each record of s to use, in order, and answers where they end. A record behind the end is an error: then
// something before it is damaged, and not cut off.
func scan(secret uint32, s *segment, use func(number uint64, payload []byte) error) (place, error) {
	b, err := readAll(s)
	if err != nil {
		return place{}, fmt.Errorf("journal: read %s: %w", s.name, err)
	}
	var p place
	for {
		number, payload, err := readRecord(b[min(p.length, int64(len(b))):], secret, s.number)
		if err != nil || number != p.records {
			break
		}
		if use != nil {
			if err := use(number, slices.Clone(payload)); err != nil {
				return p, fmt.Errorf("journal: record %d of %s at %d: %w", number, s.name, p.length, err)
			}
		}
		p = place{length: p.length + recordSize(len(payload)), records: p.records + 1}
	}
	trying := lookBehind * int64(len(b))
	for at := p.length; at+headerSize <= int64(len(b)) && trying >= 0; at += align {
		if binary.LittleEndian.Uint64(b[at+8:]) != s.number {
			continue
		}
		if n := int64(binary.LittleEndian.Uint32(b[at+4:])); n <= int64(len(b))-at-headerSize {
			trying -= n
		}
		if number, _, err := readRecord(b[at:], secret, s.number); err == nil {
			return p, fmt.Errorf("journal: record %d of %s at %d cannot be read, and record %d at %d can: the file is damaged; "+
				"restore a whole copy of the directory", p.records, s.name, p.length, number, at)
		}
	}
	return p, nil
}

func readAll(s *segment) ([]byte, error) {
	info, err := s.file.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("%d bytes are more than the %d that a segment has at most", info.Size(), int64(maxFile))
	}
	b := make([]byte, info.Size())
	n, err := s.file.ReadAt(b, 0)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return b[:n], err
}
