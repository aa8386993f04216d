package system

import (
	"encoding/base64"
	"testing"

	"github.com/gorilla/websocket"

	"ramen/protocol/ramenpb"
)

// By every way in a payload that is declared as JSON is checked, and comes to devices as JSON. SPEC 8, 9.
func TestFix09JSONIsCheckedByEveryWayIn(t *testing.T) {
	t.Parallel()
	s := serve(t, testConfig(t, memory))
	b, ctx := s.backends(t)
	stream, err := b.PublishStream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	status := func(r *ramenpb.PublishResponse, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return map[ramenpb.PublishResult_Status]string{ramenpb.PublishResult_ACCEPTED: "accepted", ramenpb.PublishResult_REJECTED: "rejected"}[r.Results[0].Status]
	}
	ways := map[string]func(kind, payload string) string{
		"payload_b64": func(kind, payload string) string {
			return s.results(msg{"messages": []msg{{"user": "u1", "content_type": kind, "payload_b64": base64.StdEncoding.EncodeToString([]byte(payload))}}})[0].Status
		},
		"Publish": func(kind, payload string) string {
			return status(b.Publish(ctx, &ramenpb.PublishRequest{Messages: []*ramenpb.Publish{{User: "u1", ContentType: kind, Payload: []byte(payload)}}}))
		},
		"PublishStream": func(kind, payload string) string {
			if err := stream.Send(&ramenpb.PublishRequest{Messages: []*ramenpb.Publish{{User: "u1", ContentType: kind, Payload: []byte(payload)}}}); err != nil {
				t.Fatal(err)
			}
			return status(stream.Recv())
		},
	}
	c := s.open(t, "sse", place{user: "u1", device: "d1"})
	for name, publish := range ways {
		for _, kind := range []string{"", "application/json", "Application/JSON", "application/json; charset=utf-8"} {
			for _, bad := range []string{"{", "1 2", "\xff", `{"a":01}`, "nul"} {
				if got := publish(kind, bad); got != "rejected" {
					t.Errorf("%s: %q as %q is %s", name, bad, kind, got)
				}
			}
			if got := publish(kind, ` {"a": [1, null]} `); got != "accepted" {
				t.Fatalf("%s: JSON as %q is %s", name, kind, got)
			}
			if m := c.push().Message; string(m.Payload) != `{"a":[1,null]}` || m.ContentType != "application/json" {
				t.Errorf("%s: JSON as %q came as %+v", name, kind, m)
			}
		}
		if got := publish("application/json5", "{"); got != "accepted" {
			t.Errorf("%s: another content type is %s", name, got)
		}
		c.push()
	}
	c.ackAll()
}

// What ordinary serializers write is taken over HTTP and in devices' frames. SPEC 6, 8.
func TestFix09OrdinarySerializersAreUnderstood(t *testing.T) {
	t.Parallel()
	s := serve(t, testConfig(t, memory))
	s.backendPublish(`{"user":"u1","users":null,"device":null,"id":"m1","ttl_ms":6e4,"payload":null,"payload_b64":null,"headers":{"a":null}}`)
	s.backendPublish(`{"messages":[{"user":"u1","id":"m2","ttl_ms":60000.0,"priority":null,"where":null}],"user":null}`)
	c := s.open(t, "ws-json", place{user: "u1", device: "d1"})
	equal(t, "pushes", c.ids(2), []string{"m1", "m2"})
	ws := c.device.(*wsDevice).c
	for _, frame := range []string{
		`{"ack":null,"refresh":null}`,
		`{"refresh":{"token":null,"context":{"app":"rider","os":null,"labels":{"a":null,"b":"c"}}},"ack":null}`,
		`{"ack":{"cursor":null,"seq":0.2e1}}`,
	} {
		if err := ws.WriteMessage(websocket.TextMessage, []byte(frame)); err != nil {
			t.Fatal(err)
		}
	}
	s.untilWaiting("u1", 0)
	if d := s.devices("u1")["d1"]; d.Context.App != "rider" || d.Context.Labels["b"] != "c" || len(d.Context.Labels) != 1 {
		t.Errorf("its context is %+v", d.Context)
	}
	if r := s.backend("POST", "/v1/users/u1/disconnect", `{"device":"d1","detail":null}`); r.status != 200 {
		t.Errorf("disconnect: %d %s", r.status, r.body)
	}
	s.checkLedger()
}
