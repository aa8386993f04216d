package ws

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// got is a message as a Reader reported it.
type got struct {
	op      Opcode
	payload string
}

// record collects what a Reader reports.
func record(to *[]got) func(Opcode, []byte) error {
	return func(op Opcode, payload []byte) error {
		*to = append(*to, got{op, string(payload)})
		return nil
	}
}

// client makes a client's frame: first is the first byte.
func client(first byte, payload string) []byte {
	mask := [4]byte{0x37, 0xfa, 0x21, 0x3d} // RFC 6455 5.7
	b := appendHeader(nil, first, len(payload))
	b[1] |= maskBit
	b = append(b, mask[:]...)
	at := len(b)
	b = append(b, payload...)
	unmask(b[at:], mask, 0)
	return b
}

// claim is a client's header that promises n bytes.
func claim(first byte, n uint64) []byte {
	return append(binary.BigEndian.AppendUint64([]byte{first, maskBit | len64}, n), 1, 2, 3, 4)
}

func join(frames ...[]byte) []byte { return bytes.Join(frames, nil) }

// feed feeds in whole, and then again split at every place, and demands the same outcome.
func feed(t *testing.T, deflate bool, in []byte) ([]got, error) {
	t.Helper()
	once := func(cuts ...int) ([]got, error) {
		r := NewReader(deflate, 0)
		var out []got
		rest := bytes.Clone(in)
		for i, cut := range cuts {
			if i > 0 {
				cut -= cuts[i-1]
			}
			if err := r.Feed(rest[:cut], record(&out)); err != nil {
				return out, err
			}
			rest = rest[cut:]
		}
		err := r.Feed(rest, record(&out))
		if !r.Idle() {
			r.Release()
		}
		return out, err
	}
	out, err := once()
	same := func(how string, out2 []got, err2 error) {
		t.Helper()
		if fmt.Sprint(out) != fmt.Sprint(out2) || fmt.Sprint(err) != fmt.Sprint(err2) {
			t.Fatalf("%s: %q, %v; whole: %q, %v", how, out2, err2, out, err)
		}
	}
	all := make([]int, len(in))
	for i := range in {
		all[i] = i
		out2, err2 := once(i)
		same(fmt.Sprintf("split at %d", i), out2, err2)
	}
	out2, err2 := once(all...)
	same("byte by byte", out2, err2)
	return out, err
}

const (
	fin  = finBit
	rsv1 = rsv1Bit
)

