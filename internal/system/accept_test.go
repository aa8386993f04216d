package system

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"ramen/internal/app"
)

// The same id is a duplicate while it waits, after it was acked, within one batch and over restarts. SPEC 9.
func TestDuplicatesAreTold(t *testing.T) {
	each(t, stores, nil, func(t *testing.T, s *server) {
		status := func(m msg) string { return s.results(m)[0].Status }
		m := msg{"user": "u1", "id": "m-1", "payload": 1}
		if got := status(m) + status(m); got != "acceptedduplicate" {
			t.Errorf("twice: %s", got)
		}
		if got := status(msg{"user": "u2", "id": "m-1"}); got != "accepted" {
			t.Errorf("of another user: %s", got)
		}
		r := s.results(msg{"messages": []msg{{"user": "u1", "id": "m-2"}, {"user": "u1", "id": "m-2"}, {"user": "u1", "id": "m-1"}}})
		if r[0].Status != "accepted" || r[1].Status != "duplicate" || r[2].Status != "duplicate" || r[1].ID != "m-2" {
			t.Errorf("in a batch: %+v", r)
		}
		c := s.open(t, "ws-json", place{user: "u1", device: "d1"})
		equal(t, "pushed", c.ids(2), []string{"m-1", "m-2"})
		c.ackAll()
		s.untilWaiting("u1", 0)
		if got := status(m); got != "duplicate" {
			t.Errorf("after the ack: %s", got)
		}
		s.publish(msg{"user": "u1", "id": "gone"})
		s.backend("DELETE", "/v1/users/u1/messages/gone", "")
		s.publish(msg{"user": "u1", "id": "short", "ttl_ms": 1000})
		s.untilWaiting("u1", 0)
		for _, id := range []string{"gone", "short"} {
			if got := status(msg{"user": "u1", "id": id}); got != "duplicate" {
				t.Errorf("%s again: %s", id, got)
			}
		}
		if !s.keeps() {
			return
		}
		s.restart()
		for _, id := range []string{"m-1", "m-2", "gone", "short"} {
			if got := status(msg{"user": "u1", "id": id}); got != "duplicate" {
				t.Errorf("%s after a restart: %s", id, got)
			}
		}
		s.publish(msg{"user": "u1", "id": "new"})
		c = s.open(t, "ws-json", place{user: "u1", device: "d1"})
		equal(t, "after the restart", c.ids(1), []string{"new"})
	})
}

// An id is forgotten after the configured time, once its message has left.
func TestDuplicatesAreForgotten(t *testing.T) {
	short := func(cfg *app.Config) { cfg.Gateway.IDRetention = time.Second }
	each(t, stores, short, func(t *testing.T, s *server) {
		s.publish(msg{"user": "u1", "id": "waits", "ttl_ms": 60000})
		s.publish(msg{"user": "u1", "id": "goes", "ttl_ms": 60000})
		s.backend("DELETE", "/v1/users/u1/messages/goes", "")
		until(t, "the id", func() string { return same("status", s.results(msg{"user": "u1", "id": "goes"})[0].Status, "accepted") })
		if got := s.results(msg{"user": "u1", "id": "waits"})[0].Status; got != "duplicate" {
			t.Errorf("while it waits: %s", got)
		}
	})
}

// A message replaces the older ones of its key with the same target, pushed or not, and stands at the end. SPEC 9.
func TestCollapse(t *testing.T) {
	matrixOf(t, streaming, stores, nil, func(t *testing.T, s *server, open opener) {
		open(place{user: "u1", device: "d1"}).close()
		s.untilOffline("u1", "d1") // else where would be judged by the context of that stream
		m := func(id, key string, more ...string) msg {
			m := msg{"user": "u1", "id": id, "collapse_key": key}
			for i := 0; i+1 < len(more); i += 2 {
				if m[more[i]] = more[i+1]; more[i] == "where" {
					m["where"] = map[string]string{"os": more[i+1]}
				}
			}
			return m
		}
		s.publishAll([]msg{
			m("a-1", "a"), m("b-1", "b"), m("plain", ""), m("dev", "a", "device", "d1"), m("where", "a", "where", "ios"), m("a-2", "a"), m("a-3", "a", "priority", "high"),
		})
		c := open(place{user: "u1", device: "d1", context: map[string]string{"os": "ios"}})
		equal(t, "what is left", c.ids(5), []string{"a-3", "b-1", "plain", "dev", "where"})
		s.publish(m("b-2", "b")) // b-1 was pushed and not acked
		equal(t, "live", c.ids(1), []string{"b-2"})
		c.close()
		if s.keeps() {
			s.restart()
		}
		c = open(place{user: "u1", device: "d1", context: map[string]string{"os": "ios"}})
		equal(t, "again", c.ids(5), []string{"a-3", "plain", "dev", "where", "b-2"})
		c.ackAll()
		s.untilWaiting("u1", 0)
		s.publish(m("a-4", "a")) // its elder is acked and gone
		equal(t, "after the ack", c.ids(1), []string{"a-4"})
		c.ackAll()
		s.untilWaiting("u1", 0)
	})
}

