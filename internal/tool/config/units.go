package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Bytes is a size: "64MiB", "1.5GiB", "10MB", or a bare number of bytes.
type Bytes int64

// byteUnits are the units of sizes: those of two largest first, as sizes are written; those of ten are only read.
var byteUnits = [...]struct {
	name string
	size int64
}{
	{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"KB", 1e3}, {"B", 1},
}

const binaryUnits = 4 // how many of byteUnits are powers of two

// ParseBytes reads a size. The error says what would be right.
func ParseBytes(text string) (Bytes, error) {
	wrong := errors.New("use a size, such as 64KiB, 1.5GiB or 1048576")
	number, size := strings.TrimSpace(text), int64(1)
	for _, u := range byteUnits {
		if head, ok := strings.CutSuffix(number, u.name); ok {
			number, size = strings.TrimSpace(head), u.size
			break
		}
	}
	if i, err := strconv.ParseInt(number, 10, 64); err == nil {
		if i < 0 || i > math.MaxInt64/size {
			return 0, wrong
		}
		return Bytes(i * size), nil
	}
	f, err := strconv.ParseFloat(number, 64)
	if err != nil || strings.ContainsAny(number, "eExXpP_") || !(f >= 0 && f*float64(size) < math.MaxInt64) {
		return 0, wrong
	}
	b := f * float64(size)
	if b != math.Trunc(b) {
		return 0, fmt.Errorf("it is not a whole number of bytes: %w", wrong)
	}
	return Bytes(b), nil
}

// String is b in the largest unit of two that it is a whole number of.
func (b Bytes) String() string {
	for _, u := range byteUnits[:binaryUnits] {
		if b != 0 && int64(b)%u.size == 0 {
			return strconv.FormatInt(int64(b)/u.size, 10) + u.name
		}
	}
	return strconv.FormatInt(int64(b), 10)
}

// UnmarshalText is ParseBytes.
func (b *Bytes) UnmarshalText(text []byte) error {
	v, err := ParseBytes(string(text))
	*b = v
	return err
}

// MarshalText is String.
func (b Bytes) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

const day = 24 * time.Hour

// parseDuration reads what time.ParseDuration reads, and days before it: 30d, 1d12h.
func parseDuration(text string) (time.Duration, error) {
	wrong := errors.New("use a duration with a unit, such as 500ms, 4s, 30m or 30d")
	head, rest, ok := strings.Cut(text, "d")
	if !ok {
		d, err := time.ParseDuration(text)
		if err != nil {
			return 0, wrong
		}
		return d, nil
	}
	days, err := strconv.ParseUint(head, 10, 32)
	if err != nil || days > uint64(math.MaxInt64/day)/2 {
		return 0, wrong
	}
	var d time.Duration
	if rest != "" {
		if d, err = time.ParseDuration(rest); err != nil || d < 0 || d > math.MaxInt64/2 || strings.HasPrefix(rest, "+") {
			return 0, wrong
		}
	}
	return time.Duration(days)*day + d, nil
}

// formatDuration is the shortest text of d: 30m and not 30m0s, 30d and not 720h0m0s.
func formatDuration(d time.Duration) string {
	if d >= 2*day && d%day == 0 {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
