package protocol

import (
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

func testSealer() *Sealer {
	return &Sealer{Generation: 0xdeadbeef, Key: [16]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}}
}

func testCursor() Cursor {
	return Cursor{Seq: 41, At: Positions{{Epoch: 3, Micros: 1763762400000000}, {}, {Epoch: 2, Micros: 17}}}
}

func largestCursor() Cursor {
	p := Position{Epoch: math.MaxUint64, Micros: math.MaxUint64}
	return Cursor{Seq: MaxSeq, At: Positions{p, p, p}}
}

func wantForeign(t *testing.T, s *Sealer, user UserID, device DeviceID, text string) {
	t.Helper()
	if c, err := s.Open(user, device, text); !errors.Is(err, ErrForeignCursor) || c != (Cursor{}) {
		t.Fatalf("%q opens for %q %q as %+v (%v)", text, user, device, c, err)
	}
}

func TestCursorOpensAsItWasSealed(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	cursors := []Cursor{{}, testCursor(), largestCursor(), {Seq: 1}, {At: Positions{{Epoch: 1}}}}
	for range 1000 {
		c := Cursor{Seq: Seq(r.Uint64() >> (11 + r.IntN(53)))}
		for i := range c.At {
			if r.IntN(3) > 0 {
				c.At[i] = Position{Epoch: Epoch(1 + r.Uint64()>>(1+r.IntN(60))), Micros: r.Uint64() >> r.IntN(64)}
			}
		}
		cursors = append(cursors, c)
	}
	for _, generation := range []uint32{0, 1, math.MaxUint32} {
		s := testSealer()
		s.Generation = generation
		for _, c := range cursors {
			text := s.Seal("user", "device", c)
			if !ValidCursor(text) {
				t.Fatalf("seed %d: %+v is sealed as %q, which is no cursor", seed, c, text)
			}
			if got, err := s.Open("user", "device", text); err != nil || got != c {
				t.Fatalf("seed %d: %+v is opened as %+v (%v)", seed, c, got, err)
			}
		}
	}
}

// What a cursor's tag is made over is joined by zeros.
func TestFix15NamesContainNoSeparator(t *testing.T) {
	for c := range byte(0x80) {
		if c > ' ' && c != 0x7f {
			continue
		}
		name := "a" + string(rune(c)) + "b"
		for what, err := range map[string]error{"user": CheckUser(name), "device": CheckDevice(name), "id": CheckMessageID(name), "collapse key": CheckCollapseKey(name)} {
			if err == nil {
				t.Errorf("%s %q is taken", what, name)
			}
		}
	}
	s := testSealer()
	for _, other := range [][2]string{{"a", "bc"}, {"abc", ""}, {"a.b", "c"}, {"a", "b.c"}, {"ab", "d"}, {"c", "ab"}} {
		wantForeign(t, s, UserID(other[0]), DeviceID(other[1]), s.Seal("ab", "c", testCursor()))
	}
}

func TestLongestNamesAndCursorFit(t *testing.T) {
	s := testSealer()
	s.Generation = math.MaxUint32
	user, device := strings.Repeat("u", MaxName), strings.Repeat("d", MaxName)
	text := s.Seal(UserID(user), DeviceID(device), largestCursor())
	if len(text) > MaxCursor {
		t.Fatalf("%d bytes", len(text))
	}
	if got, err := s.Open(UserID(user), DeviceID(device), text); err != nil || got != largestCursor() {
		t.Fatalf("opened as %+v (%v)", got, err)
	}
}

func TestEveryFlippedBitIsRefused(t *testing.T) {
	s := testSealer()
	for _, c := range []Cursor{{}, testCursor(), largestCursor()} {
		text := s.Seal("user", "device", c)
		for i := range 8 * len(text) {
			b := []byte(text)
			b[i/8] ^= 1 << (i % 8)
			wantForeign(t, s, "user", "device", string(b))
		}
	}
}

func TestEveryCutOrLengthenedTextIsRefused(t *testing.T) {
	s := testSealer()
	text := s.Seal("user", "device", testCursor())
	for i := range text {
		wantForeign(t, s, "user", "device", text[:i])
		wantForeign(t, s, "user", "device", text[:i]+text[i+1:])
		for _, more := range []string{"\n", "\r", "A", "=", " ", "-"} {
			wantForeign(t, s, "user", "device", text[:i]+more+text[i:])
		}
	}
	for _, more := range []string{"\n", "\r\n", "A", "AAAA", "=", "\x00"} {
		wantForeign(t, s, "user", "device", text+more)
	}
	wantForeign(t, s, "user", "device", strings.Repeat("k", MaxCursor))
	wantForeign(t, s, "user", "device", strings.Repeat("k", 10*MaxCursor))
}

func TestCursorOfAnotherIsForeign(t *testing.T) {
	s := testSealer()
	text := s.Seal("user", "device", testCursor())
	wantForeign(t, s, "user2", "device", text)
	wantForeign(t, s, "user", "device2", text)
	wantForeign(t, s, "device", "user", text)
	wantForeign(t, s, "userd", "evice", text)
	generation, key := testSealer(), testSealer()
	generation.Generation++
	key.Key[15] ^= 1
	wantForeign(t, generation, "user", "device", text)
	wantForeign(t, key, "user", "device", text)
}

func TestSeqFrom2To53OnIsForeign(t *testing.T) {
	s := testSealer()
	wantForeign(t, s, "u", "d", s.Seal("u", "d", Cursor{Seq: MaxSeq + 1}))
}

func TestShapeOfCursors(t *testing.T) {
	for _, good := range []string{"a", "Z", "0", "k3.1.1.0.0.x9", "._-", strings.Repeat("x", 128)} {
		if !ValidCursor(good) || CheckCursor(good) != nil {
			t.Errorf("%q is refused", good)
		}
	}
	for c := range 256 {
		want := strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-", rune(c)) && c < 128
		if text := "k" + string([]byte{byte(c)}); ValidCursor(text) != want || (CheckCursor(text) == nil) != want {
			t.Errorf("%q: want %v", text, want)
		}
	}
	for _, bad := range []string{"", strings.Repeat("x", 129)} {
		if ValidCursor(bad) || answerOf(CheckCursor(bad)) != "invalid_argument" {
			t.Errorf("%q is accepted", bad)
		}
	}
}
