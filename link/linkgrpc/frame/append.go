package frame

import (
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// MaxFrame is the most bytes that one frame may have.
const MaxFrame = 1<<(7*lengthBytes) - 1

// lengthBytes is how many bytes the length of a nested message takes. It is written once its content is there, as a varint with
// leading zeros, which every decoder takes.
const lengthBytes = 4

// begin begins a nested message. What is appended until end is its content.
func begin(b []byte, field protowire.Number) ([]byte, int) {
	b = protowire.AppendTag(b, field, protowire.BytesType)
	b = append(b, 0, 0, 0, 0)
	return b, len(b)
}

// end writes the length of the message whose content begins at from.
func end(b []byte, from int) []byte {
	n := len(b) - from
	b[from-4] = byte(n) | 0x80
	b[from-3] = byte(n>>7) | 0x80
	b[from-2] = byte(n>>14) | 0x80
	b[from-1] = byte(n >> 21)
	return b
}

// A field with the zero value is absent, as proto3 has it.

func number[N ~int | ~int64 | ~uint8 | ~uint32 | ~uint64](b []byte, field protowire.Number, n N) []byte {
	if n == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), uint64(n))
}

func boolean(b []byte, field protowire.Number, set bool) []byte {
	return number(b, field, protowire.EncodeBool(set))
}

func text[S ~string | ~[]byte](b []byte, field protowire.Number, s S) []byte {
	if len(s) == 0 {
		return b
	}
	b = protowire.AppendTag(b, field, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(len(s)))
	return append(b, s...)
}

// pairs appends a map, in order of its keys.
func pairs(b []byte, field protowire.Number, m map[string]string) []byte {
	if len(m) == 0 {
		return b
	}
	var room [16]string
	keys := room[:0]
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		var at int
		b, at = begin(b, field)
		b = end(text(text(b, 1, k), 2, m[k]), at)
	}
	return b
}

// start begins a frame of a batch.
func start(b []byte, id uint64) ([]byte, int) {
	b, at := begin(b, batchFrames)
	return number(b, frameID, id), at
}

// startTimed is start for what a caller waits for. No timeout is 0; one that is over is the shortest.
func startTimed(b []byte, id uint64, timeout time.Duration) ([]byte, int) {
	b, at := start(b, id)
	if timeout != 0 {
		timeout = max(timeout, time.Microsecond)
	}
	return number(b, frameTimeout, timeout.Microseconds()), at
}

// set appends a number that is there though it is 0: which field it stands in says what it is.
func set(b []byte, field protowire.Number, n uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), n)
}
