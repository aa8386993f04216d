package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

const (
	headerSize = 4 + 4 + 8 + 8
	align      = 8

	magicSize = 8
	magic1    = "ramenjn1" // of format 2 of the store: without sizes and control records
	magic2    = "ramenjn2"

	headSize1 = magicSize + 8 + 8
	headSize2 = magicSize + 8 + 8 + 8 + 8
	// headRecord is what the first record of a segment takes.
	headRecord = int64(headerSize + headSize2)

	controlSize = 8 + 8
	// controlRecord is what a control record takes, and reserved what every segment keeps free for one of each that must have
	// its place: grown, sealed, ended.
	controlRecord = int64(headerSize + controlSize)
	reserved      = 3 * controlRecord

	// maxPayload bounds a record: Open holds a segment in memory.
	maxPayload = 1 << 30
	// controlBit in a length says that the record is the journal's own.
	controlBit = 1 << 31
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errNoRecord is what bytes are that are no record of the segment, or none that is whole.
var errNoRecord = errors.New("no record")

// place is how much of a segment there is.
type place struct {
	length  int64  // bytes up to the end of the last record
	records uint64 // the head among them
}

// control is what a control record is about.
type control uint64

const (
	grown  control = 'g' // the segment has the value's size from now on
	sealed control = 's' // the last record: the journal goes on in the next segment, which has the value's size
	marked control = 'm' // the record before it was there
	ended  control = 'e' // as marked, at an orderly stop
)

// parsed is what readRecord reads.
type parsed struct {
	number  uint64
	payload []byte
	control bool
}

// putHeader writes the header of a record of parts into h.
func putHeader(h []byte, secret uint32, segment, number uint64, control bool, parts ...[]byte) {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	length := uint32(n)
	if control {
		length |= controlBit
	}
	binary.LittleEndian.PutUint32(h[4:], length)
	binary.LittleEndian.PutUint64(h[8:], segment)
	binary.LittleEndian.PutUint64(h[16:], number)
	crc := crc32.Update(secret, castagnoli, h[4:headerSize])
	for _, p := range parts {
		crc = crc32.Update(crc, castagnoli, p)
	}
	binary.LittleEndian.PutUint32(h, crc)
}

// readRecord reads the record that b begins with; its payload aliases b.
func readRecord(b []byte, secret uint32, segment uint64) (parsed, error) {
	if len(b) < headerSize || binary.LittleEndian.Uint64(b[8:]) != segment {
		return parsed{}, errNoRecord
	}
	length := binary.LittleEndian.Uint32(b[4:])
	n := length &^ controlBit
	if n > maxPayload || int(n) > len(b)-headerSize {
		return parsed{}, errNoRecord
	}
	whole := b[:headerSize+int(n)]
	if crc32.Update(secret, castagnoli, whole[4:]) != binary.LittleEndian.Uint32(whole) {
		return parsed{}, errNoRecord
	}
	return parsed{binary.LittleEndian.Uint64(b[16:]), whole[headerSize:], length&controlBit != 0}, nil
}

// recordSize is what a record of n bytes takes.
func recordSize(n int) int64 { return padded(headerSize + int64(n)) }

func padded(n int64) int64 { return (n + align - 1) &^ (align - 1) }

// wholePages is n up to the end of a page.
func wholePages(n int64) int64 { return (n + pageSize - 1) &^ (pageSize - 1) }

// head is what a segment says of itself and of the one before it.
type head struct {
	version int  // 0: it cannot be read
	reused  bool // the file had records of an earlier life when the segment was begun
	exact   bool // before is all that there is of the segment before; else it is the least, and a seal has the rest
	size    int64
	before  place
}

const (
	headExact  = 1 << 0
	headReused = 1 << 1
)

func putHead(b []byte, h head) {
	copy(b, magic2)
	flags := uint64(0)
	if h.exact {
		flags |= headExact
	}
	if h.reused {
		flags |= headReused
	}
	for i, v := range [...]uint64{flags, uint64(h.size), uint64(h.before.length), h.before.records} {
		binary.LittleEndian.PutUint64(b[magicSize+8*i:], v)
	}
}

func readHead(payload []byte) (head, error) {
	at := func(i int) uint64 { return binary.LittleEndian.Uint64(payload[magicSize+8*i:]) }
	switch {
	case len(payload) == headSize1 && bytes.HasPrefix(payload, []byte(magic1)):
		return head{version: 1, reused: true, exact: true, before: place{int64(at(0)), at(1)}}, nil
	case len(payload) == headSize2 && bytes.HasPrefix(payload, []byte(magic2)):
		flags := at(0)
		return head{version: 2, reused: flags&headReused != 0, exact: flags&headExact != 0,
			size: int64(at(1)), before: place{int64(at(2)), at(3)}}, nil
	}
	return head{}, fmt.Errorf("head %.64x is of another format than %q and %q", payload, magic1, magic2)
}

func putControl(b []byte, c control, value int64) {
	binary.LittleEndian.PutUint64(b, uint64(c))
	binary.LittleEndian.PutUint64(b[8:], uint64(value))
}

func readControl(payload []byte) (c control, value int64, err error) {
	if len(payload) != controlSize {
		return 0, 0, fmt.Errorf("control record of %d bytes, not %d", len(payload), controlSize)
	}
	c, value = control(binary.LittleEndian.Uint64(payload)), int64(binary.LittleEndian.Uint64(payload[8:]))
	switch c {
	case grown, sealed, marked, ended:
		return c, value, nil
	}
	return c, value, fmt.Errorf("control record of an unknown kind %d", c)
}