// Where chooses devices by their context, when the message is first the next; an unknown key is rejected.
func TestWhere(t *testing.T) {
	matrix(t, stores, func(t *testing.T, s *server, open opener) {
		ios := map[string]string{"app": "rider", "os": "ios", "label.city": "Berlin"}
		android := map[string]string{"app": "rider", "os": "android"}
		open(place{user: "u1", device: "i", context: ios}).close()
		open(place{user: "u1", device: "a", context: android}).close()
		for id, where := range map[string]map[string]string{"both": {"app": "rider"}, "ios": {"os": "ios"}, "city": {"label.city": "Berlin", "app": "rider"}, "none": {"os": "none"}} {
			want := map[string]int{"both": 2, "ios": 1, "city": 1, "none": 0}[id]
			if r := s.results(msg{"user": "u1", "id": id, "where": where}); r[0].Status != "accepted" || r[0].Devices != want {
				t.Errorf("%s: %+v, want %d devices", id, r[0], want)
			}
		}
		s.publish(msg{"user": "u1", "id": "last"})
		got := map[string]bool{}
		c := open(place{user: "u1", device: "i", context: ios})
		for !got["last"] {
			got[string(c.push().Message.ID)] = true
		}
		if len(got) != 4 || got["none"] {
			t.Errorf("the iPhone got %v", got)
		}
		c.ackAll()
		c = open(place{user: "u1", device: "a", context: android})
		equal(t, "the Android got", c.ids(2), []string{"both", "last"})
		c.ackAll()
		s.untilWaiting("u1", 1) // that for nobody
		for _, key := range []string{"planet", "label.", "label", "APP"} {
			r := s.backend("POST", "/v1/publish", encode(msg{"user": "u1", "where": map[string]string{key: "x"}}))
			if r.status != 400 || jsonCode(r.body) != "invalid_argument" {
				t.Errorf("where %s: %d %s", key, r.status, r.body)
			}
		}
	})
}

// A recalled message is not pushed any more, and does not come back.
func TestRecall(t *testing.T) {
	matrix(t, stores, func(t *testing.T, s *server, open opener) {
		recall := func(id string) int { return s.backend("DELETE", "/v1/users/u1/messages/"+id, "").status }
		s.publishAll(numbered("u1", "m", 4))
		c := open(place{user: "u1", device: "d1", window: 2})
		c.ids(2)
		c.close()
		s.untilOffline("u1", "d1")
		for id, want := range map[string]int{"m-1": 204, "m-3": 204, "none": 404} {
			if got := recall(id); got != want {
				t.Errorf("recall %s: %d, want %d", id, got, want)
			}
		}
		if got := recall("m-1"); got != 404 {
			t.Errorf("a second recall: %d", got)
		}
		if s.keeps() {
			s.restart()
		}
		c = open(place{user: "u1", device: "d1"})
		equal(t, "what is left", c.ids(2), []string{"m-2", "m-4"})
		c.ackAll()
		s.untilWaiting("u1", 0)
		if got := recall("m-2"); got != 404 {
			t.Errorf("recall of what was acked: %d", got)
		}
	})
}

// A message for one device is for it alone, known or not; devices counts the known ones.
func TestDeviceTarget(t *testing.T) {
	matrix(t, stores, func(t *testing.T, s *server, open opener) {
		open(place{user: "u1", device: "d1"}).close()
		if r := s.results(msg{"user": "u1", "device": "d1", "id": "known"}); r[0].Devices != 1 {
			t.Errorf("%+v", r)
		}
		if r := s.results(msg{"user": "u1", "device": "d2", "id": "unknown"}); r[0].Devices != 0 || r[0].Status != "accepted" {
			t.Errorf("%+v", r)
		}
		s.publish(msg{"user": "u1", "id": "all"})
		if s.keeps() {
			s.restart()
		}
		c := open(place{user: "u1", device: "d1"})
		equal(t, "d1 got", c.ids(2), []string{"known", "all"})
		c.ackAll()
		s.untilPending("u1", "d1", 0)
		equal(t, "waiting", s.waiting("u1"), []string{"unknown"}) // all is gone: every known device has acked it
		c2 := open(place{user: "u1", device: "d2"})
		equal(t, "d2 got", c2.ids(1), []string{"unknown"})
		c2.ackAll()
		s.untilWaiting("u1", 0)
	})
}

