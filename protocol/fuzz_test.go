package protocol

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"testing"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"ramen/protocol/ramenpb"
)

// judged fails where a decoder's error is of no kind that it promises.
func judged(t *testing.T, err error) bool {
	t.Helper()
	switch answerOf(err) {
	case "ok":
		return true
	case "contract", "invalid_argument":
		return false
	}
	t.Fatalf("error of no kind that is promised: %v", err)
	return false
}

// FuzzJSONDeviceFrame: what is read, written and read again is the same, by the fast path and the strict reader.
func FuzzJSONDeviceFrame(f *testing.F) {
	for _, c := range readTestdata[deviceCase](f, "device.json") {
		if b, _ := c.bytes(); c.ProtoHex == nil {
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var frame, again DeviceFrame
		if !judged(t, DecodeJSONDeviceFrame(b, &frame)) {
			return
		}
		if len(b) > 0 && !json.Valid(b) {
			t.Fatalf("%q is read, and is not JSON", b)
		}
		spaced := append([]byte(" "), b...) // the strict reader
		if len(b) > 0 && (!judged(t, DecodeJSONDeviceFrame(spaced, &again)) || !sameDevice(&frame, &again)) {
			t.Fatalf("%q is read as %+v, with a space before it as %+v", b, frame, again)
		}
		if frame.Cursor != "" {
			frame.Seq = 0 // the cursor counts
		}
		written := AppendJSONDeviceFrame(nil, &frame)
		if !judged(t, DecodeJSONDeviceFrame(written, &again)) || !sameDevice(&frame, &again) {
			t.Fatalf("%q is read as %+v, written as %q and read as %+v", b, frame, written, again)
		}
	})
}

// FuzzProtoDeviceFrame: what is read means the same to the generated code, and what that refuses is refused.
func FuzzProtoDeviceFrame(f *testing.F) {
	for _, c := range readTestdata[deviceCase](f, "device.json") {
		if b, _ := c.bytes(); c.ProtoHex != nil {
			f.Add(b)
		}
	}
	addVectors(f, func(v *vector) bool { return v.Device != nil })
	f.Fuzz(func(t *testing.T, b []byte) {
		var frame, again DeviceFrame
		ok := judged(t, DecodeProtoDeviceFrame(b, &frame))
		var generated ramenpb.DeviceFrame
		if err := proto.Unmarshal(b, &generated); err != nil && ok {
			t.Fatalf("%x is read, and the generated code says %v", b, err)
		}
		if !ok {
			return
		}
		if want := fromPBDevice(&generated); !sameDevice(&frame, want) {
			t.Fatalf("%x is read as %+v, by the generated code as %+v", b, frame, want)
		}
		if frame.Cursor != "" {
			frame.Seq = 0 // the cursor counts
		}
		written := AppendProtoDeviceFrame(nil, &frame)
		if !judged(t, DecodeProtoDeviceFrame(written, &again)) || !sameDevice(&frame, &again) {
			t.Fatalf("%x is read as %+v, written as %x and read as %+v", b, frame, written, again)
		}
	})
}

func addVectors(f *testing.F, of func(*vector) bool) {
	for _, v := range encodedVectors() {
		if v.Proto != nil && of(&v) {
			b, _ := hex.DecodeString(*v.Proto)
			f.Add(b)
		}
	}
}

func FuzzProtoServerFrame(f *testing.F) {
	addVectors(f, func(v *vector) bool { return v.Device == nil })
	f.Fuzz(func(t *testing.T, b []byte) {
		var frame ServerFrame
		ok := judged(t, DecodeProtoServerFrame(b, &frame))
		var generated ramenpb.ServerFrame
		if err := proto.Unmarshal(b, &generated); err != nil && ok {
			t.Fatalf("%x is read, and the generated code says %v", b, err)
		}
		if !ok {
			return
		}
		if want := fromPBServer(&generated); !sameServer(&frame, want) {
			t.Fatalf("%x is read as %+v, by the generated code as %+v", b, frame, want)
		}
		serverRoundTrip(t, &frame, func(w []byte, again *ServerFrame) error { return DecodeProtoServerFrame(w, again) }, protoEncoders)
	})
}

type serverEncoders struct {
	hello  func([]byte, *Hello) []byte
	push   func([]byte, *Push) []byte
	goaway func([]byte, *GoAway) []byte
}

var (
	protoEncoders = serverEncoders{AppendProtoHello, AppendProtoPush, AppendProtoGoAway}
	jsonEncoders  = serverEncoders{AppendJSONHello, AppendJSONPush, AppendJSONGoAway}
)

