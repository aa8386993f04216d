package protocol

import (
	"encoding/hex"
	"maps"
	"testing"

	"google.golang.org/protobuf/proto"

	"ramen/protocol/ramenpb"
)

// What the generated code says of a frame, in the package's own types. Wire is what a device's frame decodes to before
// its values are judged.

func fromPBContext(c *ramenpb.DeviceContext) *DeviceContext {
	if c == nil {
		return nil
	}
	return &DeviceContext{c.App, c.AppVersion, c.Os, c.OsVersion, c.Model, c.Locale, c.Labels}
}

func fromPBDevice(f *ramenpb.DeviceFrame) *DeviceFrame {
	d := &DeviceFrame{}
	switch v := f.Frame.(type) {
	case *ramenpb.DeviceFrame_Open:
		o := v.Open
		d.Kind = FrameOpen
		d.Open = OpenFrame{User: UserID(o.User), Device: DeviceID(o.Device), Cursor: o.Cursor, Seq: Seq(o.Seq), Stream: o.Stream,
			HasSeq: o.Seq != 0 || o.Stream != "", Context: fromPBContext(o.Context), Token: o.Token, Window: o.Window, HeartbeatMS: o.HeartbeatMs}
	case *ramenpb.DeviceFrame_Ack:
		d.Kind, d.Seq, d.Cursor = FrameAck, Seq(v.Ack.Seq), v.Ack.Cursor
	case *ramenpb.DeviceFrame_Heartbeat:
		d.Kind, d.TimeMS = FrameHeartbeat, v.Heartbeat.TimeMs
	case *ramenpb.DeviceFrame_Refresh:
		d.Kind, d.Token, d.Context = FrameRefresh, v.Refresh.Token, fromPBContext(v.Refresh.Context)
	}
	return d
}

func fromPBServer(f *ramenpb.ServerFrame) *ServerFrame {
	s := &ServerFrame{}
	switch v := f.Frame.(type) {
	case *ramenpb.ServerFrame_Hello:
		h := v.Hello
		s.Kind = ServerHello
		s.Hello = Hello{h.Resumed, h.Stream, Seq(h.Seq), h.HeartbeatMs, h.TimeoutMs, h.AckMs, h.TimeMs, h.Expired, h.Cursor}
	case *ramenpb.ServerFrame_Push:
		m := v.Push.GetMessage()
		s.Kind = ServerPush
		s.Push = Push{Seq: Seq(v.Push.Seq), Cursor: v.Push.Cursor, Redelivered: v.Push.Redelivered, Message: &Message{
			ID: MessageID(m.GetId()), Type: m.GetType(), Payload: m.GetPayload(), ContentType: m.GetContentType(), CreatedMS: m.GetCreatedMs(),
			ExpiresMS: m.GetExpiresMs(), CollapseKey: m.GetCollapseKey(), Headers: m.GetHeaders()}}
		if p := m.GetPriority(); p >= 0 && p <= ramenpb.Priority_PRIORITY_LOW {
			s.Push.Message.Priority = Priority(p)
		}
	case *ramenpb.ServerFrame_Heartbeat:
		s.Kind, s.TimeMS = ServerHeartbeat, v.Heartbeat.TimeMs
	case *ramenpb.ServerFrame_Goaway:
		s.Kind, s.GoAway = ServerGoAway, GoAway{ReconnectMS: v.Goaway.ReconnectMs, Detail: v.Goaway.Detail}
		s.GoAway.Reason, _ = ParseReason(v.Goaway.Reason)
	}
	return s
}

func sameServer(a, b *ServerFrame) bool {
	if a.Kind != b.Kind || a.Hello != b.Hello || a.GoAway != b.GoAway || a.TimeMS != b.TimeMS {
		return false
	}
	p, q := a.Push.Message, b.Push.Message
	if p == nil || q == nil {
		return p == q
	}
	return a.Push.Seq == b.Push.Seq && a.Push.Cursor == b.Push.Cursor && a.Push.Redelivered == b.Push.Redelivered &&
		string(p.Payload) == string(q.Payload) && maps.Equal(p.Headers, q.Headers) && p.ID == q.ID && p.Type == q.Type &&
		p.Priority == q.Priority && p.ContentType == q.ContentType && p.CreatedMS == q.CreatedMS && p.ExpiresMS == q.ExpiresMS &&
		p.CollapseKey == q.CollapseKey
}

