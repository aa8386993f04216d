package ws

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
)

// deflateForTest compresses as another implementation does.
func deflateForTest(s string) []byte {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, flate.BestCompression)
	_, _ = w.Write([]byte(s))
	_ = w.Flush()
	return bytes.TrimSuffix(b.Bytes(), []byte(deflateTail))
}

func TestCompressedMessages(t *testing.T) {
	long := strings.Repeat("push ", 1000)
	hello := "\xf2\x48\xcd\xc9\xc9\x07\x00" // RFC 7692 7.2.3.1
	for _, c := range []struct {
		name string
		in   []byte
		want []got
		code int
	}{
		{"RFC's example", client(fin|rsv1|1, hello), []got{{Text, "Hello"}}, 0},
		{"RFC's example in fragments", join(client(rsv1|1, hello[:3]), client(fin, hello[3:])), []got{{Text, "Hello"}}, 0},
		{"RFC's stored block", client(fin|rsv1|1, "\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00"), []got{{Text, "Hello"}}, 0},
		{"RFC's final block", client(fin|rsv1|1, "\xf3\x48\xcd\xc9\xc9\x07\x00\x00"), []got{{Text, "Hello"}}, 0},
		{"RFC's two blocks", client(fin|rsv1|1, "\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"), []got{{Text, "Hello"}}, 0},
		{"empty", client(fin|rsv1|1, "\x00"), []got{{Text, ""}}, 0},
		{"plain beside compressed", join(client(fin|1, "a"), client(fin|rsv1|1, hello), client(fin|2, "b")), []got{{Text, "a"}, {Text, "Hello"}, {Binary, "b"}}, 0},
		{"long", client(fin|rsv1|2, string(deflateForTest(long))), []got{{Binary, long}}, 0},
		{"not UTF-8", client(fin|rsv1|1, string(deflateForTest("\xff"))), nil, CodeInvalidData},
		{"broken", client(fin|rsv1|1, "\xff\xff\xff"), nil, CodeInvalidData},
		{"cut", client(fin|rsv1|1, string(deflateForTest(long)[:10])), nil, CodeInvalidData},
		{"bit on a continuation", join(client(rsv1|1, hello[:3]), client(fin|rsv1, hello[3:])), nil, CodeProtocolError},
		{"bit on a ping", client(fin|rsv1|9, ""), nil, CodeProtocolError},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, err := feed(t, true, c.in)
			if fmt.Sprint(out) != fmt.Sprint(c.want) {
				t.Errorf("got %q, want %q", out, c.want)
			}
			checkCode(t, err, c.code)
		})
	}
}

func TestInflatingStopsAtTheLimit(t *testing.T) {
	for _, n := range []int{MaxMessage - 1, MaxMessage, MaxMessage + 1, 50 << 20} {
		r := NewReader(true, 0)
		length := 0
		bomb := client(fin|rsv1|2, string(deflateForTest(strings.Repeat("\x00", n))))
		err := r.Feed(bomb, func(_ Opcode, payload []byte) error { length = len(payload); return nil })
		if n <= MaxMessage {
			if err != nil || length != n {
				t.Errorf("%d bytes: got %d, %v", n, length, err)
			}
		} else {
			checkCode(t, err, CodeTooBig)
		}
	}
}

func TestAppendFrameInflatesToThePayload(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	random := make([]byte, 100<<10)
	for i := range random {
		random[i] = byte(rnd.Uint32())
	}
	json := []byte(strings.Repeat(`{"push":{"seq":1,"id":"0198f3c2","type":"trip.offer","payload":{"fare":12}}}`, 1500))
	for _, src := range [][]byte{json, random} {
		for _, n := range []int{0, 1, 10, 125, 126, 600, 0xffff, 0x10000, 100 << 10} {
			b := AppendFrame([]byte("before"), Binary, src[:n], true)[len("before"):]
			compressed := b[0]&rsv1 != 0
			if b[0]&^rsv1 != fin|byte(Binary) || len(b) > HeaderLen(n)+n {
				t.Fatalf("%d bytes: header %x, %d bytes", n, b[:2], len(b))
			}
			size := len(b) - frameLen(b)
			if !compressed {
				if !bytes.Equal(b[size:], src[:n]) {
					t.Fatalf("%d bytes: another payload", n)
				}
				continue
			}
			z := flate.NewReader(io.MultiReader(bytes.NewReader(b[size:]), strings.NewReader(deflateTail+finalBlock)))
			if out, err := io.ReadAll(z); err != nil || !bytes.Equal(out, src[:n]) {
				t.Fatalf("%d bytes: inflated to %d, %v", n, len(out), err)
			}
			if n == 600 {
				t.Logf("600 bytes of JSON in %d", len(b))
			}
		}
	}
	if b := AppendFrame(nil, Ping, json[:100], true); b[0]&rsv1 != 0 {
		t.Error("a control frame is compressed")
	}
	if b := AppendFrame(nil, Text, json[:5000], true); b[0]&rsv1 == 0 {
		t.Error("5000 bytes of JSON are not compressed")
	}
}

// frameLen is the payload's length as a server's header says.
func frameLen(b []byte) int {
	switch n := int(b[1]); n {
	case len16:
		return int(b[2])<<8 | int(b[3])
	case len64:
		return int(b[6])<<24 | int(b[7])<<16 | int(b[8])<<8 | int(b[9])
	default:
		return n
	}
}
