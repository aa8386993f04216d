package ws

import (
	"bytes"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unsafe"

	"github.com/gorilla/websocket"
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

// BenchmarkHandshake is ours and gorilla's, of one request. Of both the hijacker itself takes 8,700 bytes.
func BenchmarkHandshake(b *testing.B) {
	o := Offer{"Upgrade", "websocket", "13", someKey, SubprotocolJSON, ""}
	r := httptest.NewRequest(http.MethodGet, "/ramen/ws", nil)
	r.Header = o.header()
	c, peer := net.Pipe()
	defer c.Close()
	defer peer.Close()
	b.Run("answer", func(b *testing.B) { // as for most connects, whose request is not net/http's
		b.ReportAllocs()
		for b.Loop() {
			if _, err := o.Answer(Default()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("handshake", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, _, err := Handshake(hijacker{httptest.NewRecorder(), c, ""}, r, Default(), anyOrigin); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("gorilla", func(b *testing.B) {
		u := websocket.Upgrader{Subprotocols: []string{SubprotocolJSON}, CheckOrigin: anyOrigin}
		head := &headConn{Conn: c}
		b.ReportAllocs()
		for b.Loop() {
			head.head.Reset()
			if _, err := u.Upgrade(hijacker{httptest.NewRecorder(), head, ""}, r, nil); err != nil {
				b.Fatal(err)
			}
		}
	})
}