// serverRoundTrip writes frame again and reads that.
func serverRoundTrip(t *testing.T, frame *ServerFrame, decode func([]byte, *ServerFrame) error, e serverEncoders) {
	t.Helper()
	var written []byte
	switch frame.Kind {
	case ServerHello:
		written = e.hello(nil, &frame.Hello)
	case ServerPush:
		written = e.push(nil, &frame.Push)
	case ServerGoAway:
		written = e.goaway(nil, &frame.GoAway)
	default:
		return
	}
	var again ServerFrame
	if err := decode(written, &again); err != nil || !sameServer(frame, &again) {
		t.Fatalf("%+v %+v is written as %q and read as %+v %+v (%v)", frame, frame.Push.Message, written, again, again.Push.Message, err)
	}
}

func FuzzJSONServerFrame(f *testing.F) {
	for _, v := range encodedVectors() {
		if v.JSON != nil && (v.Hello != nil || v.Push != nil || v.GoAway != nil) {
			f.Add([]byte(*v.JSON))
		}
	}
	f.Add([]byte(`{"push":{"payload": [ 1 ]}}`))
	f.Add([]byte(`{"push":null,"hello":{}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var frame ServerFrame
		if judged(t, DecodeJSONServerFrame(b, &frame)) {
			serverRoundTrip(t, &frame, DecodeJSONServerFrame, jsonEncoders)
		}
	})
}

func FuzzPollAnswer(f *testing.F) {
	for _, v := range encodedVectors() {
		if v.Poll != nil {
			f.Add([]byte(*v.JSON))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := DecodePollAnswer(b)
		if !judged(t, err) {
			return
		}
		for i := range a.Messages {
			a.Messages[i].Cursor = "" // a poll's pushes have none
		}
		written := AppendPollAnswer(nil, a)
		again, err := DecodePollAnswer(written)
		if err != nil || !bytes.Equal(written, AppendPollAnswer(nil, again)) {
			t.Fatalf("%q is written as %q, and then differently (%v)", b, written, err)
		}
	})
}

// FuzzSSE: however a stream is cut, the same events come out of it.
func FuzzSSE(f *testing.F) {
	for _, c := range readTestdata[sseCase](f, "sse.json") {
		f.Add([]byte(c.Stream), 3)
	}
	f.Fuzz(func(t *testing.T, stream []byte, n int) {
		whole, err := readSSE(stream, len(stream)+1)
		if err != nil {
			t.Fatal(err)
		}
		pieces, err := readSSE(stream, max(1, n%64))
		if err != nil || len(whole) != len(pieces) {
			t.Fatalf("%d events, in pieces of %d %d (%v)", len(whole), max(1, n%64), len(pieces), err)
		}
		for i, ev := range whole {
			if ev != pieces[i] {
				t.Fatalf("event %d is %+v, in pieces %+v", i, ev, pieces[i])
			}
			var frame ServerFrame
			judged(t, DecodeSSEEvent(SSEEvent{ev.Event, ev.ID, []byte(ev.Data), ev.RetryMS}, &frame))
		}
	})
}

// FuzzCompactJSON holds CompactJSON to encoding/json: the same texts are JSON, and compact to the same bytes.
func FuzzCompactJSON(f *testing.F) {
	for _, c := range readTestdata[compactCase](f, "compact.json") {
		f.Add(c.bytes())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := CompactJSON(nil, b)
		if want := json.Valid(b) && utf8.Valid(b); judged(t, err) != want {
			t.Fatalf("%q: %v, encoding/json says %v", b, err, want)
		}
		if err != nil {
			return
		}
		var want bytes.Buffer
		if err := json.Compact(&want, b); err != nil || !bytes.Equal(got, want.Bytes()) {
			t.Fatalf("%q became %q, by encoding/json %q (%v)", b, got, want.Bytes(), err)
		}
		if again, err := CompactJSON(nil, got); err != nil || !bytes.Equal(again, got) {
			t.Fatalf("%q became %q the second time (%v)", got, again, err)
		}
		if inPlace, err := CompactJSON(b[:0], b); err != nil || !bytes.Equal(inPlace, got) {
			t.Fatalf("%q became %q in place (%v)", got, inPlace, err)
		}
	})
}

func FuzzCursor(f *testing.F) {
	s := testSealer()
	f.Add(s.Seal("u", "d", testCursor()))
	f.Add(s.Seal("u", "d", Cursor{}))
	f.Add("k")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := s.Open("u", "d", text)
		if err == nil && s.Seal("u", "d", c) != text {
			t.Fatalf("%q opens as %+v, whose text is %q", text, c, s.Seal("u", "d", c))
		}
	})
}
