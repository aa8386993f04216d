package protocol

import (
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// Frames are written and read as protobuf by hand: no reflection, no copy of a push into a generated type, no
// allocation. Tests hold them against the generated code. What stands here is the wire format's own; the field
// numbers stand where they are used, each with the name that ramen.proto gives it.

// Fields with the zero value are absent, as proto3 has it.

func appendVarintField(b []byte, field protowire.Number, v uint64) []byte {
	if v == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), v)
}

func appendStringField[S ~string | ~[]byte](b []byte, field protowire.Number, v S) []byte {
	if len(v) == 0 {
		return b
	}
	b = protowire.AppendTag(b, field, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(len(v)))
	return append(b, v...)
}

// appendLen begins a message field, whose n bytes the caller appends. An empty message that is set is written.
func appendLen(b []byte, field protowire.Number, n int) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.BytesType), uint64(n))
}

func sizeVarintField(field protowire.Number, v uint64) int {
	if v == 0 {
		return 0
	}
	return protowire.SizeTag(field) + protowire.SizeVarint(v)
}

func sizeStringField[S ~string | ~[]byte](field protowire.Number, v S) int {
	if len(v) == 0 {
		return 0
	}
	return sizeLen(field, len(v))
}

// sizeLen is the size of a field that holds n bytes, its tag and length counted.
func sizeLen(field protowire.Number, n int) int {
	return protowire.SizeTag(field) + protowire.SizeBytes(n)
}

// The fields of every map entry. Both are always written, as protobuf's own encoders do.
const (
	entryKey   = 1
	entryValue = 2
)

func sizeEntry(k, v string) int { return sizeLen(entryKey, len(k)) + sizeLen(entryValue, len(v)) }

func sizeMapField(field protowire.Number, m map[string]string) int {
	n := 0
	for k, v := range m {
		n += sizeLen(field, sizeEntry(k, v))
	}
	return n
}

// appendMapField writes the keys in order, so that the same map is always the same bytes.
func appendMapField(b []byte, field protowire.Number, m map[string]string) []byte {
	if len(m) == 0 {
		return b
	}
	var room [sortedKeysRoom]string
	for _, k := range sortedKeys(room[:0], m) {
		v := m[k]
		b = appendLen(b, field, sizeEntry(k, v))
		b = append(appendLen(b, entryKey, len(k)), k...)
		b = append(appendLen(b, entryValue, len(v)), v...)
	}
	return b
}

// validText is s with U+FFFD where it is no UTF-8: a protobuf decoder refuses a frame with any other string.
func validText[S ~string](s S) S {
	if utf8.ValidString(string(s)) {
		return s
	}
	return S(strings.ToValidUTF8(string(s), "\uFFFD"))
}

// validTexts is m where all of it is UTF-8, else a copy that is.
func validTexts(m map[string]string) map[string]string {
	for k, v := range m {
		if !utf8.ValidString(k) || !utf8.ValidString(v) {
			good := make(map[string]string, len(m))
			for k, v := range m {
				good[validText(k)] = validText(v)
			}
			return good
		}
	}
	return m
}
