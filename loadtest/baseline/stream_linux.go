package baseline

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"net/url"
	"strconv"
	"strings"

	"ramen/protocol"
)

// request handles an HTTP request, for a stream or an SSE device's ack. It returns how many bytes it took.
func (s *server) request(c *conn, b []byte) int {
	end := bytes.Index(b, []byte("\r\n\r\n"))
	if end < 0 {
		return 0
	}
	line, headers, _ := strings.Cut(string(b[:end]), "\r\n")
	_, target, _ := strings.Cut(line, " ")
	target, _, _ = strings.Cut(target, " ")
	path, query, _ := strings.Cut(target, "?")
	switch {
	case strings.HasSuffix(path, "/ramen/receive"):
		s.stream(c, sse, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache, no-transform\r\nX-Accel-Buffering: no\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n", query)
	case strings.HasSuffix(path, "/ramen/ws"):
		kind, subprotocol := wsJSON, "ramen.v1.json"
		if strings.Contains(headers, "ramen.v1.proto") {
			kind, subprotocol = wsProto, "ramen.v1.proto"
		}
		s.stream(c, kind, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "+
			accept(headers)+"\r\nSec-WebSocket-Protocol: "+subprotocol+"\r\n\r\n", query)
	case strings.HasSuffix(path, "/ramen/ack"):
		s.write(c, []byte("HTTP/1.1 204 No Content\r\n\r\n"))
	default:
		s.write(c, []byte("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"))
	}
	return end + 4
}

// accept is the Sec-WebSocket-Accept of a handshake. RFC 6455 4.2.2
func accept(headers string) string {
	_, key, _ := strings.Cut(headers, "Sec-WebSocket-Key: ")
	key, _, _ = strings.Cut(key, "\r\n")
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// cursorSize is as long as the cursors of a RAMEN server that has run for a while.
const cursorSize = 36

// cursorOf is the cursor of push n: its number, and dots.
func cursorOf(n uint64) string {
	text := strconv.FormatUint(n, 10)
	return "f" + text + strings.Repeat(".", cursorSize-1-len(text))
}

// stream makes c a stream. Head and hello go out in one write, with the last message where the cursor does not cover it.
func (s *server) stream(c *conn, kind state, head, query string) {
	q, _ := url.ParseQuery(query) // the load wrote it
	name := q.Get("user")
	u := s.users[name]
	if u == nil {
		u = new(user)
		s.users[strings.Clone(name)] = u
	}
	interval, err := strconv.Atoi(q.Get("heartbeat_ms"))
	if err != nil {
		interval = int(s.cfg.Heartbeat.Milliseconds())
	}
	cursor := q.Get("cursor")
	seen, err := strconv.ParseUint(strings.Trim(cursor, "f."), 10, 64)
	if err != nil {
		seen = 0
	}
	h := protocol.Hello{Resumed: cursor != "", Stream: "f1.1.1", Seq: protocol.Seq(u.n), HeartbeatMS: uint32(interval), TimeoutMS: uint32(interval) * 7 / 4, AckMS: 100, TimeMS: s.now}
	again := u.n > 0 && seen < u.n
	if again {
		h.Seq--
	}
	h.Cursor = cursorOf(uint64(h.Seq))
	if u.conn != nil {
		s.drop(u.conn)
	}
	c.state, c.user, u.conn = kind, u, c
	b := append(s.out[:0], head...)
	switch kind {
	case sse:
		b = appendChunk(b, protocol.AppendSSEHello(nil, &h, 1000))
	case wsJSON:
		b = appendFrame(b, opText, protocol.AppendJSONHello(nil, &h))
	default:
		b = appendFrame(b, opBinary, protocol.AppendProtoHello(nil, &h))
	}
	if again {
		b = s.appendPush(b, c, u.last)
	}
	s.out = b
	s.write(c, b)
	s.wheel.join(c, interval, s.now)
}

// appendChunk appends an event as a chunk of its own, as RAMEN has it. RFC 9112 7.1
func appendChunk(b, event []byte) []byte {
	b = append(strconv.AppendUint(b, uint64(len(event)), 16), "\r\n"...)
	return append(append(b, event...), "\r\n"...)
}

// The first bytes of a server's whole frames. RFC 6455 5.2
const (
	opText   = 0x81
	opBinary = 0x82
)

// appendFrame appends a server's frame.
func appendFrame(b []byte, op byte, payload []byte) []byte {
	return append(appendHead(b, op, len(payload)), payload...)
}

func appendHead(b []byte, op byte, size int) []byte {
	switch {
	case size < 126:
		return append(b, op, byte(size))
	case size < 1<<16:
		return append(b, op, 126, byte(size>>8), byte(size))
	}
	return append(b, op, 127, 0, 0, 0, 0, byte(size>>24), byte(size>>16), byte(size>>8), byte(size))
}
