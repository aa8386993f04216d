package protocol

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
)

// texts draws strings of all that must be escaped, and of what must not.
func drawText(r *rand.Rand) string {
	parts := []string{"a", `"`, `\`, "\n", "\r", "\t", "\x00", "\x1f", "\x7f", "é", "日", "😀", "\u2028", "\uFFFD", "</script>", "plain text"}
	var s strings.Builder
	for range r.IntN(8) {
		s.WriteString(parts[r.IntN(len(parts))])
	}
	return s.String()
}

func TestJSONStringsAreReadAsTheyWere(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	for range 2000 {
		want := drawText(r)
		var got string
		b := appendJSONString(nil, want)
		if err := json.Unmarshal(b, &got); err != nil || got != want {
			t.Fatalf("seed %d: %q is written as %s, read as %q (%v)", seed, want, b, got, err)
		}
		for _, c := range b {
			if c < ' ' {
				t.Fatalf("seed %d: %q is written with a raw control character: %q", seed, want, b)
			}
		}
	}
}

func TestTheSameMapIsTheSameBytes(t *testing.T) {
	m := map[string]string{}
	for i := range 40 { // more than are sorted without an allocation
		m[strings.Repeat("k", i)] = "v"
	}
	p := goldenPush(1, Message{Headers: m})
	text, proto := string(AppendJSONPush(nil, p)), string(AppendProtoPush(nil, p))
	for range 20 {
		if string(AppendJSONPush(nil, p)) != text || string(AppendProtoPush(nil, p)) != proto {
			t.Fatal("the same push is written in two ways")
		}
	}
}

// TestAnSSEPushIsOneEvent: whatever is in the message, two line ends stand at its end alone.
func TestAnSSEPushIsOneEvent(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	payloads := []string{"{}", "{\n\"a\":\r\n1\r}\n", `"\n"`, " 1 ", "[\r\r\n\n]", ""}
	for range 500 {
		payload := payloads[r.IntN(len(payloads))]
		p := goldenPush(1, Message{ID: MessageID(drawText(r)), Type: drawText(r), CollapseKey: drawText(r), Payload: []byte(payload),
			Headers: map[string]string{drawText(r): drawText(r)}})
		if r.IntN(3) == 0 {
			p.Message.ContentType = drawText(r) + "x"
		}
		b := AppendSSEPush(nil, p)
		if n := strings.Count(string(b), "\n"); n != 3 || strings.Contains(string(b), "\r") {
			t.Fatalf("seed %d: %q", seed, b)
		}
		events, err := readSSE(b, len(b))
		if err != nil || len(events) != 1 || events[0].ID != p.Cursor || !json.Valid([]byte(events[0].Data)) {
			t.Fatalf("seed %d: %q is read as %+v (%v)", seed, b, events, err)
		}
		if string(p.Message.Payload) != payload {
			t.Fatalf("seed %d: the message was changed", seed)
		}
	}
}

func TestSSEDecoderBoundsWhatItKeeps(t *testing.T) {
	on := func(SSEEvent) error { return nil }
	for name, feed := range map[string]string{
		"a line without end":         strings.Repeat("x", 101),
		"a long line":                "data: " + strings.Repeat("x", 101) + "\n\n",
		"an event without end":       strings.Repeat("data: x\n", 60),
		"empty lines of data, many ": strings.Repeat("data\n", 120),
	} {
		d := SSEDecoder{MaxEvent: 100}
		var err error
		for i := 0; i < len(feed) && err == nil; i += 7 {
			err = d.Feed([]byte(feed[i:min(i+7, len(feed))]), on)
		}
		if !errors.Is(err, ErrEventTooLong) {
			t.Errorf("%s: %v", name, err)
		}
	}
	d := SSEDecoder{MaxEvent: 100}
	if err := d.Feed([]byte(strings.Repeat("data: x\n\n\n", 1000)), on); err != nil {
		t.Errorf("many short events: %v", err)
	}
}

func TestSSEDecoderEndsWithTheErrorOfItsCaller(t *testing.T) {
	want, n := errors.New("enough"), 0
	var d SSEDecoder
	err := d.Feed([]byte("data: 1\n\ndata: 2\n\ndata: 3\n\n"), func(ev SSEEvent) error {
		if n++; n == 2 {
			return want
		}
		return nil
	})
	if err != want || n != 2 {
		t.Fatalf("%v after %d events", err, n)
	}
}

// maxJSONDepth is how deep payloads may nest. SPEC 10.4.6.
const maxJSONDepth = 10_000

func TestJSONDepthIsBounded(t *testing.T) {
	for _, c := range []struct{ open, close string }{{"[", "]"}, {`{"a":`, "}"}} {
		deep := func(n int) []byte { return []byte(strings.Repeat(c.open, n) + "1" + strings.Repeat(c.close, n)) }
		if got, err := CompactJSON(nil, deep(maxJSONDepth)); err != nil || string(got) != string(deep(maxJSONDepth)) {
			t.Errorf("%q, %d deep: %v", c.open, maxJSONDepth, err)
		}
		_, err := CompactJSON(nil, deep(maxJSONDepth+1))
		wantTold(t, err, "max depth")
		_, err = CompactJSON(nil, []byte(strings.Repeat(c.open, 1<<20)))
		wantTold(t, err, "max depth")
		var f DeviceFrame
		if answer := answerOf(DecodeJSONDeviceFrame([]byte(`{"x":`+strings.Repeat(c.open, 60000)), &f)); answer != "contract" {
			t.Errorf("a frame nested without end: %s", answer)
		}
	}
}

func TestSeqsOfAcksAreReadAsTheyCame(t *testing.T) {
	for _, text := range []string{"0", "7", "9007199254740991", "9007199254740992", "9999999999999999999", "10000000000000000000", "18446744073709551615"} {
		var fast, strict DeviceFrame
		if err := DecodeJSONDeviceFrame([]byte(`{"ack":{"seq":`+text+`}}`), &fast); err != nil {
			t.Fatal(err)
		}
		if err := DecodeJSONDeviceFrame([]byte(`{ "ack":{"seq":`+text+`}}`), &strict); err != nil {
			t.Fatal(err)
		}
		want, _ := json.Marshal(uint64(fast.Seq))
		if string(want) != text || !sameDevice(&fast, &strict) {
			t.Errorf("%s is read as %d and %d", text, fast.Seq, strict.Seq)
		}
	}
}

// TestALaterServerIsBorne: what a client does not know, it ignores. SPEC, the first lines.
func TestALaterServerIsBorne(t *testing.T) {
	for _, c := range []struct {
		frame string
		want  ServerFrameKind
	}{
		{`{}`, ServerNone}, {`{"receipt":{"id":"x"}}`, ServerNone}, {`{"hello":{"new":[1]},"v":2}`, ServerHello},
		{`{"goaway":{"reason":"moved"}}`, ServerGoAway}, {`{"push":{"id":"a","priority":"urgent"}}`, ServerPush},
	} {
		var f ServerFrame
		if err := DecodeJSONServerFrame([]byte(c.frame), &f); err != nil || f.Kind != c.want {
			t.Errorf("%s is read as %+v (%v)", c.frame, f, err)
		}
		if f.GoAway.Reason.Final() {
			t.Errorf("%s is final", c.frame)
		}
	}
	var f ServerFrame
	if err := DecodeSSEEvent(SSEEvent{Name: "receipt", Data: []byte("x")}, &f); err != nil || f.Kind != ServerNone {
		t.Errorf("an unknown event is read as %+v (%v)", f, err)
	}
	if err := DecodeProtoServerFrame([]byte{0x52, 0x01, 0x00}, &f); err != nil || f.Kind != ServerNone {
		t.Errorf("an unknown frame is read as %+v (%v)", f, err)
	}
	for _, bad := range []string{`x`, `[]`, `{"push":7}`, `{"hello":{"seq":"1"}}`, "{\"push\":{\"id\":\"\xff\"}}"} {
		if answer := answerOf(DecodeJSONServerFrame([]byte(bad), &f)); answer != "contract" {
			t.Errorf("%s: %s", bad, answer)
		}
	}
	if _, ok := DecodeErrorJSON([]byte(`<html>`)); ok {
		t.Error("a page is read as an error")
	}
}
