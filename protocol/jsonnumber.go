package protocol

import (
	"bytes"
	"math"
	"strconv"
)

// wholeNumber reads text, a JSON number, where it has no fraction, however it is written: 1000, 1000.0, 1e3 and 100000e-2 are
// the same. SPEC 8.4.4. ok is false where it has one. Beyond uint64 the magnitude is the largest, and over is true.
func wholeNumber(text []byte) (negative bool, magnitude uint64, over, ok bool) {
	text, negative = bytes.CutPrefix(text, []byte("-"))
	exponent := 0
	if e := bytes.IndexAny(text, "eE"); e >= 0 {
		exponent, _ = strconv.Atoi(string(text[e+1:])) // out of range it is the nearest
		exponent = min(max(exponent, -maxExponent), maxExponent)
		text = text[:e]
	}
	whole, fraction, _ := bytes.Cut(text, []byte("."))
	digits := len(whole)
	if fraction = bytes.TrimRight(fraction, "0"); len(fraction) == 0 {
		whole = bytes.TrimRight(whole, "0")
	}
	exponent += digits - len(whole) - len(fraction) // the number is the digits of whole and fraction, times 10^exponent

	add := func(digit uint64) {
		if over = over || magnitude > (math.MaxUint64-digit)/10; over {
			magnitude = math.MaxUint64
			return
		}
		magnitude = 10*magnitude + digit
	}
	for _, part := range [2][]byte{whole, fraction} {
		for _, c := range part {
			add(uint64(c - '0'))
		}
	}
	if magnitude == 0 {
		return negative, 0, false, true
	}
	for n := exponent; n > 0 && !over; n-- {
		add(0)
	}
	return negative, magnitude, over, exponent >= 0
}

// maxExponent is as good as any larger one: a number has fewer digits.
const maxExponent = 1 << 30
