package codec

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

var errShort = errors.New("value ends early")

// AppendString is the length as a uvarint, then the bytes.
func AppendString[S ~string | ~[]byte](b []byte, s S) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// appendMap is the number of pairs, then keys and values, the keys ascending.
func appendMap(b []byte, m map[string]string) []byte {
	b = binary.AppendUvarint(b, uint64(len(m)))
	if len(m) == 0 {
		return b
	}
	for _, k := range slices.Sorted(maps.Keys(m)) {
		b = AppendString(AppendString(b, k), m[k])
	}
	return b
}

// values reads what the append functions wrote, and nothing else: a uvarint in its shortest form, keys in order, no
// byte left over. The first fault sticks.
type values struct {
	s   string // what is left; strings that are read share its memory
	err error
}

func (v *values) fail(format string, args ...any) {
	if v.err == nil {
		v.err = fmt.Errorf(format, args...)
	}
	v.s = ""
}

func (v *values) uvarint() uint64 {
	var x uint64
	for i := 0; i < len(v.s) && i < binary.MaxVarintLen64; i++ {
		c := v.s[i]
		if i == binary.MaxVarintLen64-1 && c > 1 {
			break
		}
		x |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			if c == 0 && i > 0 {
				break // a longer form than needed
			}
			v.s = v.s[i+1:]
			return x
		}
	}
	v.fail("bad number")
	return 0
}

func (v *values) uint64() uint64 {
	if len(v.s) < 8 {
		v.fail("%w", errShort)
		return 0
	}
	var x uint64
	for i := range 8 {
		x = x<<8 | uint64(v.s[i])
	}
	v.s = v.s[8:]
	return x
}

func (v *values) byte() byte {
	if len(v.s) == 0 {
		v.fail("%w", errShort)
		return 0
	}
	c := v.s[0]
	v.s = v.s[1:]
	return c
}

func (v *values) string() string {
	n := v.uvarint()
	if n > uint64(len(v.s)) {
		v.fail("%w", errShort)
		return ""
	}
	s := v.s[:n]
	v.s = v.s[n:]
	return s
}

// pairs reads a map; none is nil.
func (v *values) pairs() map[string]string {
	n := v.uvarint()
	if n == 0 {
		return nil
	}
	if n > uint64(len(v.s))/2 { // a pair takes two bytes at least
		v.fail("%w", errShort)
		return nil
	}
	m := make(map[string]string, n)
	last := ""
	for i := range n {
		k := v.string()
		if i > 0 && strings.Compare(last, k) >= 0 {
			v.fail("keys of a map out of order")
		}
		m[k] = v.string()
		last = k
		if v.err != nil {
			return nil
		}
	}
	return m
}

// end is the first fault, or that something is left over.
func (v *values) end() error {
	if v.err == nil && len(v.s) != 0 {
		return fmt.Errorf("%d bytes left over", len(v.s))
	}
	return v.err
}
