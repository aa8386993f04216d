package system

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"ramen/internal/app"
	"ramen/internal/testapp"
)

// patience is how long a test waits for what must come. It is never a measure.
const patience = 20 * time.Second

// server is the product in this process, in development mode unless a test's configuration says otherwise.
type server struct {
	t    testing.TB
	cfg  app.Config
	addr app.Addresses
	web  *http.Client
	net  func(ctx context.Context, network, addr string) (net.Conn, error) // to the server; nil: the system's
	key  string                                                            // of backends; empty under dev

	running *testapp.Running
}

// testConfig is a server on ports that are drawn, with data in a folder of the test's.
func testConfig(t testing.TB, store string) app.Config {
	cfg := testapp.Config(t)
	cfg.Shards = 8
	setStore(t, &cfg, store)
	cfg.Frontend.DrainTime = 250 * time.Millisecond
	cfg.Gateway.OpensPerSecond = 0
	cfg.Gateway.AppendTimeout = 10 * time.Second // the machine of a test may be busy
	return cfg
}

// serve starts a server that ends with the test, its ledger adding up.
func serve(t testing.TB, cfg app.Config) *server {
	t.Helper()
	return serveOver(t, cfg, &http.Transport{MaxIdleConnsPerHost: 64})
}

// serveOver is serve of a server that is asked over web.
func serveOver(t testing.TB, cfg app.Config, web *http.Transport) *server {
	t.Helper()
	s := &server{t: t, cfg: cfg, web: &http.Client{Transport: web}}
	s.start()
	t.Cleanup(func() {
		s.end()
		s.web.CloseIdleConnections()
	})
	return s
}

func (s *server) start() {
	s.t.Helper()
	s.running = testapp.Start(s.t, s.cfg)
	s.addr = s.running.At
	// It has its shards once nobody else can have them.
	untilWithin(s.t, "readiness", 3*patience, func() string {
		r, err := s.try("GET", s.backendURL("/readyz"), "")
		if err != nil || r.status != http.StatusOK {
			return fmt.Sprint(r, err)
		}
		return ""
	})
}

// end shuts the server down in order, if it still runs.
func (s *server) end() {
	s.t.Helper()
	s.running.End(s.t)
}

// restart ends the server in order and starts it on the same data, on other ports.
func (s *server) restart() {
	s.t.Helper()
	s.end()
	s.web.CloseIdleConnections()
	s.start()
}

// reply is the answer to an HTTP request.
type reply struct {
	status int
	header http.Header
	body   string
}

// do asks over HTTP. A body that is empty is none.
func (s *server) do(method, url, body string, header ...string) reply {
	s.t.Helper()
	r, err := s.try(method, url, body, header...)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, url, err)
	}
	return r
}

func (s *server) try(method, url, body string, header ...string) (reply, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var in io.Reader
	if body != "" {
		in = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, url, in)
	if err != nil {
		return reply{}, err
	}
	for i := 0; i+1 < len(header); i += 2 {
		if header[i] == "Host" {
			req.Host = header[i+1]
		}
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := s.web.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, resp.Header, string(b)}, err
}

// backend asks port 9080.
func (s *server) backend(method, path, body string, header ...string) reply {
	s.t.Helper()
	if s.key != "" {
		header = append([]string{"Authorization", "Bearer " + s.key}, header...)
	}
	return s.do(method, s.backendURL(path), body, header...)
}

func (s *server) backendURL(path string) string {
	return scheme(s.cfg.TLS.Backends.Configured()) + s.addr.Backends + path
}

func (s *server) deviceURL(path string) string {
	return scheme(s.cfg.TLS.Devices.Configured()) + s.addr.Devices + path
}

func scheme(tls bool) string {
	if tls {
		return "https://"
	}
	return "http://"
}

// pace is how often until asks: asking without any pause would keep a small machine from what is waited for.
const pace = 5 * time.Millisecond

// until asks holds again and again, until it answers "".
func until(t testing.TB, what string, holds func() string) {
	t.Helper()
	untilWithin(t, what, patience, holds)
}

func untilWithin(t testing.TB, what string, within time.Duration, holds func() string) {
	t.Helper()
	tick := time.NewTicker(pace)
	defer tick.Stop()
	last := ""
	for end := time.Now().Add(within); time.Now().Before(end); <-tick.C {
		if last = holds(); last == "" {
			return
		}
	}
	t.Fatalf("%s: not within %v: %s", what, within, last)
}

// same is "" where got is want.
func same[T comparable](what string, got, want T) string {
	if got == want {
		return ""
	}
	return fmt.Sprintf("%s is %v, want %v", what, got, want)
}
