package ws

import (
	"bytes"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unsafe"
)

// TestHotPathsDoNotAllocate: an ack comes, a push goes.
func TestHotPathsDoNotAllocate(t *testing.T) {
	ack, in := client(fin|1, `{"ack":{"seq":123456}}`), []byte(nil)
	r := NewReader(false, 0)
	on := func(Opcode, []byte) error { return nil }
	if n := testing.AllocsPerRun(100, func() {
		in = append(in[:0], ack...)
		if err := r.Feed(in, on); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("Feed of an ack: %v allocations", n)
	}
	out, push := make([]byte, 0, 1024), bytes.Repeat([]byte("x"), 300)
	if n := testing.AllocsPerRun(100, func() { out = AppendFrame(out[:0], Text, push, false) }); n != 0 {
		t.Errorf("AppendFrame of a push: %v allocations", n)
	}
	if n := unsafe.Sizeof(r); n > 16 {
		t.Errorf("an idle Reader is %d bytes", n)
	}
}

func BenchmarkFeedAck(b *testing.B) {
	ack, in := client(fin|1, `{"ack":{"seq":123456}}`), []byte(nil)
	r := NewReader(false, 0)
	on := func(Opcode, []byte) error { return nil }
	b.ReportAllocs()
	for b.Loop() {
		in = append(in[:0], ack...)
		_ = r.Feed(in, on)
	}
}

// BenchmarkFeedAckInTwo is an ack that a packet's end cuts.
func BenchmarkFeedAckInTwo(b *testing.B) {
	ack, in := client(fin|1, `{"ack":{"seq":123456}}`), []byte(nil)
	r := NewReader(false, 0)
	on := func(Opcode, []byte) error { return nil }
	b.ReportAllocs()
	for b.Loop() {
		in = append(in[:0], ack...)
		_ = r.Feed(in[:10], on)
		_ = r.Feed(in[10:], on)
	}
}

func BenchmarkFeedCompressedAck(b *testing.B) {
	ack, in := client(fin|rsv1|1, string(deflateForTest(`{"ack":{"seq":123456}}`))), []byte(nil)
	r := NewReader(true, 0)
	on := func(Opcode, []byte) error { return nil }
	b.ReportAllocs()
	for b.Loop() {
		in = append(in[:0], ack...)
		_ = r.Feed(in, on)
	}
}

func BenchmarkAppendFrame(b *testing.B) {
	push := []byte(strings.Repeat(`{"push":{"seq":1,"id":"0198f3c2","payload":{"fare":12}}}`, 20)[:1000])
	for _, deflate := range []bool{false, true} {
		name := "plain"
		if deflate {
			name = "deflate"
		}
		b.Run(name, func(b *testing.B) {
			var out []byte
			b.ReportAllocs()
			for b.Loop() {
				out = AppendFrame(out[:0], Text, push, deflate)
			}
			b.ReportMetric(float64(len(out)), "bytes")
		})
	}
}

func BenchmarkHandshake(b *testing.B) {
	r := httptest.NewRequest(http.MethodGet, "/ramen/ws", nil)
	r.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="}}
	server, peer := net.Pipe()
	defer server.Close()
	defer peer.Close()
	h := hijacker{httptest.NewRecorder(), server, ""}
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := Handshake(h, r, Default(), nil); err != nil {
			b.Fatal(err)
		}
	}
}
