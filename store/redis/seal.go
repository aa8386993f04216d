package redis

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
)

// The values of entries and devices end with a checksum of the field's name and of the value: a bit that rots in the server's log, which
// has none, is found out, and is never served as a message.

const sealSize = 4

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errDamaged says that a value is not what was written.
var errDamaged = errors.New("damaged: its checksum does not fit")

// seal appends the checksum of the field name and of the value, which is b from the index on.
func seal(b, name []byte, from int) []byte {
	return binary.BigEndian.AppendUint32(b, crc32.Update(crc32.Checksum(name, castagnoli), castagnoli, b[from:]))
}

// unseal is the value without its checksum, if it fits.
func unseal(name, v string) ([]byte, error) {
	n := len(v) - sealSize
	if n < 0 {
		return nil, errDamaged
	}
	b := []byte(v)
	if crc32.Update(crc32.Checksum([]byte(name), castagnoli), castagnoli, b[:n]) != binary.BigEndian.Uint32(b[n:]) {
		return nil, errDamaged
	}
	return b[:n], nil
}
