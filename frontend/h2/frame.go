package h2

import "encoding/binary"

// RFC 9113 4.1: a frame's head is its length (24 bits), type (8), flags (8) and stream (31, behind a reserved bit).
const (
	headBytes    = 9
	prefaceBytes = 24 // RFC 9113 3.4

	typeData             = 0x0
	typeHeaders          = 0x1
	typeReset            = 0x3
	typeSettings         = 0x4
	typeGoAway           = 0x7
	flagEndStream        = 0x1
	flagPadded           = 0x8
	settingCalls         = 0x3 // SETTINGS_MAX_CONCURRENT_STREAMS
	enhanceYourCalm      = 0xb
	settingBytes         = 6
	streamMask           = 1<<31 - 1
	noType          byte = 0xff // of the preface
)

// head is that of one frame.
type head struct {
	length uint32
	kind   byte
	flags  byte
	stream uint32
}

func appendHead(b []byte, length int, kind, flags byte, stream uint32) []byte {
	b = append(b, byte(length>>16), byte(length>>8), byte(length), kind, flags)
	return binary.BigEndian.AppendUint32(b, stream)
}

func parseHead(b []byte) head {
	return head{
		length: uint32(b[0])<<16 | uint32(b[1])<<8 | uint32(b[2]),
		kind:   b[3], flags: b[4],
		stream: binary.BigEndian.Uint32(b[5:]) & streamMask,
	}
}

// scan finds the frames in bytes that come in any portions.
type scan struct {
	part [headBytes]byte
	have uint8  // bytes of part
	left uint32 // bytes of the frame's body to come
}

// between reports whether everything so far was whole frames.
func (s *scan) between() bool { return s.have == 0 && s.left == 0 }

// head takes bytes of a head off b; ok where it is whole.
func (s *scan) head(b []byte) (h head, rest []byte, ok bool) {
	if s.have == 0 && len(b) >= headBytes {
		h = parseHead(b)
		s.left = h.length
		return h, b[headBytes:], true
	}
	n := copy(s.part[s.have:], b)
	s.have += uint8(n)
	if s.have < headBytes {
		return h, nil, false
	}
	s.have = 0
	h = parseHead(s.part[:])
	s.left = h.length
	return h, b[n:], true
}

// body takes bytes of the body off b.
func (s *scan) body(b []byte) (part, rest []byte) {
	n := min(uint32(len(b)), s.left)
	s.left -= n
	return b[:n], b[n:]
}
