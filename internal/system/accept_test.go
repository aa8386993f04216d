package system

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"ramen/internal/app"
)

// The same id is a duplicate while it waits, after it was acked, within one batch and over restarts. PROTOCOL 9.
func TestDuplicatesAreTold(t *testing.T) {
	t.Parallel()
	for _, store := range stores {
		t.Run(store, func(t *testing.T) {
			t.Parallel()
			s := serve(t, testConfig(t, store))
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
			if store == memory {
				s.checkLedger()
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
			s.checkLedger()
		})
	}
}

// An id is forgotten after the configured time, once its message has left.
func TestDuplicatesAreForgotten(t *testing.T) {
	t.Parallel()
	for _, store := range stores {
		t.Run(store, func(t *testing.T) {
			t.Parallel()
			cfg := testConfig(t, store)
			cfg.Gateway.IDRetention = time.Second
			s := serve(t, cfg)
			s.publish(msg{"user": "u1", "id": "waits", "ttl_ms": 60000})
			s.publish(msg{"user": "u1", "id": "goes", "ttl_ms": 60000})
			s.backend("DELETE", "/v1/users/u1/messages/goes", "")
			until(t, "the id", func() string { return same("status", s.results(msg{"user": "u1", "id": "goes"})[0].Status, "accepted") })
			if got := s.results(msg{"user": "u1", "id": "waits"})[0].Status; got != "duplicate" {
				t.Errorf("while it waits: %s", got)
			}
			s.checkLedger()
		})
	}
}

// A message replaces the older ones of its key with the same target, pushed or not, and stands at the end. PROTOCOL 9.
func TestCollapse(t *testing.T) {
	matrixOf(t, streaming, stores, nil, func(t *testing.T, s *server, open opener) {
		open(place{user: "u1", device: "d1"}).close()
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
		if s.cfg.Store.Kind == pebble {
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
		if s.cfg.Store.Kind == pebble {
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
		if s.cfg.Store.Kind == pebble {
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

// A user without any device: what is published waits for the first that comes. PROTOCOL 1, 9.
func TestUserWithoutDevices(t *testing.T) {
	matrix(t, stores, func(t *testing.T, s *server, open opener) {
		r := s.results(msg{"users": []string{"u1", "u2"}, "id": "m"})
		if len(r) != 2 || r[0].Status != "accepted" || r[0].Devices != 0 {
			t.Errorf("%+v", r)
		}
		equal(t, "waiting", s.waiting("u1"), []string{"m"})
		if s.cfg.Store.Kind == pebble {
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

// In a batch each is rejected by itself; a single one is answered with its error. PROTOCOL 8.
func TestBadMessagesAreRejectedAlone(t *testing.T) {
	t.Parallel()
	s := serve(t, testConfig(t, pebble))
	bad := []msg{
		{"user": ""}, {"user": "u 1"}, {"user": strings.Repeat("u", 129)}, {"user": "u", "id": "a b"}, {"user": "u", "type": strings.Repeat("t", 129)},
		{"user": "u", "priority": "urgent"}, {"user": "u", "ttl_ms": 5}, {"user": "u", "payload": 1, "payload_b64": "AA=="}, {"user": "u", "users": []string{"v"}},
		{"user": "u", "payload_b64": "!"}, {"user": "u", "payload_b64": "AA=="}, {"user": "u", "headers": map[string]string{"k": strings.Repeat("v", 4096)}},
		{"user": "u", "where": map[string]string{"x": "y"}}, {"user": "u", "device": "a b"}, {"user": "u", "collapse_key": "a b"},
	}
	for _, b := range bad {
		r := s.results(msg{"messages": []msg{{"user": "ok", "payload": 1}, b, {"user": "ok", "payload": 2}}})
		if len(r) != 3 || r[0].Status != "accepted" || r[1].Status != "rejected" || r[2].Status != "accepted" || r[1].Error.Code != "invalid_argument" || r[1].Error.Message == "" {
			t.Errorf("%v in a batch: %+v", b, r)
		}
		single := s.backend("POST", "/v1/publish", encode(b))
		if single.status != 400 || jsonCode(single.body) != "invalid_argument" {
			t.Errorf("%v alone: %d %s", b, single.status, single.body)
		}
	}
	r := s.results(msg{"users": []string{"v1", "b ad", "v2"}, "payload": 1})
	if len(r) != 3 || r[0].Status != "accepted" || r[1].Status != "rejected" || r[2].Status != "accepted" || r[0].ID != r[2].ID {
		t.Errorf("users with a bad one: %+v", r)
	}
	large := msg{"user": "u", "payload": strings.Repeat("x", 64<<10)}
	if r := s.backend("POST", "/v1/publish", encode(large)); r.status != http.StatusRequestEntityTooLarge || jsonCode(r.body) != "too_large" {
		t.Errorf("a large payload: %d %s", r.status, r.body)
	}
	if r := s.results(msg{"messages": []msg{large, {"user": "u"}}}); r[0].Error.Code != "too_large" || r[1].Status != "accepted" {
		t.Errorf("a large payload in a batch: %+v", r)
	}
	if r := s.results(msg{"user": "u", "payload": strings.Repeat("x", 64<<10-2)}); r[0].Status != "accepted" {
		t.Errorf("the largest payload: %+v", r)
	}
	s.checkLedger()
}

// A body that breaks the contract is refused whole. PROTOCOL 8.
func TestBadBodiesAreRefusedWhole(t *testing.T) {
	t.Parallel()
	s := serve(t, testConfig(t, memory))
	many := func(n int) string {
		return `{"messages":[` + strings.TrimSuffix(strings.Repeat(`{"user":"u"},`, n), ",") + `]}`
	}
	users := func(n int) string {
		return `{"users":[` + strings.TrimSuffix(strings.Repeat(`"u",`, n), ",") + `]}`
	}
	for name, c := range map[string]struct {
		body   string
		status int
	}{
		"empty":             {"", 400},
		"not JSON":          {`{"user":"u"`, 400},
		"two values":        {`{"user":"u"}{"user":"u"}`, 400},
		"an array":          {`[{"user":"u"}]`, 400},
		"an unknown field":  {`{"user":"u","usr":"u"}`, 400},
		"another case":      {`{"User":"u"}`, 400},
		"a wrong type":      {`{"user":1}`, 400},
		"ttl as text":       {`{"user":"u","ttl_ms":"1000"}`, 400},
		"a ttl below zero":  {`{"user":"u","ttl_ms":-1}`, 400},
		"in a batch":        {`{"messages":[{"user":"u"},{"user":"u","x":1}]}`, 400},
		"beside messages":   {`{"messages":[{"user":"u"}],"user":"u"}`, 400},
		"no messages":       {`{"messages":[]}`, 400},
		"too many messages": {many(1001), 400},
		"too many users":    {users(1001), 400},
		"over 4 MiB":        {`{"user":"u","payload":"` + strings.Repeat("x", 4<<20) + `"}`, 413},
		"not UTF-8":         {"{\"user\":\"u\",\"payload\":\"\xff\"}", 400},
	} {
		r := s.backend("POST", "/v1/publish", c.body)
		code := map[int]string{400: "invalid_argument", 413: "too_large"}[c.status]
		if r.status != c.status || jsonCode(r.body) != code {
			t.Errorf("%s: %d %.300s, want %d", name, r.status, r.body, c.status)
		}
	}
	if w := s.waiting("u"); len(w) != 0 {
		t.Errorf("%d messages of what was refused wait", len(w))
	}
	if r := s.backend("POST", "/v1/publish", many(1000)); r.status != 200 {
		t.Errorf("1,000 messages: %d", r.status)
	}
	s.checkLedger()
}

// A full mailbox, and too many publishes for a user, are 429 with Retry-After. PROTOCOL 1, 9.
func TestFullMailboxIsTold(t *testing.T) {
	matrixOf(t, []string{"ws-json"}, stores, func(cfg *app.Config) { cfg.Gateway.MailboxMessages = 3 }, func(t *testing.T, s *server, open opener) {
		s.publishAll(numbered("u1", "m", 3))
		r := s.backend("POST", "/v1/publish", `{"user":"u1","id":"over"}`)
		if r.status != 429 || jsonCode(r.body) != "resource_exhausted" || r.header.Get("Retry-After") == "" {
			t.Errorf("over the most: %d %q %s", r.status, r.header.Get("Retry-After"), r.body)
		}
		if r := s.results(msg{"messages": []msg{{"user": "u1"}, {"user": "u2"}}}); r[0].Error.Code != "resource_exhausted" || r[1].Status != "accepted" {
			t.Errorf("in a batch: %+v", r)
		}
		c := open(place{user: "u1", device: "d1"})
		c.ids(3)
		if err := c.ack(1); err != nil {
			t.Fatal(err)
		}
		s.untilWaiting("u1", 2)
		s.publish(msg{"user": "u1", "id": "over"}) // what was rejected is no duplicate
		equal(t, "then", c.ids(1), []string{"over"})
	})
	t.Run("rate", func(t *testing.T) {
		cfg := testConfig(t, memory)
		cfg.Gateway.PublishesPerSecond, cfg.Gateway.PublishesBurst = 0.01, 2
		s := serve(t, cfg)
		s.publishAll(numbered("u1", "m", 2))
		if r := s.backend("POST", "/v1/publish", `{"user":"u1"}`); r.status != 429 || r.header.Get("Retry-After") == "" {
			t.Errorf("over the rate: %d %q %s", r.status, r.header.Get("Retry-After"), r.body)
		}
		s.publish(msg{"user": "u2"})
	})
}

// Any printable character may stand percent-encoded in a path, a slash too. PROTOCOL 8.
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

// Payloads come as the same bytes over every transport: JSON without its white space, nothing else changed. PROTOCOL 5, 9.
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
