package sse

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"unsafe"

	"ramen/frontend/sock"
	"ramen/frontend/transport"
	"ramen/protocol"
)

// The size is exact where it has more or fewer digits than there was room for.
func TestFix05ChunkSizes(t *testing.T) {
	for _, n := range []int{1, 15, 16, 255, 256, 4095, 4096, 65535, 65536, 1<<20 - 1, 1 << 20} {
		event := bytes.Repeat([]byte("0123456789"), n/10+1)[:n]
		b, at := openChunk([]byte("before"))
		b = closeChunk(append(b, event...), at)
		b, at = openChunk(b)
		b = closeChunk(append(b, "next"...), at)
		want := fmt.Sprintf("before%x\r\n%s\r\n4\r\nnext\r\n", n, event)
		if string(b) != want {
			t.Errorf("a chunk of %d bytes is %.40q…", n, b)
		}
	}
}

func TestFix05ChunksAllocateNothing(t *testing.T) {
	b := make([]byte, 0, 4096)
	p := somePush(1)
	if n := testing.AllocsPerRun(100, func() {
		b = chunkedLF.AppendPush(b[:0], &p)
		b = chunkedLF.AppendHeartbeat(b, 0)
	}); n > 0 {
		t.Errorf("%v allocations an event", n)
	}
}

// BenchmarkEncodeEvent is a push of 256 bytes, with and without its chunk.
func BenchmarkEncodeEvent(b *testing.B) {
	p := somePush(1)
	for name, enc := range map[string]transport.Encoder{"plain": lineEncoder, "chunk": chunkedLF} {
		b.Run(name, func(b *testing.B) {
			buf := make([]byte, 0, 4096)
			b.ReportAllocs()
			for range b.N {
				buf = enc.AppendPush(buf[:0], &p)
			}
		})
	}
}

// somePush is a push of 256 bytes.
func somePush(seq protocol.Seq) protocol.Push {
	return protocol.Push{Seq: seq, Cursor: "k3.7.3.4.0.x2ABCDEFGHabcdefgh", Message: &protocol.Message{
		ID: "0198f3c2-7d5c-7e2b-8f0e-0123456789ab", Type: "trip.offer", Priority: protocol.PriorityHigh, ContentType: protocol.ContentTypeJSON,
		Payload: []byte(`"` + strings.Repeat("x", 254) + `"`), CreatedMS: 1_700_000_000_000, ExpiresMS: 1_700_000_060_000,
	}}
}

// takesAll is a connection that takes everything.
type takesAll struct{ sock.Conn }

func (takesAll) Write([]byte) (int, error) { return 0, nil }

func TestHeartbeatAllocatesNothing(t *testing.T) {
	for name, enc := range map[string]transport.Encoder{"chunks": chunkedLF, "chunked events": chunkedEvent, "line": lineEncoder, "event": eventEncoder} {
		c := transport.NewByteConn(enc)
		c.Use(takesAll{})
		if n := testing.AllocsPerRun(100, func() { c.WriteHeartbeat(1234567890123) }); n > 0 {
			t.Errorf("%s: %v allocations a heartbeat", name, n)
		}
	}
}

// 288 is a class of Go's allocator.
func TestStreamIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(deviceStream{}); size > 288 {
		t.Errorf("a stream takes %d bytes; want at most 288", size)
	}
}
