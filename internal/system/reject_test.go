package system

import (
	"net/http"
	"strings"
	"testing"

	"ramen/internal/app"
)

// In a batch each is rejected by itself; a single one is answered with its error. SPEC 8.
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

// A body that breaks the contract is refused whole. SPEC 8.
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

// A full mailbox, and too many publishes for a user, are 429 with Retry-After. SPEC 1, 9.
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
