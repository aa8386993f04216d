package protocol

import (
	"bytes"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"ramen/protocol/ramenpb"
)

func benchPush() *Push {
	return goldenPush(41, Message{Type: "trip.offer", Priority: PriorityHigh, Payload: []byte(
		`{"trip":"0198f3c2-7a10-7cc3-9a51-0c2f5a3b9d10","fare":12.50,"from":{"lat":50.4501,"lon":30.5234},"to":{"lat":50.4,"lon":30.6},"note":"Київ, вокзал"}`)})
}

// encoders are the encoders of what is written often; none may allocate.
func encoders() map[string]func([]byte) []byte {
	p, h, g := benchPush(), goldenHellos()["resumed"], goldenGoAways()["drain-all"]
	headers, poll, e := goldenPushes()["all"], goldenPolls()["three"], Invalidf("x")
	many := goldenPushes()["headers"]
	ack, cursor, refresh := &DeviceFrame{Kind: FrameAck, Seq: 41}, &DeviceFrame{Kind: FrameAck, Cursor: goldenCursor}, goldenDevices()["refresh/context"]
	open := goldenDevices()["open/context"]
	return map[string]func([]byte) []byte{
		"sse/push":         func(b []byte) []byte { return AppendSSEPush(b, p) },
		"sse/headers":      func(b []byte) []byte { return AppendSSEPush(b, many) },
		"sse/hello":        func(b []byte) []byte { return AppendSSEHello(b, h, 1370) },
		"sse/goaway":       func(b []byte) []byte { return AppendSSEGoAway(b, g, 1370) },
		"json/push":        func(b []byte) []byte { return AppendJSONPush(b, p) },
		"json/headers":     func(b []byte) []byte { return AppendJSONPush(b, headers) },
		"json/hello":       func(b []byte) []byte { return AppendJSONHello(b, h) },
		"json/goaway":      func(b []byte) []byte { return AppendJSONGoAway(b, g) },
		"json/poll":        func(b []byte) []byte { return AppendPollAnswer(b, poll) },
		"json/error":       func(b []byte) []byte { return AppendErrorJSON(b, e) },
		"json/ack":         func(b []byte) []byte { return AppendJSONDeviceFrame(b, ack) },
		"json/refresh":     func(b []byte) []byte { return AppendJSONDeviceFrame(b, refresh) },
		"proto/push":       func(b []byte) []byte { return AppendProtoPush(b, p) },
		"proto/headers":    func(b []byte) []byte { return AppendProtoPush(b, many) },
		"proto/hello":      func(b []byte) []byte { return AppendProtoHello(b, h) },
		"proto/goaway":     func(b []byte) []byte { return AppendProtoGoAway(b, g) },
		"proto/heartbeat":  func(b []byte) []byte { return AppendProtoHeartbeat(b, 1763762400000) },
		"proto/ack":        func(b []byte) []byte { return AppendProtoDeviceFrame(b, ack) },
		"proto/ack-cursor": func(b []byte) []byte { return AppendProtoDeviceFrame(b, cursor) },
		"proto/refresh":    func(b []byte) []byte { return AppendProtoDeviceFrame(b, refresh) },
		"proto/open":       func(b []byte) []byte { return AppendProtoDeviceFrame(b, open) },
	}
}

