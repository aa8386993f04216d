package expect

import (
	"math"
	"strconv"

	"ramen/protocol"
)

// Name says which message an id is: the n-th of one lane of one user.
type Name struct {
	User uint32
	Lane uint8 // 0 for high to 2 for low
	N    uint32
}

// AppendID appends the id of m: "run-user-laneN", the numbers in base 36.
func AppendID(b []byte, run string, m Name) []byte {
	b = append(append(b, run...), '-')
	b = append(strconv.AppendUint(b, uint64(m.User), 36), '-', '0'+m.Lane)
	return strconv.AppendUint(b, uint64(m.N), 36)
}

// ParseID reads an id of this run; false for any other.
func ParseID(id []byte, run string) (m Name, ok bool) {
	if len(id) < len(run)+4 || string(id[:len(run)]) != run || id[len(run)] != '-' {
		return m, false
	}
	rest := id[len(run)+1:]
	user, n := base36(rest)
	if n == 0 || n+2 >= len(rest) || rest[n] != '-' {
		return m, false
	}
	lane := rest[n+1] - '0'
	number, size := base36(rest[n+2:])
	if lane >= protocol.Lanes || size == 0 || n+2+size != len(rest) {
		return m, false
	}
	return Name{User: user, Lane: lane, N: number}, true
}

// base36 reads a number and says how many bytes it takes; 0: none, or too large a one.
func base36(b []byte) (v uint32, n int) {
	wide := uint64(0)
	for n < len(b) {
		c := b[n]
		switch {
		case '0' <= c && c <= '9':
			wide = wide*36 + uint64(c-'0')
		case 'a' <= c && c <= 'z':
			wide = wide*36 + uint64(c-'a') + 10
		default:
			return uint32(wide), n
		}
		if wide > math.MaxUint32 {
			return 0, 0
		}
		n++
	}
	return uint32(wide), n
}

// UserName is the user with index i.
func UserName(run string, i uint32) string { return run + "-u" + strconv.FormatUint(uint64(i), 10) }

// DeviceName is a user's device with number i.
func DeviceName(i uint8) string { return "d" + strconv.Itoa(int(i)) }
