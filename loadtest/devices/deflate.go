package devices

import (
	"bytes"
	"io"

	"github.com/klauspost/compress/flate"
)

// What light WebSocket streams offer: each message compressed by itself, so that they keep nothing while idle. What they send
// is not compressed, which every server takes. RFC 7692 7.1.1
const (
	deflateOffer = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
	rsv1         = 0x40
)

// deflateTail ends a flushed stream; the sender has cut off its first four bytes, and the final empty block ends the reader.
// RFC 7692 7.2.2
const deflateTail = "\x00\x00\xff\xff\x01\x00\x00\xff\xff"

// inflater is what all streams of a shard inflate with, one message at a time.
type inflater struct {
	from bytes.Buffer
	r    io.ReadCloser // nil: not used yet
	to   bytes.Buffer
}

// inflate answers a message's payload; it lasts until the next call. Called with mu held.
func (s *Shard) inflate(b []byte) ([]byte, error) {
	f := &s.inflater
	f.from.Reset()
	f.from.Write(b)
	f.from.WriteString(deflateTail)
	if f.r == nil {
		f.r = flate.NewReader(&f.from)
	} else if err := f.r.(flate.Resetter).Reset(&f.from, nil); err != nil {
		return nil, malformed("a message does not inflate: %v", err)
	}
	f.to.Reset()
	n, err := f.to.ReadFrom(io.LimitReader(f.r, maxMessage+1))
	if err != nil {
		return nil, malformed("a message does not inflate: %v", err)
	}
	if n > maxMessage {
		return nil, malformed("a message inflates to over %d bytes", maxMessage)
	}
	return f.to.Bytes(), nil
}
