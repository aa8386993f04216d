package protocol

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

var update = flag.Bool("update", false, "write testdata anew from the encoders")

const framesFile = "testdata/frames.json"

// vector is one frame in each encoding that it has; testdata/README.md says how to read it.
type vector struct {
	Name    string       `json:"name"`
	Hello   *valueHello  `json:"hello,omitempty"`
	Push    *valuePush   `json:"push,omitempty"`
	GoAway  *valueGoAway `json:"goaway,omitempty"`
	Poll    *valuePoll   `json:"poll,omitempty"`
	Error   *valueError  `json:"error,omitempty"`
	Device  *valueDevice `json:"device,omitempty"`
	TimeMS  *int64       `json:"heartbeat_time_ms,omitempty"`
	RetryMS int          `json:"retry_ms,omitempty"`
	SSE     *string      `json:"sse,omitempty"`
	JSON    *string      `json:"json,omitempty"`
	Proto   *string      `json:"proto_hex,omitempty"`
}

type valueHello struct {
	Resumed     bool   `json:"resumed"`
	Stream      string `json:"stream"`
	Seq         Seq    `json:"seq"`
	HeartbeatMS uint32 `json:"heartbeat_ms"`
	TimeoutMS   uint32 `json:"timeout_ms"`
	AckMS       uint32 `json:"ack_ms"`
	TimeMS      int64  `json:"time_ms"`
	Expired     uint32 `json:"expired"`
	Cursor      string `json:"cursor"`
}

type valuePush struct {
	Seq         Seq               `json:"seq"`
	Cursor      string            `json:"cursor"`
	Redelivered bool              `json:"redelivered"`
	ID          MessageID         `json:"id"`
	Type        string            `json:"type"`
	Priority    string            `json:"priority"`
	CreatedMS   int64             `json:"created_ms"`
	ExpiresMS   int64             `json:"expires_ms"`
	CollapseKey string            `json:"collapse_key"`
	Headers     map[string]string `json:"headers"`
	ContentType string            `json:"content_type"`
	PayloadHex  string            `json:"payload_hex"`
	PayloadText string            `json:"payload_text,omitempty"` // the same, to be read by people
}

type valueGoAway struct {
	Reason      string `json:"reason"`
	ReconnectMS uint32 `json:"reconnect_ms"`
	Detail      string `json:"detail"`
}

type valuePoll struct {
	Resumed  bool         `json:"resumed"`
	Stream   string       `json:"stream"`
	Expired  uint32       `json:"expired"`
	Cursor   string       `json:"cursor"`
	Messages []valuePush  `json:"messages"`
	GoAway   *valueGoAway `json:"goaway"`
}

type valueError struct {
	Code    Code   `json:"code"`
	Message string `json:"message"`
}

type valueDevice struct {
	Kind    string        `json:"kind"`
	Open    *valueOpen    `json:"open,omitempty"`
	Seq     *Seq          `json:"seq,omitempty"`
	Cursor  string        `json:"cursor,omitempty"`
	TimeMS  int64         `json:"time_ms,omitempty"`
	Token   string        `json:"token,omitempty"`
	Context *valueContext `json:"context,omitempty"`
}

type valueOpen struct {
	User        UserID        `json:"user,omitempty"`
	Device      DeviceID      `json:"device,omitempty"`
	Cursor      string        `json:"cursor,omitempty"`
	Seq         Seq           `json:"seq,omitempty"`
	Stream      string        `json:"stream,omitempty"`
	Context     *valueContext `json:"context,omitempty"`
	Token       string        `json:"token,omitempty"`
	Window      uint32        `json:"window,omitempty"`
	HeartbeatMS uint32        `json:"heartbeat_ms,omitempty"`
}

type valueContext struct {
	App        string            `json:"app,omitempty"`
	AppVersion string            `json:"app_version,omitempty"`
	OS         string            `json:"os,omitempty"`
	OSVersion  string            `json:"os_version,omitempty"`
	Model      string            `json:"model,omitempty"`
	Locale     string            `json:"locale,omitempty"`
	Labels     map[string]string `json:"labels,omitempty"`
}

