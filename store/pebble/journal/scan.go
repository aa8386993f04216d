package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

// lookBehind is how often, on average, a byte behind the last record is read to see whether it is of another one. What looks
// like so many of them is no damage, but a payload that somebody made to have Open take for ever.
const lookBehind = 8

// maxFile bounds what Open reads into memory at once.
const maxFile = 4 << 30

// scanned is what a segment has.
type scanned struct {
	place
	head     head
	size     int64 // that its records tell
	sealed   int64 // the size of the next segment; 0: it has no seal
	ended    bool  // its last record is of an orderly stop
	data     int   // records that are the owner's
	torn     bool  // something of the segment's lies behind the last record
	holes    []hole
	fileSize int64
}

// hole is where records cannot be read, though one behind them can.
type hole struct {
	record, behind uint64 // the first that cannot, and the one that can
	at, behindAt   int64
}

// scanner reads one segment's records in order.
type scanner struct {
	scanned
	secret  uint32
	s       *segment
	b       []byte
	use     func(payload []byte) error // nil: nobody wants them
	salvage bool
}

// scan hands each payload of s to use, in order, and answers what there is. Where a record cannot be read and one behind it
// can, it ends before the hole, or goes on behind it in salvage.
func scan(secret uint32, s *segment, use func(payload []byte) error, salvage bool) (scanned, error) {
	b, err := readAll(s)
	if err != nil {
		return scanned{}, fmt.Errorf("journal: read %s: %w", s.name, err)
	}
	c := scanner{secret: secret, s: s, b: b, use: use, salvage: salvage}
	c.fileSize = int64(len(b))
	for {
		at, r, ok := c.next()
		if !ok {
			if at, r, ok = c.behind(); !ok {
				break
			}
			c.holes = append(c.holes, hole{record: c.records, at: c.length, behind: r.number, behindAt: at})
			if !salvage {
				return c.scanned, nil
			}
		}
		if err := c.accept(r); err != nil {
			return c.scanned, fmt.Errorf("journal: record %d of %s at %d: %w", r.number, s.name, at, err)
		}
		c.place = place{length: at + recordSize(len(r.payload)), records: r.number + 1}
	}
	c.torn = c.torn || !c.ended && c.sealed == 0 && c.leftovers()
	return c.scanned, nil
}

// next is the record that comes next: behind the last, or a control record on the page behind.
func (c *scanner) next() (at int64, r parsed, ok bool) {
	at = c.length
	if r, err := readRecord(c.rest(at), c.secret, c.s.number); err == nil && r.number == c.records {
		return at, r, true
	}
	at = wholePages(at)
	r, err := readRecord(c.rest(at), c.secret, c.s.number)
	return at, r, err == nil && r.number == c.records && r.control
}

func (c *scanner) rest(at int64) []byte { return c.b[min(at, int64(len(c.b))):] }

// accept updates the scanner's state by a record.
func (c *scanner) accept(r parsed) (err error) {
	c.ended = false
	switch {
	case r.number == 0:
		c.head, err = readHead(r.payload)
		c.size = c.head.size
	case r.control:
		var kind control
		var value int64
		kind, value, err = readControl(r.payload)
		switch kind {
		case grown:
			c.size = max(c.size, value)
		case sealed:
			c.sealed = max(value, 1)
		case ended:
			c.ended = true
		}
	default:
		c.data++
		if c.use != nil {
			err = c.use(slices.Clone(r.payload))
		}
	}
	return err
}

// behind finds a record somewhere behind the last one. It also notes what looks like one of the segment's, and is not whole.
func (c *scanner) behind() (at int64, r parsed, ok bool) {
	trying := lookBehind * int64(len(c.b))
	for at := c.length; at+headerSize <= int64(len(c.b)) && trying >= 0; at += align {
		if binary.LittleEndian.Uint64(c.b[at+8:]) != c.s.number {
			continue
		}
		if n := int64(binary.LittleEndian.Uint32(c.b[at+4:]) &^ controlBit); n <= int64(len(c.b))-at-headerSize {
			trying -= n
		}
		if r, err := readRecord(c.b[at:], c.secret, c.s.number); err == nil {
			return at, r, true
		}
		c.torn = c.torn || c.records > 0 && binary.LittleEndian.Uint64(c.b[at+16:]) == c.records
	}
	return 0, parsed{}, false
}

// leftovers reports that something lies behind the last record that was written there in the segment's life: each write goes on
// to the end of its page, with zeros; behind that, a file that had another life still has what was written in it.
func (c *scanner) leftovers() bool {
	if c.records == 0 {
		return false // of what life the file is, nobody knows
	}
	end := int64(len(c.b))
	if c.head.reused {
		if end = min(end, wholePages(c.length)); c.size > 0 && end > c.size {
			return false // the last page of an odd size is not cleared
		}
	}
	for _, x := range c.b[min(c.length, end):end] {
		if x != 0 {
			return true
		}
	}
	return false
}

// foreign is the number of the segment whose head a file begins with, where that is not its own.
func foreign(secret uint32, s *segment) (number uint64, ok bool) {
	var b [headRecord]byte
	n, err := s.file.ReadAt(b[:], 0)
	if err != nil && !errors.Is(err, io.EOF) || n < headerSize {
		return 0, false
	}
	number = binary.LittleEndian.Uint64(b[8:])
	r, err := readRecord(b[:n], secret, number)
	return number, err == nil && r.number == 0 && number != s.number
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