func TestFramesOfEveryShape(t *testing.T) {
	text, binary := byte(Text), byte(Binary)
	long := strings.Repeat("x", 300)
	for _, c := range []struct {
		name string
		in   []byte
		want []got
		code int
	}{
		{"text", client(fin|text, "Hello"), []got{{Text, "Hello"}}, 0},
		{"empty text is an echo", client(fin|text, ""), []got{{Text, ""}}, 0},
		{"empty binary is an echo", client(fin|binary, ""), []got{{Binary, ""}}, 0},
		{"two in one read", join(client(fin|text, "a"), client(fin|binary, "\x00\xff")), []got{{Text, "a"}, {Binary, "\x00\xff"}}, 0},
		{"16-bit length", client(fin|binary, long), []got{{Binary, long}}, 0},
		{"64-bit length", join(claim(fin|binary, 1), []byte("b")), []got{{Binary, "c"}}, 0},
		{"fragments", join(client(text, "He"), client(0, "l"), client(0, ""), client(fin, "lo")), []got{{Text, "Hello"}}, 0},
		{"fragments of nothing", join(client(text, ""), client(fin, "")), []got{{Text, ""}}, 0},
		{"character across fragments", join(client(text, "\xc3"), client(fin, "\xa4")), []got{{Text, "ä"}}, 0},
		{"ping between fragments", join(client(text, "He"), client(fin|9, "p"), client(fin, "y")), []got{{Ping, "p"}, {Text, "Hey"}}, 0},
		{"message after fragments", join(client(binary, "a"), client(fin, "b"), client(fin|text, "c")), []got{{Binary, "ab"}, {Text, "c"}}, 0},
		{"pong", client(fin|10, ""), []got{{Pong, ""}}, 0},
		{"longest ping", client(fin|9, long[:125]), []got{{Ping, long[:125]}}, 0},
		{"close without code", client(fin|8, ""), []got{{Close, ""}}, 0},
		{"close", client(fin|8, "\x03\xe8bye"), []got{{Close, "\x03\xe8bye"}}, 0},
		{"nothing after close", join(client(fin|8, ""), client(fin|text, "late"), []byte("junk")), []got{{Close, ""}}, 0},
		{"close within a message", join(client(text, "a"), client(fin|8, "")), []got{{Close, ""}}, 0},

		{"not masked", []byte{fin | text, 5, 'H', 'e', 'l', 'l', 'o'}, nil, CodeProtocolError},
		{"reserved opcode 3", client(fin|3, ""), nil, CodeProtocolError},
		{"reserved opcode 11", client(fin|11, ""), nil, CodeProtocolError},
		{"reserved bit 2", client(fin|0x20|text, ""), nil, CodeProtocolError},
		{"reserved bit 3", client(fin|0x10|text, ""), nil, CodeProtocolError},
		{"reserved bit 1, nothing negotiated", client(fin|rsv1|text, ""), nil, CodeProtocolError},
		{"fragmented ping", client(9, ""), nil, CodeProtocolError},
		{"ping of 126 bytes", client(fin|9, long[:126]), nil, CodeProtocolError},
		{"continuation of nothing", client(fin, "x"), nil, CodeProtocolError},
		{"first fragment of nothing", client(0, "x"), nil, CodeProtocolError},
		{"text in text", join(client(text, "a"), client(fin|text, "b")), nil, CodeProtocolError},
		{"error after a message", join(client(fin|text, "a"), client(fin|3, "")), []got{{Text, "a"}}, CodeProtocolError},
		{"length with the highest bit", claim(fin|binary, 1<<63), nil, CodeProtocolError},
		{"close with half a code", client(fin|8, "\x03"), nil, CodeProtocolError},
		{"close with code 1005", client(fin|8, "\x03\xed"), nil, CodeProtocolError},
		{"close with code 999", client(fin|8, "\x03\xe7"), nil, CodeProtocolError},
		{"close with a reason that is not UTF-8", client(fin|8, "\x03\xe8\xff"), nil, CodeInvalidData},
		{"text not UTF-8", client(fin|text, "a\xffb"), nil, CodeInvalidData},
		{"text cut in a character", client(fin|text, "\xc3"), nil, CodeInvalidData},
		{"fragments not UTF-8", join(client(text, "\xed"), client(fin, "\xa0\x80")), nil, CodeInvalidData},
		{"too long", claim(fin|binary, MaxMessage+1), nil, CodeTooBig},
		{"far too long", claim(fin|binary, 1<<30), nil, CodeTooBig},
		{"too long in fragments", join(client(binary, "ab"), claim(0, MaxMessage-1)), nil, CodeTooBig},
		{"far too long in fragments", join(client(binary, "ab"), claim(0, 1<<63-1)), nil, CodeTooBig},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, err := feed(t, false, c.in)
			if fmt.Sprint(out) != fmt.Sprint(c.want) {
				t.Errorf("got %q, want %q", out, c.want)
			}
			checkCode(t, err, c.code)
		})
	}
}

// checkCode wants a CloseError of code, or no error.
func checkCode(t *testing.T, err error, code int) {
	t.Helper()
	var ce *CloseError
	switch errors.As(err, &ce); {
	case code == 0 && err != nil:
		t.Errorf("error %v", err)
	case code != 0 && (ce == nil || ce.Code != code || ce.Text == ""):
		t.Errorf("error %v, want close code %d with a reason", err, code)
	}
}

func TestLongestMessagePasses(t *testing.T) {
	long := strings.Repeat("x", MaxMessage)
	for _, frames := range [][]byte{
		client(fin|byte(Text), long),
		join(client(byte(Text), long[:1000]), client(0, long[1000:60000]), client(fin, long[60000:])),
	} {
		for _, deflate := range []bool{false, true} {
			for _, step := range []int{1000, len(frames)} {
				r := NewReader(deflate, 0)
				var out []got
				for in := bytes.Clone(frames); len(in) > 0; in = in[min(step, len(in)):] {
					if err := r.Feed(in[:min(step, len(in))], record(&out)); err != nil {
						t.Fatal(err)
					}
				}
				if len(out) != 1 || out[0].payload != long || !r.Idle() {
					t.Errorf("got %d messages, idle %t", len(out), r.Idle())
				}
			}
		}
	}
}

