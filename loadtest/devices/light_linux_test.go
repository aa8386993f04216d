package devices

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/klauspost/compress/flate"

	"ramen/loadtest/expect"
	"ramen/protocol"
)

const testRun = "rt"

// fresh is a device whose opening is under way, on a connection that is none.
func fresh(k kind) *light {
	cfg := &Config{Expected: expect.New(testRun), Mix: Mix{{k.transport(), 1}}}
	cfg.complete(1)
	s := &Shard{cfg: cfg, opening: 1, now: now()}
	d := &Device{sh: s, kind: k, state: opening}
	d.User = 7
	l := &light{d: d, fd: -1}
	d.conn = l
	return l
}

func testPush(n uint32) *protocol.Push {
	id := expect.AppendID(nil, testRun, expect.Name{User: 7, Lane: 1, N: n})
	return &protocol.Push{Seq: protocol.Seq(n), Cursor: fmt.Sprintf("k%d", n), Message: &protocol.Message{ID: protocol.MessageID(id), Type: "load", Priority: protocol.PriorityMedium,
		Payload: []byte(`{"t":1700000000000000,"p":"a \"quoted\" }] text","q":[1,{"x":null}]}`), ContentType: protocol.ContentTypeJSON, Headers: map[string]string{"h": "v"}}}
}

