package protocol

import (
	"bytes"
	"strconv"
)

// The two forms of a heartbeat on SSE. SPEC 4.2.8, 5.1.4.
const (
	SSEHeartbeat      = "\n"
	SSEHeartbeatEvent = "event: heartbeat\ndata: {}\n\n"
)

// AppendSSEHello appends the hello event, whose id is the cursor, with a retry: line unless retryMS is 0.
func AppendSSEHello(b []byte, h *Hello, retryMS int) []byte {
	b = appendRetry(b, retryMS)
	b = append(b, "event: hello\n"...)
	if h.Cursor != "" { // an empty id would take the place away that an EventSource has
		b = append(b, "id: "...)
		b = append(b, h.Cursor...)
		b = append(b, '\n')
	}
	b = append(b, "data: "...)
	b = appendHelloObject(b, h, false)
	return append(b, '\n', '\n')
}

// AppendSSEPush appends a push: an event of the default type, whose id is the cursor.
func AppendSSEPush(b []byte, p *Push) []byte {
	b = append(b, "id: "...)
	b = append(b, p.Cursor...)
	b = append(b, "\ndata: "...)
	start := len(b)
	b = AppendJSONPushObject(b, p, false)
	oneLine(b[start:])
	return append(b, '\n', '\n')
}

// AppendSSEGoAway appends the goaway event, with a retry: line unless retryMS is 0.
func AppendSSEGoAway(b []byte, g *GoAway, retryMS int) []byte {
	b = appendRetry(b, retryMS)
	b = append(b, "event: goaway\ndata: "...)
	b = appendGoAwayObject(b, g)
	return append(b, '\n', '\n')
}

func appendRetry(b []byte, retryMS int) []byte {
	if retryMS == 0 {
		return b
	}
	b = append(b, "retry: "...)
	b = strconv.AppendInt(b, int64(retryMS), 10)
	return append(b, '\n')
}

// oneLine turns line ends into spaces. JSON has them between tokens alone, and a payload that was accepted has none;
// but one that got in would end the event early, so it is looked for (a memchr of each).
func oneLine(json []byte) {
	for _, end := range [2]byte{'\n', '\r'} {
		rest := json
		for i := bytes.IndexByte(rest, end); i >= 0; i = bytes.IndexByte(rest, end) {
			rest[i] = ' '
			rest = rest[i+1:]
		}
	}
}