func sameContext(a, b *DeviceContext) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.App == b.App && a.AppVersion == b.AppVersion && a.OS == b.OS && a.OSVersion == b.OSVersion && a.Model == b.Model &&
		a.Locale == b.Locale && maps.Equal(a.Labels, b.Labels)
}

func sameDevice(a, b *DeviceFrame) bool {
	if !sameContext(a.Context, b.Context) || !sameContext(a.Open.Context, b.Open.Context) {
		return false
	}
	x, y := *a, *b
	x.Context, y.Context, x.Open.Context, y.Open.Context = nil, nil, nil, nil
	return x == y
}

// TestProtoFramesAreThoseOfTheGeneratedCode holds the hand-written encoders to the generated types: read, they mean the
// same, and written again by the deterministic marshaller they are the same bytes.
func TestProtoFramesAreThoseOfTheGeneratedCode(t *testing.T) {
	for _, v := range readVectors(t) {
		if v.Proto == nil {
			continue
		}
		raw, _ := hex.DecodeString(*v.Proto)
		var generated proto.Message = new(ramenpb.ServerFrame)
		if v.Device != nil {
			generated = new(ramenpb.DeviceFrame)
		}
		if err := proto.Unmarshal(raw, generated); err != nil {
			t.Fatalf("%s: %v", v.Name, err)
		}
		if len(generated.ProtoReflect().GetUnknown()) != 0 {
			t.Errorf("%s: unknown fields", v.Name)
		}
		again, err := proto.MarshalOptions{Deterministic: true}.Marshal(generated)
		if err != nil || string(again) != string(raw) {
			t.Errorf("%s: the generated code writes %x (%v), this package %x", v.Name, again, err, raw)
		}
		switch g := generated.(type) {
		case *ramenpb.DeviceFrame:
			var f DeviceFrame
			if err := DecodeProtoDeviceFrame(raw, &f); err != nil || !sameDevice(&f, fromPBDevice(g)) {
				t.Errorf("%s: read as %+v (%v)", v.Name, f, err)
			}
		case *ramenpb.ServerFrame:
			var f ServerFrame
			if err := DecodeProtoServerFrame(raw, &f); err != nil || !sameServer(&f, fromPBServer(g)) {
				t.Errorf("%s: read as %+v (%v)", v.Name, f, err)
			}
		}
	}
}

// TestTextThatIsNotUTF8StaysWithinAString: it never reaches the encoders, and must not break a frame if it does.
func TestTextThatIsNotUTF8StaysWithinAString(t *testing.T) {
	bad := "a\xff\xc3(\xed\xa0\x80z"
	p := &Push{Seq: 1, Cursor: bad, Message: &Message{ID: MessageID(bad), Type: bad, CollapseKey: bad, ContentType: bad,
		Headers: map[string]string{bad: bad, "é": "é"}, Priority: PriorityLow, Payload: []byte(bad)}}
	g := &GoAway{Reason: ReasonInternal, Detail: bad}
	h := &Hello{Stream: bad}
	open := &DeviceFrame{Kind: FrameOpen, Open: OpenFrame{User: UserID(bad), Device: DeviceID(bad), Token: bad, Stream: bad,
		Context: &DeviceContext{App: bad, Labels: map[string]string{bad: bad}}}}
	refresh := &DeviceFrame{Kind: FrameRefresh, Token: bad, Context: open.Open.Context}
	for _, b := range [][]byte{AppendProtoPush(nil, p), AppendProtoGoAway(nil, g), AppendProtoHello(nil, h)} {
		if err := proto.Unmarshal(b, new(ramenpb.ServerFrame)); err != nil {
			t.Errorf("%x: %v", b, err)
		}
	}
	for _, b := range [][]byte{AppendProtoDeviceFrame(nil, open), AppendProtoDeviceFrame(nil, refresh)} {
		if err := proto.Unmarshal(b, new(ramenpb.DeviceFrame)); err != nil {
			t.Errorf("%x: %v", b, err)
		}
	}
	var f ServerFrame
	for _, b := range [][]byte{AppendJSONPush(nil, p), AppendJSONGoAway(nil, g), AppendJSONHello(nil, h)} {
		if err := DecodeJSONServerFrame(b, &f); err != nil {
			t.Errorf("%q: %v", b, err)
		}
	}
	if want := "a��(���z"; string(f.Hello.Stream) != want {
		t.Errorf("read %q, want %q", f.Hello.Stream, want)
	}
	var d DeviceFrame
	if err := DecodeJSONDeviceFrame(AppendJSONDeviceFrame(nil, refresh), &d); err != nil {
		t.Error(err)
	}
}