// served is what a server sends: a hello, pushes, a heartbeat, a goaway, another push.
func served(k kind) []byte {
	hello := &protocol.Hello{Stream: "s1", HeartbeatMS: 4000, TimeoutMS: 7000, AckMS: 100, TimeMS: 1}
	goaway := &protocol.GoAway{Reason: protocol.ReasonDrain, ReconnectMS: 5000}
	if k == sseKind {
		b := []byte("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
		b = protocol.AppendSSEHello(b, hello, 500)
		b = protocol.AppendSSEPush(b, testPush(1))
		b = append(b, protocol.SSEHeartbeat...)
		b = protocol.AppendSSEPush(b, testPush(2))
		b = protocol.AppendSSEGoAway(b, goaway, 500)
		return protocol.AppendSSEPush(b, testPush(3))
	}
	b := []byte("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n")
	op, text := byte(opText), [][]byte{protocol.AppendJSONHello(nil, hello), protocol.AppendJSONPush(nil, testPush(1)), nil, protocol.AppendJSONPush(nil, testPush(2)),
		protocol.AppendJSONGoAway(nil, goaway), protocol.AppendJSONPush(nil, testPush(3))}
	if k == wsProto {
		op, text = opBinary, [][]byte{protocol.AppendProtoHello(nil, hello), protocol.AppendProtoPush(nil, testPush(1)), nil, protocol.AppendProtoPush(nil, testPush(2)),
			protocol.AppendProtoGoAway(nil, goaway), protocol.AppendProtoPush(nil, testPush(3))}
	}
	for i, t := range text {
		if i == 3 { // in two fragments
			b = unmasked(b, op, t[:5], false)
			op, t = opContinuation, t[5:]
			b = unmasked(b, op, t, true)
			op = map[kind]byte{wsProto: opBinary, wsJSON: opText}[k]
			continue
		}
		b = unmasked(b, op, t, true)
	}
	return b
}

func unmasked(b []byte, op byte, payload []byte, fin bool) []byte {
	if fin {
		op |= 0x80
	}
	b = append(b, op)
	if len(payload) < 126 {
		b = append(b, byte(len(payload)))
	} else {
		b = append(b, 126, byte(len(payload)>>8), byte(len(payload)))
	}
	return append(b, payload...)
}

// saw says that the device saw all of served, and nothing against it.
func (l *light) saw(t *testing.T, how string) {
	t.Helper()
	s := &l.d.sh.stats
	if s.Opened != 1 || s.New != 3 || s.Beats != 1 || s.Ends["goaway drain"] != 1 || string(l.d.cursor) != "k3" || s.Latency.Count() != 3 {
		t.Fatalf("%s: it saw %+v, cursor %q", how, s, l.d.cursor)
	}
	if list, _ := l.d.sh.cfg.Expected.Take(); len(list) > 0 {
		t.Fatalf("%s: %v", how, list)
	}
	if len(l.rest) > 0 {
		t.Fatalf("%s: %d bytes are kept", how, len(l.rest))
	}
}

func TestStreamsAreReadWhereverTheyAreCut(t *testing.T) {
	for _, k := range []kind{sseKind, wsJSON, wsProto} {
		t.Run(string(k.transport()), func(t *testing.T) {
			all := served(k)
			for i := range all {
				l := fresh(k)
				for _, part := range [][]byte{all[:i], all[i:]} {
					if err := l.take(append([]byte(nil), part...)); err != nil {
						t.Fatalf("cut at %d: %v", i, err)
					}
				}
				l.saw(t, fmt.Sprintf("cut at %d", i))
			}
			l := fresh(k)
			for i := range all {
				if err := l.take([]byte{all[i]}); err != nil {
					t.Fatalf("byte %d: %v", i, err)
				}
			}
			l.saw(t, "byte by byte")
		})
	}
}

func TestChunksOfAProxyAreTakenApart(t *testing.T) {
	plain := string(served(sseKind))
	head, body, _ := strings.Cut(plain, "\r\n\r\n")
	for size := 1; size < 200; size += 13 {
		text := head + "\r\nTransfer-Encoding: chunked\r\n\r\n"
		for rest := body; len(rest) > 0; {
			n := min(size, len(rest))
			text += fmt.Sprintf("%x;x=y\r\n%s\r\n", n, rest[:n])
			rest = rest[n:]
		}
		for _, step := range []int{1, 7, len(text)} {
			l := fresh(sseKind)
			for at := 0; at < len(text); at += step {
				if err := l.take([]byte(text[at:min(at+step, len(text))])); err != nil {
					t.Fatalf("chunks of %d, reads of %d: %v", size, step, err)
				}
			}
			l.saw(t, fmt.Sprintf("chunks of %d, reads of %d", size, step))
		}
	}
}

func TestCompressedMessagesAreReadWhereverTheyAreCut(t *testing.T) {
	all := []byte("HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\n\r\n")
	for i, text := range [][]byte{
		protocol.AppendProtoHello(nil, &protocol.Hello{Stream: "s1", HeartbeatMS: 4000}), protocol.AppendProtoPush(nil, testPush(1)), nil,
		protocol.AppendProtoPush(nil, testPush(2)), protocol.AppendProtoGoAway(nil, &protocol.GoAway{Reason: protocol.ReasonDrain, ReconnectMS: 5000}),
		protocol.AppendProtoPush(nil, testPush(3)),
	} {
		op := byte(opBinary)
		if i%2 == 1 {
			var b bytes.Buffer
			w, _ := flate.NewWriter(&b, 6)
			_, _ = w.Write(text)
			_ = w.Flush()
			op, text = op|rsv1, bytes.TrimSuffix(b.Bytes(), []byte(deflateTail[:4]))
		}
		all = unmasked(all, op, text, true)
	}
	for i := range all {
		l := fresh(wsProto)
		for _, part := range [][]byte{all[:i], all[i:]} {
			if err := l.take(append([]byte(nil), part...)); err != nil {
				t.Fatalf("cut at %d: %v", i, err)
			}
		}
		l.saw(t, fmt.Sprintf("cut at %d", i))
	}
	l := fresh(wsProto)
	if err := l.take(unmasked([]byte("HTTP/1.1 101 Switching Protocols\r\n\r\n"), opBinary|rsv1, []byte("x"), true)); err == nil {
		t.Error("compression that was not agreed on is taken")
	}
}

func TestRefusalIsAnError(t *testing.T) {
	for _, text := range []string{"HTTP/1.1 503 Service Unavailable\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n", "SSH-2.0-x\r\n\r\n", strings.Repeat("x", maxHead+1)} {
		if err := fresh(wsProto).take([]byte(text)); err == nil {
			t.Errorf("%.20q is no error", text)
		}
	}
}

func FuzzTake(f *testing.F) {
	for _, k := range []kind{sseKind, wsJSON, wsProto} {
		f.Add(uint8(k), served(k), 10)
	}
	f.Add(uint8(sseKind), []byte("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\n\n\n\n\r\n0\r\n\r\n"), 50)
	f.Fuzz(func(t *testing.T, k uint8, b []byte, cut int) {
		l := fresh(kind(k % 3))
		cut = min(max(cut, 0), len(b))
		if l.take(append([]byte(nil), b[:cut]...)) == nil && l.d.conn != nil {
			_ = l.take(append([]byte(nil), b[cut:]...))
		}
	})
}
