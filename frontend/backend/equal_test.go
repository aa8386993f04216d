package backend

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"ramen/link"
	"ramen/protocol"
	"ramen/protocol/ramenpb"
)

// anyPublish draws a message, wrong in one field of four or so.
func anyPublish(rng *rand.Rand, i int) protocol.Publish {
	pick := func(of ...string) string { return of[rng.IntN(len(of))] }
	p := protocol.Publish{
		User:        pick("u1", "u2", "ü", "", "a b", strings.Repeat("x", 129)),
		Device:      pick("", "", "d1", "d\x01"),
		ID:          pick(fmt.Sprint("id", i), fmt.Sprint("id", i/2), "a b"),
		Type:        pick("", "trip.offer", "a b"),
		Priority:    protocol.Priority(rng.IntN(4)),
		ContentType: pick("", "application/json"),
		Payload:     []byte(pick("", "1", `{ "a" : [ 1.50 , "\ud800" ] , "a" : 2 }`, `"`+strings.Repeat("x", 70000)+`"`)),
		TTLMS:       int64(rng.IntN(5)) * 700,
		CollapseKey: pick("", "k", "k k"),
	}
	if rng.IntN(4) == 0 {
		p.ContentType, p.Payload = pick("text/plain", "application/x; a=b", "bad\x00"), []byte{0, 255, byte(i)}
	}
	if rng.IntN(4) == 0 {
		p.Headers = map[string]string{"a": "b", pick("c", strings.Repeat("x", 4100)): "d"}
	}
	if rng.IntN(4) == 0 {
		p.Where = map[string]string{pick("app", "label.x", "planet"): "v"}
	}
	if rng.IntN(4) == 0 {
		p.Users = []string{"u3", pick("u4", "", "a b"), "u3"}
		if rng.IntN(3) > 0 {
			p.User = ""
		}
	}
	return p
}

// asJSON is a protobuf answer in the shape of HTTP's.
func resultsJSON(in *ramenpb.PublishResponse) string {
	out := make([]protocol.PublishResult, len(in.Results))
	for i, r := range in.Results {
		out[i] = protocol.PublishResult{ID: r.Id, Status: protocol.PublishStatus(r.Status), Devices: r.Devices}
		if r.Error != nil {
			out[i].Err = &protocol.Error{Code: protocol.Code(r.Error.Code), Message: r.Error.Message}
		}
	}
	return string(protocol.AppendPublishResults(nil, out))
}

func TestHTTPAndGRPCPublishTheSame(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	overHTTP, overGRPC := newRig(t, nil, nil), newRig(t, nil, nil)
	for round := range 60 {
		batch := make([]protocol.Publish, 1+rng.IntN(6))
		for i := range batch {
			batch[i] = anyPublish(rng, round*10+i)
		}
		_, body := overHTTP.do(t, "POST", "/v1/publish", string(protocol.AppendPublishBatchJSON(nil, batch)))
		got, err := overGRPC.grpc.Publish(t.Context(), requestProto(batch))
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if want := resultsJSON(got); body != want {
			t.Fatalf("seed %d:\nHTTP %s\ngRPC %s", seed, body, want)
		}
	}
	a, b := overHTTP.asked(), overGRPC.asked()
	if len(a) != len(b) || len(a) == 0 {
		t.Fatalf("seed %d: %d and %d messages were asked for", seed, len(a), len(b))
	}
	for i := range a {
		if x, y := fmt.Sprintf("%v %+v", a[i].Route, *a[i].Message), fmt.Sprintf("%v %+v", b[i].Route, *b[i].Message); x != y ||
			fmt.Sprint(a[i].User, a[i].Device, a[i].Where, a[i].TTLMS) != fmt.Sprint(b[i].User, b[i].Device, b[i].Where, b[i].TTLMS) {
			t.Fatalf("seed %d:\nHTTP %s\ngRPC %s", seed, x, y)
		}
	}
}

func someDevices() []link.Device {
	return []link.Device{
		{ID: "d1", Online: true, Transport: protocol.TransportWS, ConnectedMS: 1763762400000, LastSeenMS: 1763762401000, Pending: 3, Unacked: 2, RTTMS: 41,
			Context: &protocol.DeviceContext{App: "rider", AppVersion: "1.2", OS: "ios", OSVersion: "26", Model: "iPhone \"X\"", Locale: "de-DE", Labels: map[string]string{"b": "2", "a": "1"}}},
		{ID: "d2", Transport: protocol.TransportSSE, LastSeenMS: 5, Context: &protocol.DeviceContext{}},
		{ID: "d3"},
	}
}

func someMessages() []*protocol.Message {
	return []*protocol.Message{
		{ID: "m1", Type: "trip.offer", Priority: protocol.PriorityHigh, Payload: []byte(`{"fare":1.50}`), ContentType: "application/json", CreatedMS: 1, ExpiresMS: 2, CollapseKey: "k", Headers: map[string]string{"h": "v"}},
		{ID: "m2", Priority: protocol.PriorityMedium, Payload: []byte{0, 255}, ContentType: "application/x", ExpiresMS: 2},
		{ID: "m3", Priority: protocol.PriorityLow, ContentType: "application/json"},
		{ID: "m4", Priority: protocol.PriorityLow, ContentType: "application/json", Payload: []byte(`"` + strings.Repeat("x", 16<<10-2) + `"`)},
		{ID: "m5", Priority: protocol.PriorityLow, ContentType: "application/json", Payload: []byte(`"` + strings.Repeat("x", 16<<10-1) + `"`)},
	}
}