func TestEncodersAllocateNothing(t *testing.T) {
	b := make([]byte, 0, 64<<10)
	for name, encode := range encoders() {
		if n := testing.AllocsPerRun(100, func() { encode(b) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func TestEncodersAppend(t *testing.T) {
	for name, encode := range encoders() {
		alone := encode(nil)
		if got := encode([]byte("kept\n")); !bytes.Equal(got, append([]byte("kept\n"), alone...)) {
			t.Errorf("%s: appended %q, alone %q", name, got, alone)
		}
	}
}

// decoders are the decoders of what comes often, each with the allocations that it is allowed.
func decoders() map[string]struct {
	allocs float64
	decode func() error
} {
	var f DeviceFrame
	acks := map[string][]byte{"json": []byte(`{"ack":{"seq":41}}`), "cursor": []byte(`{"ack":{"cursor":"` + goldenCursor + `"}}`),
		"proto": AppendProtoDeviceFrame(nil, &DeviceFrame{Kind: FrameAck, Seq: 41}), "echo": AppendProtoDeviceFrame(nil, goldenDevices()["heartbeat/echo"])}
	payload := benchPush().Message.Payload
	room := make([]byte, 0, 4<<10)
	s := testSealer()
	text := s.Seal("user", "device", testCursor())
	type d = struct {
		allocs float64
		decode func() error
	}
	return map[string]d{
		"json/ack":     {0, func() error { return DecodeJSONDeviceFrame(acks["json"], &f) }},
		"json/cursor":  {1, func() error { return DecodeJSONDeviceFrame(acks["cursor"], &f) }},
		"json/echo":    {0, func() error { return DecodeJSONDeviceFrame(nil, &f) }},
		"proto/ack":    {0, func() error { return DecodeProtoDeviceFrame(acks["proto"], &f) }},
		"proto/echo":   {0, func() error { return DecodeProtoDeviceFrame(acks["echo"], &f) }},
		"compact":      {0, func() error { _, err := CompactJSON(room, payload); return err }},
		"cursor/open":  {0, func() error { _, err := s.Open("user", "device", text); return err }},
		"cursor/seal":  {1, func() error { s.Seal("user", "device", testCursor()); return nil }},
		"check/user":   {0, func() error { return CheckUser("0198f3c2-7a10-7cc3-9a51-0c2f5a3b9d10") }},
		"check/cursor": {0, func() error { return CheckCursor(text) }},
	}
}

func TestDecodersAllocateNoMoreThanTheyKeep(t *testing.T) {
	for name, d := range decoders() {
		n := testing.AllocsPerRun(100, func() {
			if err := d.decode(); err != nil {
				t.Fatal(err)
			}
		})
		if n > d.allocs && !(poolsForget && name == "compact") { // its encoder is pooled
			t.Errorf("%s: %v allocations, want %v", name, n, d.allocs)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	all := encoders()
	room := make([]byte, 0, 64<<10)
	for _, name := range sorted(all) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(all[name](nil))))
			for b.Loop() {
				all[name](room)
			}
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	all := decoders()
	for _, name := range sorted(all) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := all[name].decode(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDecodePush(b *testing.B) {
	p := benchPush()
	var f ServerFrame
	sse, json, proto := AppendSSEPush(nil, p), AppendJSONPush(nil, p), AppendProtoPush(nil, p)
	for name, decode := range map[string]func() error{
		"sse": func() error {
			var d SSEDecoder
			return d.Feed(sse, func(ev SSEEvent) error { return DecodeSSEEvent(ev, &f) })
		},
		"json":  func() error { return DecodeJSONServerFrame(json, &f) },
		"proto": func() error { return DecodeProtoServerFrame(proto, &f) },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := decode(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkCompactJSON(b *testing.B) {
	small := benchPush().Message.Payload
	large := append([]byte{'['}, bytes.Repeat(append(bytes.Clone(small), ',', ' '), 400)...)
	large = append(large, "0]"...)
	for name, src := range map[string][]byte{"small": small, "large": large} {
		b.Run(name, func(b *testing.B) {
			room := make([]byte, 0, len(src))
			b.SetBytes(int64(len(src)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := CompactJSON(room, src); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkDecodePublish reads a request of 20 messages, as publishers send them.
func BenchmarkDecodePublish(b *testing.B) {
	messages := make([]Publish, 20)
	for i := range messages {
		messages[i] = Publish{User: "user-123456", ID: "0123456789abcdef01234567", Type: "chat", Priority: PriorityHigh, TTLMS: 60_000,
			Payload: []byte(`{"text":"` + strings.Repeat("hello ", 40) + `"}`), Headers: map[string]string{"trace": "abc"}}
	}
	limits := DefaultPublishLimits()
	var request ramenpb.PublishRequest
	for i := range messages {
		request.Messages = append(request.Messages, publishToProto(&messages[i]))
	}
	wire, err := proto.Marshal(&request)
	if err != nil {
		b.Fatal(err)
	}
	text := AppendPublishBatchJSON(nil, messages)
	var dst []Publish
	b.Run("json", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var err error
			if dst, _, err = DecodePublishJSON(dst[:0], text, &limits); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("proto", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var err error
			if dst, err = DecodePublishProto(dst[:0], wire, &limits); err != nil {
				b.Fatal(err)
			}
		}
	})
}