// A user without any device: what is published waits for the first that comes. SPEC 1, 9.
func TestUserWithoutDevices(t *testing.T) {
	matrix(t, stores, func(t *testing.T, s *server, open opener) {
		r := s.results(msg{"users": []string{"u1", "u2"}, "id": "m"})
		if len(r) != 2 || r[0].Status != "accepted" || r[0].Devices != 0 {
			t.Errorf("%+v", r)
		}
		equal(t, "waiting", s.waiting("u1"), []string{"m"})
		if s.keeps() {
			s.restart()
		}
		c := open(place{user: "u1", device: "d1"})
		equal(t, "the first got", c.ids(1), []string{"m"})
		later := open(place{user: "u1", device: "d2"}) // seen later: it gets what still waits
		equal(t, "the second got", later.ids(1), []string{"m"})
		c.ackAll()
		s.untilPending("u1", "d1", 0)
		if len(s.waiting("u1")) != 1 {
			t.Error("gone before every known device has acked it")
		}
		later.ackAll()
		s.untilWaiting("u1", 0)
	})
}

// Any printable character may stand percent-encoded in a path, a slash too. SPEC 8.
func TestUsersOfAllCharacters(t *testing.T) {
	matrix(t, stores, func(t *testing.T, s *server, open opener) {
		for i, user := range []string{"a/b", "../..", "a?b=c&d#e", "100%", "%2F", "日本語/ü", "a+b", "\"'<>\\", "🚕", ".", ".."} {
			id := fmt.Sprintf("id/%d?%%", i)
			s.publish(msg{"user": user, "id": id})
			c := open(place{user: user, device: user})
			equal(t, user, c.ids(1), []string{id})
			equal(t, user+" waits", s.waiting(user), []string{id})
			if d := s.devices(user); len(d) != 1 || d[user].Device != user {
				t.Errorf("%q: the list says %+v", user, d)
			}
			if r := s.backend("DELETE", "/v1/users/"+escape(user)+"/messages/"+escape(id), ""); r.status != 204 {
				t.Errorf("recall of %q: %d %s", user, r.status, r.body)
			}
			if r := s.backend("POST", "/v1/users/"+escape(user)+"/disconnect", ""); r.status != 200 {
				t.Errorf("disconnect of %q: %d %s", user, r.status, r.body)
			}
			c.close()
		}
	})
}

// escape encodes every byte that is no letter or digit.
func escape(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; 'a' <= c && c <= 'z' || '0' <= c && c <= '9' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// Payloads come as the same bytes over every transport: JSON without its white space, nothing else changed. SPEC 5, 9.
func TestPayloadsAreTheSameEverywhere(t *testing.T) {
	matrix(t, stores, func(t *testing.T, s *server, open opener) {
		c := open(place{user: "u1", device: "d1"})
		for in, want := range map[string]string{
			`{ "b" : 1.0 , "a" : [ 1e400, -0, 12345678901234567890 ] , "b":2 }`: `{"b":1.0,"a":[1e400,-0,12345678901234567890],"b":2}`,
			`"<>&  é 😀 \/ \ud800 \u00e9"`:                                       `"<>&  é 😀 \/ \ud800 \u00e9"`,
			"\n null \t":                                                        "null", `"a  b"`: `"a  b"`, `0.10`: `0.10`,
		} {
			s.backendPublish(`{"user":"u1","payload":` + in + `}`)
			if got := string(c.push().Message.Payload); got != want {
				t.Errorf("%s came as %s", in, got)
			}
			c.ackAll()
		}
		s.publish(msg{"user": "u1"}) // empty
		if m := c.push().Message; len(m.Payload) != 0 || m.ContentType != "application/json" {
			t.Errorf("an empty payload came as %+v", m)
		}
		all := make([]byte, 256)
		for i := range all {
			all[i] = byte(i)
		}
		s.publish(msg{"user": "u1", "content_type": "application/octet-stream", "payload_b64": base64.StdEncoding.EncodeToString(all), "headers": map[string]string{"k": "v\n\"", "": "x"}, "collapse_key": "c"})
		if m := c.push().Message; string(m.Payload) != string(all) || m.ContentType != "application/octet-stream" || m.Headers["k"] != "v\n\"" || m.CollapseKey != "c" {
			t.Errorf("256 bytes came as %+v", m)
		}
		c.ackAll()
		for _, bad := range []string{`{"user":"u1","payload_b64":"` + base64.StdEncoding.EncodeToString([]byte("{")) + `"}`} {
			if r := s.backend("POST", "/v1/publish", bad); r.status != 400 {
				t.Errorf("%s: %d %s", bad, r.status, r.body)
			}
		}
	})
}

// backendPublish publishes a body as it is.
func (s *server) backendPublish(body string) {
	s.t.Helper()
	if r := s.backend("POST", "/v1/publish", body); r.status != 200 {
		s.t.Fatalf("publish %s: %d %s", body, r.status, r.body)
	}
}