func TestListsOverHTTP(t *testing.T) {
	r := newRig(t, nil, nil)
	if _, body := r.do(t, "GET", "/v1/users/u/devices", ""); body != `{"devices":[]}` {
		t.Error(body)
	}
	if _, body := r.do(t, "GET", "/v1/users/u/messages", ""); body != `{"messages":[]}` {
		t.Error(body)
	}
	r.gateway.devices, r.gateway.messages = someDevices(), someMessages()
	_, body := r.do(t, "GET", "/v1/users/u/devices", "")
	want := `{"devices":[{"device":"d1","online":true,"transport":"ws","context":{"app":"rider","app_version":"1.2","os":"ios","os_version":"26","model":"iPhone \"X\"","locale":"de-DE","labels":{"a":"1","b":"2"}},` +
		`"connected_ms":1763762400000,"last_seen_ms":1763762401000,"pending":3,"unacked":2,"rtt_ms":41},` +
		`{"device":"d2","online":false,"transport":"sse","context":{},"connected_ms":0,"last_seen_ms":5,"pending":0,"unacked":0,"rtt_ms":0},` +
		`{"device":"d3","online":false,"connected_ms":0,"last_seen_ms":0,"pending":0,"unacked":0,"rtt_ms":0}]}`
	if body != want {
		t.Errorf("got  %s\nwant %s", body, want)
	}
	_, body = r.do(t, "GET", "/v1/users/u/messages", "")
	want = `{"messages":[{"id":"m1","type":"trip.offer","priority":"high","payload":{"fare":1.50},"content_type":"application/json","created_ms":1,"expires_ms":2,"collapse_key":"k","headers":{"h":"v"}},` +
		`{"id":"m2","priority":"medium","payload_b64":"AP8=","content_type":"application/x","created_ms":0,"expires_ms":2},` +
		`{"id":"m3","priority":"low","content_type":"application/json","created_ms":0,"expires_ms":0},` +
		`{"id":"m4","priority":"low","payload":"` + strings.Repeat("x", 16<<10-2) + `","content_type":"application/json","created_ms":0,"expires_ms":0},` +
		`{"id":"m5","priority":"low","content_type":"application/json","created_ms":0,"expires_ms":0}]}`
	if body != want {
		t.Errorf("got  %s\nwant %s", body, want)
	}
}

// same compares a JSON list with a protobuf one, by way of the protobuf's own JSON.
func same(t *testing.T, body string, pb proto.Message, out proto.Message) {
	t.Helper()
	var tree any
	if err := json.Unmarshal([]byte(body), &tree); err != nil {
		t.Fatal(err)
	}
	text, _ := json.Marshal(asProtoJSON(tree))
	if err := protojson.Unmarshal(text, out); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	if !proto.Equal(pb, out) {
		t.Errorf("gRPC %v\nHTTP %v", pb, out)
	}
}

// asProtoJSON makes of our JSON what protojson reads: bytes in base64, enums by their long names.
func asProtoJSON(tree any) any {
	switch v := tree.(type) {
	case []any:
		for i := range v {
			v[i] = asProtoJSON(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = asProtoJSON(v[k])
		}
		if p, ok := v["priority"].(string); ok {
			v["priority"] = "PRIORITY_" + strings.ToUpper(p)
		}
		if p, ok := v["payload"]; ok {
			raw, _ := json.Marshal(p)
			v["payload"] = raw
		}
		if p, ok := v["payload_b64"]; ok {
			v["payload"] = p
			delete(v, "payload_b64")
		}
	}
	return tree
}

func TestHTTPAndGRPCListTheSame(t *testing.T) {
	r := newRig(t, nil, nil)
	r.gateway.devices, r.gateway.messages = someDevices(), someMessages()
	r.gateway.messages[0].Payload = []byte(`{"fare":1.5}`) // which encoding/json writes as it was
	devices, err := r.grpc.ListDevices(context.Background(), &ramenpb.ListDevicesRequest{User: "u"})
	if err != nil {
		t.Fatal(err)
	}
	_, body := r.do(t, "GET", "/v1/users/u/devices", "")
	same(t, body, devices, new(ramenpb.ListDevicesResponse))
	messages, err := r.grpc.ListMessages(context.Background(), &ramenpb.ListMessagesRequest{User: "u"})
	if err != nil {
		t.Fatal(err)
	}
	_, body = r.do(t, "GET", "/v1/users/u/messages", "")
	same(t, body, messages, new(ramenpb.ListMessagesResponse))
	if n := len(messages.Messages[4].Payload); n != 0 {
		t.Errorf("a payload over 16 KiB is listed with %d bytes", n)
	}
}

func TestRecallAndDisconnectOverGRPC(t *testing.T) {
	r := newRig(t, nil, nil)
	for id, want := range map[string]bool{"waits": true, "gone": false} {
		got, err := r.grpc.Recall(t.Context(), &ramenpb.RecallRequest{User: "u", Id: id})
		if err != nil || got.Recalled != want {
			t.Error(id, got, err)
		}
	}
	got, err := r.grpc.Disconnect(t.Context(), &ramenpb.DisconnectRequest{User: "u", Device: "d", Detail: "bye"})
	if err != nil || got.Streams != 3 {
		t.Error(got, err)
	}
}
