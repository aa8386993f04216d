package cassandra

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"ramen/protocol"
)

// What is stored begins with its version and a checksum of the rest, so that nothing that was damaged on its way, or by a disk, is taken
// for a message: version, crc32c:4, the rest.
const sealed = 1 + 4

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// seal fills in the head of b, which has room for it.
func seal(b []byte, version byte) []byte {
	b[0] = version
	binary.BigEndian.PutUint32(b[1:], crc32.Checksum(b[sealed:], castagnoli))
	return b
}

// unseal is what follows the head of b.
func unseal(b []byte, version byte) (reader, error) {
	switch {
	case len(b) < sealed:
		return reader{}, errShort
	case b[0] != version:
		return reader{}, fmt.Errorf("version %d, and not %d", b[0], version)
	case crc32.Checksum(b[sealed:], castagnoli) != binary.BigEndian.Uint32(b[1:]):
		return reader{}, errors.New("the checksum does not fit")
	}
	return reader{b: b[sealed:]}, nil
}

var errShort = errors.New("it ends early")

// appendPosition is the epoch as a uvarint, then the µs.
func appendPosition(b []byte, p protocol.Position) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(b, uint64(p.Epoch)), p.Micros)
}

// reader reads what the append functions wrote. The first fault sticks.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.b = nil
}

// end is the first fault, or that something is left.
func (r *reader) end() error {
	if r.err == nil && len(r.b) > 0 {
		r.fail(fmt.Errorf("%d bytes too many", len(r.b)))
	}
	return r.err
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail(errShort)
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) uint64() uint64 {
	if len(r.b) < 8 {
		r.fail(errShort)
		return 0
	}
	v := binary.BigEndian.Uint64(r.b)
	r.b = r.b[8:]
	return v
}

func (r *reader) uint32() uint32 {
	if len(r.b) < 4 {
		r.fail(errShort)
		return 0
	}
	v := binary.BigEndian.Uint32(r.b)
	r.b = r.b[4:]
	return v
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.fail(errShort)
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

func (r *reader) position() protocol.Position {
	epoch := r.uvarint()
	return protocol.Position{Epoch: protocol.Epoch(epoch), Micros: r.uvarint()}
}