func TestErrorsStay(t *testing.T) {
	r := NewReader(false, 0)
	mine := errors.New("mine")
	err := r.Feed(join(client(fin|1, "a"), client(fin|1, "b")), func(Opcode, []byte) error { return mine })
	if !errors.Is(err, mine) {
		t.Fatalf("error %v, not the callback's", err)
	}
	if err := r.Feed(client(fin|1, "c"), func(Opcode, []byte) error { t.Error("reported after an error"); return nil }); err != nil {
		t.Error(err)
	}
}

func TestNothingIsHeldBetweenMessages(t *testing.T) {
	r := NewReader(true, 0)
	var out []got
	for _, in := range [][]byte{
		client(fin|1, "whole"), join(client(1, "frag"), client(fin, "ments")),
		client(fin|9, ""), client(fin|rsv1|1, string(deflateForTest("compressed compressed"))),
	} {
		for i := range in {
			if err := r.Feed(in[i:i+1], record(&out)); err != nil {
				t.Fatal(err)
			}
		}
		if !r.Idle() {
			t.Errorf("a buffer is held after %q", out[len(out)-1])
		}
	}
}

func TestCloseText(t *testing.T) {
	long := strings.Repeat("ä", 100)
	for _, c := range []struct {
		code int
		text string
		want string
	}{{1000, "", ""}, {4409, "superseded", "superseded"}, {1001, long, long[:122]}} {
		b := AppendClose(nil, c.code, c.text)
		if int(b[1]) != len(b)-2 || len(b)-2 > maxControl {
			t.Fatalf("frame %x", b)
		}
		code, text, err := ParseClose(b[2:])
		if err != nil || code != c.code || text != c.want {
			t.Errorf("%d %q: %d, %q, %v", c.code, c.text, code, text, err)
		}
	}
	if code, _, err := ParseClose(AppendClose(nil, 0, "")[2:]); code != CodeNoStatus || err != nil {
		t.Errorf("no code: %d, %v", code, err)
	}
}

func TestUnmaskAtEveryPlace(t *testing.T) {
	mask := [4]byte{1, 2, 4, 8}
	for n := range 40 {
		for at := range 4 {
			b := make([]byte, n)
			unmask(b, mask, at)
			for i := range b {
				if b[i] != mask[(at+i)%4] {
					t.Fatalf("length %d from %d: %x", n, at, b)
				}
			}
		}
	}
}

func FuzzReader(f *testing.F) {
	f.Add(false, client(fin|1, "Hello"), uint16(3))
	f.Add(false, join(client(2, "a"), client(fin|9, "p"), client(fin, "b"), client(fin|8, "\x03\xe8")), uint16(9))
	f.Add(true, client(fin|rsv1|1, string(deflateForTest(strings.Repeat("ab", 50)))), uint16(5))
	f.Add(true, claim(fin|2, 1<<40), uint16(1))
	f.Fuzz(func(t *testing.T, deflate bool, in []byte, split uint16) {
		var whole, parts []got
		r := NewReader(deflate, 1000)
		err := r.Feed(bytes.Clone(in), record(&whole))
		r.Release()
		r = NewReader(deflate, 1000)
		rnd := rand.New(rand.NewPCG(uint64(split), 0))
		var err2 error
		for rest := bytes.Clone(in); len(rest) > 0 && err2 == nil; {
			n := 1 + rnd.IntN(len(rest))
			err2 = r.Feed(rest[:n], record(&parts))
			rest = rest[n:]
			if r.p != nil && len(r.p.data) > 1000+3+64 {
				t.Fatalf("%d bytes are held", len(r.p.data))
			}
		}
		r.Release()
		if fmt.Sprint(whole) != fmt.Sprint(parts) || fmt.Sprint(err) != fmt.Sprint(err2) {
			t.Fatalf("whole: %q, %v; in parts: %q, %v", whole, err, parts, err2)
		}
		for _, g := range whole {
			if len(g.payload) > 1000 {
				t.Fatalf("a message of %d bytes", len(g.payload))
			}
		}
		if err != nil {
			checkCode(t, err, err.(*CloseError).Code)
		}
	})
}
