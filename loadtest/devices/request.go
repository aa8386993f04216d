package devices

import (
	"bytes"
	"strconv"
	"strings"

	"ramen/clients/go/wire"
	"ramen/protocol"
)

// head is the request that opens a light stream.
func (s *Shard) head(k kind, at *endpoint, o *protocol.OpenFrame) []byte {
	path := "/ramen/receive?"
	if k != sseKind {
		path = "/ramen/ws?"
	}
	b := make([]byte, 0, 512)
	b = append(b, "GET "+at.path+path+wire.Query(o).Encode()+" HTTP/1.1\r\nHost: "+at.host+"\r\n"...)
	if o.Token != "" {
		b = append(b, "Authorization: Bearer "+o.Token+"\r\n"...)
	}
	for _, h := range s.cfg.Header {
		b = append(b, h+"\r\n"...)
	}
	switch k {
	case sseKind:
		return append(b, "Accept: text/event-stream\r\n\r\n"...)
	case wsJSON:
		b = append(b, "Sec-WebSocket-Protocol: ramen.v1.json\r\n"...)
	default:
		b = append(b, "Sec-WebSocket-Protocol: ramen.v1.proto\r\n"...)
	}
	if s.cfg.Deflate {
		b = append(b, "Sec-WebSocket-Extensions: "+deflateOffer+"\r\n"...)
	}
	// The key may be any: nobody looks at the answer to it, since no cache can be between that would need it.
	return append(b, "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"...)
}

// maxHead bounds the head of an answer, in bytes.
const maxHead = 16 << 10

// answered is the head of a server's answer.
type answered struct {
	length  int // 0: it is not whole
	status  int
	chunked bool
	deflate bool
}

// answer reads the head of a server's answer.
func answer(b []byte) (a answered, err error) {
	end := bytes.Index(b, []byte("\r\n\r\n"))
	if end < 0 {
		if len(b) > maxHead {
			return a, malformed("the head of an answer is over %d bytes", maxHead)
		}
		return a, nil
	}
	head := string(b[:end])
	first, rest, _ := strings.Cut(head, "\r\n")
	if len(first) < 12 || !strings.HasPrefix(first, "HTTP/1.") {
		return a, malformed("an answer begins %.40q", first)
	}
	if a.status, err = strconv.Atoi(first[9:12]); err != nil {
		return a, malformed("an answer begins %.40q", first)
	}
	for line := range strings.SplitSeq(rest, "\r\n") {
		name, value, _ := strings.Cut(line, ":")
		a.chunked = a.chunked || strings.EqualFold(name, "Transfer-Encoding") && strings.Contains(strings.ToLower(value), "chunked")
		a.deflate = a.deflate || strings.EqualFold(name, "Sec-WebSocket-Extensions") && strings.Contains(value, "permessage-deflate")
	}
	a.length = end + 4
	return a, nil
}
