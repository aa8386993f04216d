package protocol

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"unicode/utf8"
)

// text reads a string from quote to quote.
func (c *compactor) text() error {
	start := c.at
	c.at++
	var high uint64 // bit 7 of every byte
	for {
		high |= c.plain()
		if c.at == len(c.src) {
			return c.wrong("the end of the string that begins at byte " + fmt.Sprint(start))
		}
		switch b := c.src[c.at]; {
		case b == '"':
			c.at++
			if high&highBits != 0 && !utf8.Valid(c.src[start:c.at]) {
				c.at = start + invalidUTF8(c.src[start:c.at])
				return Invalidf("JSON is not UTF-8 at byte %d", c.at)
			}
			return nil
		case b == '\\':
			if err := c.escape(); err != nil {
				return err
			}
		default:
			return c.wrong("an escape for the control character")
		}
	}
}

const (
	everyByte = 0x0101010101010101
	highBits  = 0x80 * everyByte
)

// plain skips bytes of a string up to a quote, a backslash or a control character, eight at a time. It answers all of
// them, or'ed: bit 7 says whether there is more than ASCII.
func (c *compactor) plain() (high uint64) {
	for len(c.src)-c.at >= 8 {
		w := binary.LittleEndian.Uint64(c.src[c.at:])
		quote, slash := w^'"'*everyByte, w^'\\'*everyByte
		// Bit 7 is set in the first byte that is 0 (quote, slash) or below ' ', and in none before it.
		stop := ((quote-everyByte)&^quote | (slash-everyByte)&^slash | (w-' '*everyByte)&^w) & highBits
		if stop != 0 {
			n := bits.TrailingZeros64(stop) / 8
			c.at += n
			return high | w&(1<<(8*n)-1)
		}
		high |= w
		c.at += 8
	}
	for c.at < len(c.src) {
		b := c.src[c.at]
		if b == '"' || b == '\\' || b < ' ' {
			break
		}
		high |= uint64(b)
		c.at++
	}
	return high
}

// escape reads a backslash and what it stands before.
func (c *compactor) escape() error {
	c.at++
	if c.at == len(c.src) {
		return c.wrong("an escaped character")
	}
	switch c.src[c.at] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		c.at++
		return nil
	case 'u':
		for range 4 {
			if c.at++; c.at == len(c.src) || !isHex(c.src[c.at]) {
				return c.wrong("four hexadecimal digits")
			}
		}
		c.at++
		return nil
	}
	return c.wrong(`one of "\/bfnrtu after a backslash`)
}

func isHex(b byte) bool {
	return '0' <= b && b <= '9' || 'a' <= b|0x20 && b|0x20 <= 'f'
}

func invalidUTF8(b []byte) int {
	for i := 0; i < len(b); {
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return len(b)
}
