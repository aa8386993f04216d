package system

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"ramen/internal/app"
)

const (
	page     = "https://app.example.com"
	stranger = "https://evil.example.net"
)

// originConfig allows one page's origin and is not under dev's.
func originConfig(cfg *app.Config) { cfg.Frontend.Origins = []string{page} }

// Pages of the configured origins may read answers; others are served without the headers. SPEC 3.
func TestOriginsOfHTTP(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t, memory)
	originConfig(&cfg)
	s := serve(t, cfg)
	for origin, allowed := range map[string]bool{
		page: true, stranger: false, "http://app.example.com": false, page + ".evil.net": false, page + ":8443": false,
		"http://localhost:3000": true, "http://127.0.0.1:5173": true, "http://[::1]:1": true, "https://localhost": true, "null": true, // --dev
		"http://localhost.evil.net": false, "http://127.0.0.1.evil.net": false, "": false,
	} {
		for _, path := range []string{"/ramen/poll?user=u&device=d&wait=0", "/ramen/ack?user=u&device=d", "/nothing"} {
			r := s.do("GET", s.deviceURL(path), "", "Origin", origin)
			got := r.header.Get("Access-Control-Allow-Origin")
			if allowed && got != origin && got != "*" || !allowed && got != "" {
				t.Errorf("%s from %q: Access-Control-Allow-Origin is %q", path, origin, got)
			}
			if got != "" && got != "*" && !strings.Contains(strings.Join(r.header.Values("Vary"), ","), "Origin") {
				t.Errorf("%s: Vary is %q", path, r.header.Values("Vary"))
			}
			if r.header.Get("Access-Control-Allow-Credentials") != "" {
				t.Errorf("%s from %q allows credentials", path, origin)
			}
		}
		c := s.open(t, "sse", place{user: "u", device: "d", origin: origin})
		got := c.device.(*sseDevice).resp.Header.Get("Access-Control-Allow-Origin")
		if allowed && got != origin && got != "*" || !allowed && got != "" {
			t.Errorf("an event stream from %q: Access-Control-Allow-Origin is %q", origin, got)
		}
		c.close()
	}
}

// A preflight is answered with what may be asked.
func TestOriginsPreflight(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t, memory)
	originConfig(&cfg)
	s := serve(t, cfg)
	for _, path := range []string{"/ramen/receive", "/ramen/poll", "/ramen/ack"} {
		ask := []string{"Access-Control-Request-Method", "GET", "Access-Control-Request-Headers", "authorization,last-event-id,content-type"}
		r := s.do("OPTIONS", s.deviceURL(path), "", append(ask, "Origin", page)...)
		headers := strings.ToLower(r.header.Get("Access-Control-Allow-Headers"))
		for _, h := range []string{"authorization", "content-type", "last-event-id"} {
			if !strings.Contains(headers, h) {
				t.Errorf("preflight of %s allows the headers %q", path, headers)
			}
		}
		if r.status/100 != 2 || r.header.Get("Access-Control-Allow-Origin") != page || !strings.Contains(r.header.Get("Access-Control-Allow-Methods"), "GET") || r.body != "" {
			t.Errorf("preflight of %s: %d %v", path, r.status, r.header)
		}
		if path == "/ramen/ack" && !strings.Contains(r.header.Get("Access-Control-Allow-Methods"), "POST") {
			t.Errorf("preflight of ack: %v", r.header)
		}
		r = s.do("OPTIONS", s.deviceURL(path), "", append(ask, "Origin", stranger)...)
		if r.header.Get("Access-Control-Allow-Origin") != "" || r.header.Get("Access-Control-Allow-Headers") != "" {
			t.Errorf("a stranger's preflight of %s: %d %v", path, r.status, r.header)
		}
	}
}

// A WebSocket of a page of another origin is 403; the gateway's own page's and a program's are not.
func TestOriginsOfWebSockets(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t, memory)
	originConfig(&cfg)
	s := serve(t, cfg)
	p := place{user: "u", device: "d"}
	for origin, allowed := range map[string]bool{
		page: true, "": true, s.deviceURL(""): true, "http://localhost:3000": true, "null": true, stranger: false, "https://app.example.com.evil.net": false,
	} {
		p.origin = origin
		c, err := s.dial(t, "ws-json", p)
		if allowed && err != nil {
			t.Errorf("from %q: %v", origin, err)
		}
		if !allowed {
			var e *ending
			if !errors.As(err, &e) || e.status != http.StatusForbidden || e.body.Code != "permission_denied" {
				t.Errorf("from %q: %v", origin, err)
			}
		}
		if c != nil {
			c.close()
		}
	}
}

// On 9080 a request that bears an Origin but its own is 403, whatever it asks, under dev too.
func TestOriginsOfBackends(t *testing.T) {
	t.Parallel()
	s := serve(t, testConfig(t, memory))
	own := s.backendURL("")
	for _, origin := range []string{stranger, "http://localhost:3000", "null", own + "0", "http://evil.example.net:9080"} {
		for _, call := range [][3]string{
			{"POST", "/v1/publish", `{"user":"u"}`}, {"GET", "/v1/users/u/devices", ""}, {"GET", "/metrics", ""}, {"OPTIONS", "/v1/publish", ""}, {"POST", "/v1/users/u/disconnect", ""},
		} {
			if r := s.backend(call[0], call[1], call[2], "Origin", origin); r.status != http.StatusForbidden || r.header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("%s %s from %q: %d %s", call[0], call[1], origin, r.status, r.body)
			}
		}
	}
	if r := s.backend("POST", "/v1/publish", `{"user":"u"}`, "Origin", own); r.status != 200 {
		t.Errorf("from its own origin: %d %s", r.status, r.body)
	}
	if w := s.waiting("u"); len(w) != 1 {
		t.Errorf("%d messages wait", len(w))
	}
	s.checkLedger()
}
