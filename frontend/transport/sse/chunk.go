package sse

import (
	"math/bits"

	"ramen/frontend/transport"
	"ramen/protocol"
)

// An HTTP/1.1 stream of events is in chunked coding, a chunk an event: clients that read by chunks (urllib3, httpx) hand out an
// event when it comes. In an answer that ends with the connection they wait for more bytes. SPEC 5, RFC 9112 7.1.
const (
	chunkDigits = 3               // of the size of most events: 256 to 4,095 bytes. Those of others are moved
	chunkRoom   = chunkDigits + 2 // and CRLF
	lastChunk   = "0\r\n\r\n"
)

// openChunk leaves room at the end of b for a chunk's size. The chunk's bytes are to be appended.
func openChunk(b []byte) (_ []byte, at int) {
	return append(b, "000\r\n"...), len(b)
}

// closeChunk ends the chunk that was opened at at.
func closeChunk(b []byte, at int) []byte {
	size := len(b) - at - chunkRoom
	digits := (bits.Len(uint(size)) + 3) / 4 // exactly as many: some parsers do not bear leading zeros
	if more := digits - chunkDigits; more != 0 {
		from := at + chunkRoom
		for range more {
			b = append(b, 0)
		}
		copy(b[from+more:], b[from:from+size])
		b = b[:from+more+size]
	}
	for i, rest := at+digits-1, size; i >= at; i, rest = i-1, rest>>4 {
		b[i] = "0123456789abcdef"[rest&0xf]
	}
	b[at+digits], b[at+digits+1] = '\r', '\n'
	return append(b, "\r\n"...)
}

// chunked is an encoder of events each of which is a chunk.
type chunked struct {
	events    encoder
	heartbeat string // the chunk of a heartbeat
}

func newChunked(events encoder) transport.Encoder {
	b, at := openChunk(nil)
	return &chunked{events, string(closeChunk(append(b, events.heartbeat...), at))}
}

func (c *chunked) AppendHello(b []byte, h *protocol.Hello) []byte {
	b, at := openChunk(b)
	return closeChunk(c.events.AppendHello(b, h), at)
}

func (c *chunked) AppendPush(b []byte, p *protocol.Push) []byte {
	b, at := openChunk(b)
	return closeChunk(c.events.AppendPush(b, p), at)
}

func (c *chunked) AppendHeartbeat(b []byte, _ int64) []byte { return append(b, c.heartbeat...) }

func (c *chunked) AppendGoAway(b []byte, g *protocol.GoAway) []byte {
	b, at := openChunk(b)
	return closeChunk(c.events.AppendGoAway(b, g), at)
}

// end says that the answer is whole: an end without it is one that was cut.
func (c *chunked) AppendEnd(b []byte, _ protocol.Reason, _ string) []byte {
	return append(b, lastChunk...)
}
