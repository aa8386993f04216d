package protocol

import (
	"encoding/base64"
	"encoding/binary"
	"errors"

	"github.com/dchest/siphash"
)

// Cursor is how far a device has come in its user's mailbox.
type Cursor struct {
	Seq Seq       // of the last push
	At  Positions // the last push of each lane
}

// MaxCursor is the longest text of a cursor, in bytes. SPEC 1.1.9.
const MaxCursor = 128

// ErrForeignCursor is a cursor that cannot be honoured: another user's or device's, another store's, or forged.
var ErrForeignCursor = errors.New("protocol: cursor is not of this user, device and store")

// Sealer writes and reads the text of cursors for one store. Its tag is what keeps somebody else's cursor from counting as acks.
type Sealer struct {
	Generation uint32   // of the store: drawn when it was created
	Key        [16]byte // the store's secret
}

const (
	cursorVersion = 'k'
	cursorTag     = 8 // bytes
)

// cursorText is strict: bits behind the last byte must be zero.
var cursorText = base64.RawURLEncoding.Strict()

// The text is 'k' and unpadded base64url of: generation, seq, then epoch and µs a lane, each a uvarint (a lane without
// a position is one zero), then 8 bytes of SipHash-2-4 over user, 0, device, 0 and all that came before. No user or device
// contains a zero (CheckUser, CheckDevice), so what is hashed for one is never that for another.

// Seal is the text of c for device of user.
func (s *Sealer) Seal(user UserID, device DeviceID, c Cursor) string {
	var raw [cursorRaw]byte
	b := binary.AppendUvarint(raw[:0], uint64(s.Generation))
	b = binary.AppendUvarint(b, uint64(c.Seq))
	for _, p := range c.At {
		b = binary.AppendUvarint(b, uint64(p.Epoch))
		if p.Epoch != 0 {
			b = binary.AppendUvarint(b, p.Micros)
		}
	}
	b = binary.LittleEndian.AppendUint64(b, s.tag(user, device, b))
	var text [MaxCursor]byte
	text[0] = cursorVersion
	n := cursorText.EncodedLen(len(b))
	cursorText.Encode(text[1:], b)
	return string(text[:1+n])
}

const cursorRaw = 5 + 8*binary.MaxVarintLen64 + cursorTag // 93 bytes at most, 124 as text

// Open reads a text that was sealed for device of user, or answers ErrForeignCursor.
func (s *Sealer) Open(user UserID, device DeviceID, text string) (Cursor, error) {
	var c Cursor
	// The shape is checked first because base64's decoder skips line ends: one cursor must have one text.
	if !ValidCursor(text) || text[0] != cursorVersion {
		return c, ErrForeignCursor
	}
	var in, raw [MaxCursor]byte
	n, err := cursorText.Decode(raw[:], in[:copy(in[:], text[1:])])
	if err != nil || n < cursorTag {
		return c, ErrForeignCursor
	}
	body, tag := raw[:n-cursorTag], binary.LittleEndian.Uint64(raw[n-cursorTag:n])
	if tag != s.tag(user, device, body) {
		return c, ErrForeignCursor
	}
	r := uvarints{b: body}
	generation := r.next()
	c.Seq = Seq(r.next())
	for i := range c.At {
		if c.At[i].Epoch = Epoch(r.next()); c.At[i].Epoch != 0 {
			c.At[i].Micros = r.next()
		}
	}
	if r.bad || len(r.b) != 0 || generation != uint64(s.Generation) || c.Seq > MaxSeq {
		return Cursor{}, ErrForeignCursor
	}
	return c, nil
}

func (s *Sealer) tag(user UserID, device DeviceID, body []byte) uint64 {
	var buf [128 + 1 + 128 + 1 + cursorRaw]byte
	b := append(buf[:0], user...)
	b = append(b, 0)
	b = append(b, device...)
	b = append(b, 0)
	b = append(b, body...)
	return siphash.Hash(binary.LittleEndian.Uint64(s.Key[:8]), binary.LittleEndian.Uint64(s.Key[8:]), b)
}

type uvarints struct {
	b   []byte
	bad bool
}

func (r *uvarints) next() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

// ValidCursor reports whether text has the shape of a cursor: 1 to 128 bytes of A-Z a-z 0-9 . _ -. Whether it can be
// honoured is another question. SPEC 2.4.5, 2.4.1.
func ValidCursor(text string) bool {
	if len(text) == 0 || len(text) > MaxCursor {
		return false
	}
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case 'A' <= c && c <= 'Z', 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '.', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}
