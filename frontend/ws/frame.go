package ws

import (
	"encoding/binary"
	"unicode/utf8"
)

// Opcode is the kind of a frame. RFC 6455 5.2.
type Opcode uint8

// The opcodes that Feed reports and AppendFrame takes.
const (
	Text   Opcode = 1
	Binary Opcode = 2
	Close  Opcode = 8
	Ping   Opcode = 9
	Pong   Opcode = 10

	continuation Opcode = 0
)

const (
	finBit  = 0x80
	rsv1Bit = 0x40 // permessage-deflate. RFC 7692 6
	rsvBits = 0x70
	maskBit = 0x80
	opBits  = 0x0f
	lenBits = 0x7f

	len16      = 126 // a 16-bit length follows
	len64      = 127 // a 64-bit length follows
	maxHeader  = 14  // bytes: 2, a length of 8, a mask of 4
	maxControl = 125 // bytes of a control frame's payload. RFC 6455 5.5
)

func (op Opcode) control() bool { return op >= Close }

func (op Opcode) known() bool { return op <= Binary || op >= Close && op <= Pong }

// HeaderLen is how many bytes AppendFrame puts before a payload of n bytes.
func HeaderLen(n int) int {
	switch {
	case n < len16:
		return 2
	case n <= 0xffff:
		return 4
	}
	return 10
}

// AppendFrame appends a whole message as one frame, or a control frame, of a server: without a mask. deflate compresses the
// payload of a message where that makes it shorter: for Negotiated.Deflate, and payloads over Config.DeflateOver.
func AppendFrame(dst []byte, op Opcode, payload []byte, deflate bool) []byte {
	if deflate && !op.control() {
		if d := deflatePayload(payload); d != nil {
			dst = append(appendHeader(dst, finBit|rsv1Bit|byte(op), len(d.b)), d.b...)
			d.release()
			return dst
		}
	}
	return append(appendHeader(dst, finBit|byte(op), len(payload)), payload...)
}

func appendHeader(dst []byte, first byte, n int) []byte {
	dst = append(dst, first)
	switch HeaderLen(n) {
	case 2:
		return append(dst, byte(n))
	case 4:
		return binary.BigEndian.AppendUint16(append(dst, len16), uint16(n))
	}
	return binary.BigEndian.AppendUint64(append(dst, len64), uint64(n))
}

// AppendClose appends a close frame. text is cut to what fits, between two characters. A code of 0 says none.
func AppendClose(dst []byte, code int, text string) []byte {
	if code == 0 {
		return appendHeader(dst, finBit|byte(Close), 0)
	}
	if most := maxControl - 2; len(text) > most {
		text = text[:most]
		for len(text) > 0 && !utf8.ValidString(text) {
			text = text[:len(text)-1]
		}
	}
	dst = appendHeader(dst, finBit|byte(Close), 2+len(text))
	return append(binary.BigEndian.AppendUint16(dst, uint16(code)), text...)
}

// header is a client's frame header.
type header struct {
	op   Opcode
	fin  bool
	rsv1 bool
	mask [4]byte
	n    uint64 // of payload
}

// parseHeader reads a header off the front of b. size is its length, 0 where b ends within it. What the first two bytes break
// is refused at once.
func parseHeader(b []byte, deflate bool) (h header, size int, err error) {
	if len(b) == 0 {
		return h, 0, nil
	}
	h.op, h.fin, h.rsv1 = Opcode(b[0]&opBits), b[0]&finBit != 0, b[0]&rsv1Bit != 0
	switch {
	case !h.op.known():
		return h, 0, protocolErrorf("opcode %d is reserved", h.op)
	case b[0]&(rsvBits&^rsv1Bit) != 0 || h.rsv1 && (!deflate || h.op.control() || h.op == continuation):
		return h, 0, protocolErrorf("a reserved bit is set in a frame of opcode %d", h.op)
	case h.op.control() && !h.fin:
		return h, 0, protocolErrorf("a control frame is fragmented")
	case len(b) < 2:
		return h, 0, nil
	case b[1]&maskBit == 0:
		return h, 0, protocolErrorf("a frame of a client is not masked")
	}
	h.n = uint64(b[1] & lenBits)
	if h.op.control() && h.n > maxControl {
		return h, 0, protocolErrorf("a control frame is over %d bytes", maxControl)
	}
	size = 2
	switch h.n {
	case len16:
		if size += 2; len(b) >= size {
			h.n = uint64(binary.BigEndian.Uint16(b[2:]))
		}
	case len64:
		if size += 8; len(b) >= size {
			h.n = binary.BigEndian.Uint64(b[2:])
		}
	}
	if len(b) >= size && h.n>>63 != 0 {
		return h, 0, protocolErrorf("a frame's length has its highest bit set")
	}
	if size += len(h.mask); len(b) < size {
		return h, 0, nil
	}
	copy(h.mask[:], b[size-len(h.mask):])
	return h, size, nil
}

// unmask takes the mask off b, whose first byte is at place at of the payload. RFC 6455 5.3.
func unmask(b []byte, mask [4]byte, at int) {
	var m [4]byte
	for i := range m {
		m[i] = mask[(at+i)&3]
	}
	m32 := binary.LittleEndian.Uint32(m[:])
	m64 := uint64(m32)<<32 | uint64(m32)
	for len(b) >= 8 {
		binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)^m64)
		b = b[8:]
	}
	for i := range b {
		b[i] ^= m[i&3]
	}
}
