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

	headMagic = "ramenjn1"
	headSize  = len(headMagic) + 8 + 8
	// headRecord is what the first record of a segment takes.
	headRecord = int64(headerSize + headSize)

	// maxPayload bounds a record: the length has 32 bits, and Open holds a segment in memory.
	maxPayload = 1 << 30
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errNoRecord is what bytes are that are no record of the segment, or none that is whole.
var errNoRecord = errors.New("no record")

// place is how much of a segment there is.
type place struct {
	length  int64  // bytes up to the end of the last record
	records uint64 // the head among them
}

// putHeader writes the header of a record of parts into h.
func putHeader(h []byte, secret uint32, segment, number uint64, parts ...[]byte) {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	binary.LittleEndian.PutUint32(h[4:], uint32(n))
	binary.LittleEndian.PutUint64(h[8:], segment)
	binary.LittleEndian.PutUint64(h[16:], number)
	crc := crc32.Update(secret, castagnoli, h[4:headerSize])
	for _, p := range parts {
		crc = crc32.Update(crc, castagnoli, p)
	}
	binary.LittleEndian.PutUint32(h, crc)
}

// readRecord reads the record that b begins with; payload aliases b.
func readRecord(b []byte, secret uint32, segment uint64) (number uint64, payload []byte, err error) {
	if len(b) < headerSize || binary.LittleEndian.Uint64(b[8:]) != segment {
		return 0, nil, errNoRecord
	}
	n := binary.LittleEndian.Uint32(b[4:])
	if n > maxPayload || int(n) > len(b)-headerSize {
		return 0, nil, errNoRecord
	}
	whole := b[:headerSize+int(n)]
	if crc32.Update(secret, castagnoli, whole[4:]) != binary.LittleEndian.Uint32(whole) {
		return 0, nil, errNoRecord
	}
	return binary.LittleEndian.Uint64(b[16:]), whole[headerSize:], nil
}

// recordSize is what a record of n bytes takes.
func recordSize(n int) int64 { return padded(headerSize + int64(n)) }

func padded(n int64) int64 { return (n + align - 1) &^ (align - 1) }

func putHead(b []byte, before place) {
	copy(b, headMagic)
	binary.LittleEndian.PutUint64(b[len(headMagic):], uint64(before.length))
	binary.LittleEndian.PutUint64(b[len(headMagic)+8:], before.records)
}

func readHead(payload []byte) (before place, err error) {
	if len(payload) != headSize || !bytes.HasPrefix(payload, []byte(headMagic)) {
		return before, fmt.Errorf("head %x is of another format than %q", payload, headMagic)
	}
	before.length = int64(binary.LittleEndian.Uint64(payload[len(headMagic):]))
	before.records = binary.LittleEndian.Uint64(payload[len(headMagic)+8:])
	return before, nil
}