func plainPush(p *Push) valuePush {
	m := p.Message
	v := valuePush{p.Seq, p.Cursor, p.Redelivered, m.ID, m.Type, m.Priority.String(), m.CreatedMS, m.ExpiresMS, m.CollapseKey, m.Headers,
		m.ContentType, hex.EncodeToString(m.Payload), ""}
	if v.Headers == nil {
		v.Headers = map[string]string{}
	}
	if utf8.Valid(m.Payload) {
		v.PayloadText = string(m.Payload)
	}
	return v
}

func plainGoAway(g *GoAway) *valueGoAway {
	if g == nil {
		return nil
	}
	return &valueGoAway{g.Reason.String(), g.ReconnectMS, g.Detail}
}

func plainPoll(a *PollAnswer) *valuePoll {
	v := &valuePoll{a.Resumed, a.Stream, a.Expired, a.Cursor, []valuePush{}, plainGoAway(a.GoAway)}
	for i := range a.Messages {
		v.Messages = append(v.Messages, plainPush(&a.Messages[i]))
	}
	return v
}

func plainDevice(f *DeviceFrame) *valueDevice {
	v := &valueDevice{Cursor: f.Cursor, TimeMS: f.TimeMS, Token: f.Token, Context: (*valueContext)(f.Context)}
	switch v.Kind = [...]string{"none", "open", "ack", "heartbeat", "refresh"}[f.Kind]; f.Kind {
	case FrameAck:
		if f.Cursor == "" {
			v.Seq = &f.Seq
		}
	case FrameOpen:
		o := f.Open
		v.Open = &valueOpen{o.User, o.Device, o.Cursor, o.Seq, o.Stream, (*valueContext)(o.Context), o.Token, o.Window, o.HeartbeatMS}
	}
	return v
}

func text(b []byte) *string { s := string(b); return &s }
func hexText(b []byte) *string {
	s := hex.EncodeToString(b)
	return &s
}

func sorted[T any](m map[string]T) []string { return slices.Sorted(maps.Keys(m)) }

// encodedVectors is every golden input with what the encoders make of it.
func encodedVectors() (all []vector) {
	for _, name := range sorted(goldenHellos()) {
		h := goldenHellos()[name]
		v := vector{Name: "hello/" + name, Hello: (*valueHello)(h), SSE: text(AppendSSEHello(nil, h, 1370)), RetryMS: 1370,
			JSON: text(AppendJSONHello(nil, h)), Proto: hexText(AppendProtoHello(nil, h))}
		all = append(all, v)
	}
	for _, name := range sorted(goldenPushes()) {
		p := goldenPushes()[name]
		plain := plainPush(p)
		all = append(all, vector{Name: "push/" + name, Push: &plain, SSE: text(AppendSSEPush(nil, p)), JSON: text(AppendJSONPush(nil, p)),
			Proto: hexText(AppendProtoPush(nil, p))})
	}
	for _, ms := range []int64{0, 1, 1763762400000} {
		all = append(all, vector{Name: "heartbeat/server-" + fmt.Sprint(ms), TimeMS: &ms, SSE: text([]byte(SSEHeartbeat)), JSON: text(nil), Proto: hexText(AppendProtoHeartbeat(nil, ms))})
	}
	for _, name := range sorted(goldenGoAways()) {
		g := goldenGoAways()[name]
		v := vector{Name: "goaway/" + name, GoAway: plainGoAway(g), RetryMS: int(g.ReconnectMS / 2), JSON: text(AppendJSONGoAway(nil, g)),
			Proto: hexText(AppendProtoGoAway(nil, g))}
		v.SSE = text(AppendSSEGoAway(nil, g, v.RetryMS))
		all = append(all, v)
	}
	for _, name := range sorted(goldenPolls()) {
		a := goldenPolls()[name]
		all = append(all, vector{Name: "poll/" + name, Poll: plainPoll(a), JSON: text(AppendPollAnswer(nil, a))})
	}
	for _, name := range sorted(goldenErrors()) {
		e := goldenErrors()[name]
		all = append(all, vector{Name: "error/" + name, Error: &valueError{e.Code, e.Message}, JSON: text(AppendErrorJSON(nil, e))})
	}
	for _, name := range sorted(goldenDevices()) {
		f := goldenDevices()[name]
		v := vector{Name: name, Device: plainDevice(f), Proto: hexText(AppendProtoDeviceFrame(nil, f))}
		if f.Kind != FrameOpen {
			v.JSON = text(AppendJSONDeviceFrame(nil, f))
		}
		all = append(all, v)
	}
	return all
}

