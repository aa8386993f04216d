package system

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// The console is a page at / of the backends' port, with a device beside it that is told where devices are served; nothing else is there. SPEC 3.
func TestConsoleIsAPageAndADevice(t *testing.T) {
	t.Parallel()
	s := serve(t, testConfig(t, memory))
	r := s.backend("GET", "/", "")
	if r.status != 200 || !strings.HasPrefix(r.header.Get("Content-Type"), "text/html") || !strings.Contains(r.body, "<title>RAMEN console</title>") {
		t.Fatalf("GET /: %d %s", r.status, r.header.Get("Content-Type"))
	}
	if csp := r.header.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'; script-src 'sha256-") {
		t.Errorf("Content-Security-Policy: %q", csp)
	}
	if h := s.backend("HEAD", "/", ""); h.status != 200 || h.body != "" || h.header.Get("Content-Security-Policy") == "" {
		t.Errorf("HEAD /: %d, %d bytes", h.status, len(h.body))
	}
	devices := "http://" + s.addr.Devices
	if d := s.backend("GET", "/device", ""); d.status != 200 || !strings.Contains(d.body, `content="`+devices+`"`) || !strings.Contains(d.header.Get("Content-Security-Policy"), "connect-src "+devices+" ws") {
		t.Errorf("GET /device: %d %v; devices are at %s", d.status, d.header, devices)
	}
	if c := s.backend("GET", "/device/ramen.min.js", ""); c.status != 200 || c.header.Get("Content-Type") != "text/javascript; charset=utf-8" {
		t.Errorf("GET /device/ramen.min.js: %d %v", c.status, c.header)
	}
	for _, path := range []string{"/device/", "/device.html", "/index.html", "/console", "/console.html", "/favicon.ico", "/debug", "/debug/pprof/", "/metrics/", "/healthz/x"} {
		r := s.backend("GET", path, "")
		if e, err := errorOf(r.body); r.status != 404 || err != nil || e.Code != "not_found" {
			t.Errorf("GET %s: %d %s %v", path, r.status, r.body, err)
		}
	}
	if r := s.backend("GET", "/", "", "Origin", "https://example.com"); r.status != 403 {
		t.Errorf("GET / from another origin: %d", r.status)
	}
}

// The console's numbers are there under the names that it reads: with another name it would show none.
func TestConsoleFindsItsMetrics(t *testing.T) {
	t.Parallel()
	s := serve(t, testConfig(t, pebble))
	page, metrics := s.backend("GET", "/", "").body, s.backend("GET", "/metrics", "").body
	names := regexp.MustCompile(`'((?:ramen|process|go)_[a-z_]+)'`).FindAllStringSubmatch(page, -1)
	if len(names) < 10 {
		t.Fatalf("the page names %d metrics", len(names))
	}
	for _, name := range names {
		if strings.HasPrefix(name[1], "ramen_registry_") { // of clusters alone: internal/operated has that
			continue
		}
		if !regexp.MustCompile(`(?m)^` + name[1] + `(_bucket)?[{ ]`).MatchString(metrics) {
			t.Errorf("the console reads %s, which is not in /metrics", name[1])
		}
	}
}

// A method that is not one of an operator's path is 405 with Allow, and an error's body. SPEC 4.
func TestOperatorsPathsAreReadOnly(t *testing.T) {
	t.Parallel()
	s := serve(t, testConfig(t, memory))
	for _, path := range []string{"/", "/healthz", "/readyz", "/metrics", "/debug/check"} {
		for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"} {
			r := s.backend(method, path, "")
			e, err := errorOf(r.body)
			if r.status != http.StatusMethodNotAllowed || r.header.Get("Allow") != "GET, HEAD" || err != nil || e.Code != "invalid_argument" {
				t.Errorf("%s %s: %d, Allow %q, %s %v", method, path, r.status, r.header.Get("Allow"), r.body, err)
			}
		}
		if r := s.backend("HEAD", path, ""); r.status != 200 || r.body != "" {
			t.Errorf("HEAD %s: %d", path, r.status)
		}
	}
}

// The check counts everything and names users: it is no matter of who has no key that may read.
func TestFix20CheckTakesAKeyThatMayRead(t *testing.T) {
	t.Parallel()
	s := serve(t, keysConfig(t))
	for header, want := range map[string]int{"": 401, "Bearer wrong": 401, "Bearer publisher": 403, "Bearer reader": 200} {
		if r := s.do("GET", s.backendURL("/debug/check"), "", "Authorization", header); r.status != want {
			t.Errorf("with %q: %d %s, want %d", header, r.status, r.body, want)
		}
	}
	if r := serve(t, testConfig(t, memory)).backend("GET", "/debug/check", ""); r.status != 200 {
		t.Errorf("without authentication: %d %s", r.status, r.body)
	}
}