func TestEncodersWriteTheGoldenVectors(t *testing.T) {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	if err := e.Encode(encodedVectors()); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(framesFile, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(framesFile)
	if err != nil {
		t.Fatal(err)
	}
	got, lines := strings.Split(out.String(), "\n"), strings.Split(string(want), "\n")
	for i := range max(len(got), len(lines)) {
		if i >= len(got) || i >= len(lines) || got[i] != lines[i] {
			t.Fatalf("%s differs from line %d on; -update writes it anew, if that is meant", framesFile, i+1)
		}
	}
}

func readVectors(t *testing.T) (all []vector) {
	t.Helper()
	b, err := os.ReadFile(framesFile)
	if err == nil {
		err = json.Unmarshal(b, &all)
	}
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestDecodersReadTheGoldenVectors(t *testing.T) {
	for _, v := range readVectors(t) {
		t.Run(v.Name, func(t *testing.T) {
			switch {
			case v.Poll != nil:
				a, err := DecodePollAnswer([]byte(*v.JSON))
				if err != nil {
					t.Fatal(err)
				}
				wantSame(t, plainPoll(a), v.Poll)
			case v.Error != nil:
				e, ok := DecodeErrorJSON([]byte(*v.JSON))
				if !ok {
					t.Fatal("not read")
				}
				wantSame(t, &valueError{e.Code, e.Message}, v.Error)
			case v.Device != nil:
				decodeGoldenDevice(t, &v)
			default:
				decodeGoldenServer(t, &v)
			}
		})
	}
}

func decodeGoldenDevice(t *testing.T, v *vector) {
	t.Helper()
	var f DeviceFrame
	raw, _ := hex.DecodeString(*v.Proto)
	if err := DecodeProtoDeviceFrame(raw, &f); err != nil {
		t.Fatal(err)
	}
	wantSame(t, plainDevice(&f), v.Device)
	if v.JSON == nil {
		return
	}
	if err := DecodeJSONDeviceFrame([]byte(*v.JSON), &f); err != nil {
		t.Fatal(err)
	}
	want := *v.Device
	want.TimeMS = 0 // gRPC alone
	wantSame(t, plainDevice(&f), &want)
}

func decodeGoldenServer(t *testing.T, v *vector) {
	t.Helper()
	var proto, text, event ServerFrame
	raw, _ := hex.DecodeString(*v.Proto)
	if err := DecodeProtoServerFrame(raw, &proto); err != nil {
		t.Fatal(err)
	}
	if err := DecodeJSONServerFrame([]byte(*v.JSON), &text); err != nil {
		t.Fatal(err)
	}
	var d SSEDecoder
	events := 0
	err := d.Feed([]byte(*v.SSE), func(ev SSEEvent) error {
		events++
		if ev.RetryMS != v.RetryMS {
			t.Errorf("retry is %d, want %d", ev.RetryMS, v.RetryMS)
		}
		return DecodeSSEEvent(ev, &event)
	})
	if err != nil {
		t.Fatal(err)
	}
	if v.TimeMS != nil {
		if proto.Kind != ServerHeartbeat || proto.TimeMS != *v.TimeMS || text.Kind != ServerHeartbeat || events != 0 {
			t.Fatalf("proto %+v, text %+v, %d SSE events", proto, text, events)
		}
		return
	}
	for _, f := range []*ServerFrame{&proto, &text, &event} {
		switch {
		case v.Hello != nil && f.Kind == ServerHello:
			wantSame(t, (*valueHello)(&f.Hello), v.Hello)
		case v.Push != nil && f.Kind == ServerPush:
			plain := plainPush(&f.Push)
			wantSame(t, &plain, v.Push)
		case v.GoAway != nil && f.Kind == ServerGoAway:
			wantSame(t, plainGoAway(&f.GoAway), v.GoAway)
		default:
			t.Fatalf("read as %+v", f)
		}
	}
}

func wantSame[T any](t *testing.T, got, want *T) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		g, _ := json.Marshal(got)
		w, _ := json.Marshal(want)
		t.Fatalf("read\n%s, want\n%s", g, w)
	}
}
