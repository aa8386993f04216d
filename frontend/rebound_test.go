package frontend

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

const handshake = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"

// TestFix04ReboundNameIsForbiddenWithoutAuthentication: a page that has let its own name point here is of the gateway's own origin,
// and its requests by GET have none.
func TestFix04ReboundNameIsForbiddenWithoutAuthentication(t *testing.T) {
	open := newBench(t, func(c *Config, _ *Deps) { c.LoopbackOrigins = true })
	closed := newBench(t, func(_ *Config, d *Deps) { d.Tokens = someTokens() })
	for _, host := range []string{"evil.example", "evil.example:8080", "localhost.evil.example", "rebind"} {
		for _, origin := range []string{"", "Origin: http://" + host + "\r\n", "Origin: http://localhost:3000\r\n", "Origin: null\r\n"} {
			for _, start := range []string{
				"GET /ramen/receive?user=u&device=d", "GET /ramen/poll?user=u&device=d&wait=0", "GET /ramen/ack?user=u&device=d&cursor=k",
				"POST /ramen/ack?user=u&device=d&cursor=k", "OPTIONS /ramen/receive?", "GET /ramen/ws?user=u&device=d", "GET /healthz", "GET /nothing",
			} {
				more := origin
				if strings.Contains(start, "/ws") {
					more += handshake
				}
				request := start + " HTTP/1.1\r\nHost: " + host + "\r\n" + more + "\r\n"
				c := dialTCP(t, open)
				c.SetDeadline(time.Now().Add(20 * time.Second))
				resp, r := dialRaw(t, c, request)
				var body bytes.Buffer
				io.CopyN(&body, r, resp.ContentLength)
				c.Close()
				if resp.StatusCode != 403 || !strings.Contains(body.String(), `"permission_denied"`) || resp.Header.Get("Access-Control-Allow-Origin") != "" {
					t.Errorf("%s at %s: %s %v %s", start, host, resp.Status, resp.Header, body.String())
				}
				if strings.HasPrefix(start, "GET /healthz") && origin == "" {
					if got := closed.rawStatus(t, request); got != 200 {
						t.Errorf("with authentication: %s at %s answered %d", start, host, got)
					}
				}
			}
		}
	}
	for _, host := range []string{"localhost", "LocalHost:8080", "app.localhost", "127.0.0.1", "192.168.7.1:8080", "[::1]", "[fe80::1]:8080"} {
		for _, start := range []string{"GET /ramen/receive?user=u&device=d", "GET /ramen/poll?user=u&device=d&wait=0", "GET /healthz"} {
			if got := open.rawStatus(t, start+" HTTP/1.1\r\nHost: "+host+"\r\n\r\n"); got != 200 {
				t.Errorf("%s at %s answered %d", start, host, got)
			}
		}
	}
	if got := open.rawStatus(t, "GET /healthz HTTP/1.0\r\n\r\n"); got != 200 { // no browser
		t.Errorf("without a Host: %d", got)
	}
	// Over HTTP/2 the authority is the host.
	p := new(http.Protocols)
	p.SetHTTP2(true)
	h2 := &http.Transport{TLSClientConfig: open.roots.Clone(), Protocols: p}
	defer h2.CloseIdleConnections()
	r, _ := http.NewRequest("GET", "https://"+open.secure+"/ramen/poll?user=u&device=d&wait=0", nil)
	r.Host = "evil.example"
	resp, err := h2.RoundTrip(r)
	if err != nil || resp.StatusCode != 403 {
		t.Fatalf("HTTP/2: %v %v", resp, err)
	}
	resp.Body.Close()
}

// TestFix13PagesThatAreKeptOutAreCountedAndTold, each by its reason, and others are not.
func TestFix13PagesThatAreKeptOutAreCountedAndTold(t *testing.T) {
	for _, c := range []struct {
		name, request, reason string
		tokens                bool
	}{
		{"a stream", "GET /ramen/receive?user=u&device=d HTTP/1.1\r\nHost: localhost\r\nOrigin: https://page.example\r\n\r\n", pageCORS, false},
		{"a poll", "GET /ramen/poll?user=u&device=d&wait=0 HTTP/1.1\r\nHost: localhost\r\nOrigin: https://page.example\r\n\r\n", pageCORS, false},
		{"a preflight", "OPTIONS /ramen/ack HTTP/1.1\r\nHost: localhost\r\nOrigin: https://page.example\r\n\r\n", pageCORS, false},
		{"a WebSocket", "GET /ramen/ws?user=u&device=d HTTP/1.1\r\nHost: localhost\r\nOrigin: https://page.example\r\n" + handshake + "\r\n", pageWebSocket, false},
		{"a name", "GET /ramen/poll?user=u&device=d&wait=0 HTTP/1.1\r\nHost: evil.example\r\nOrigin: http://evil.example\r\n\r\n", pageHost, false},
		{"no page", "GET /ramen/poll?user=u&device=d&wait=0 HTTP/1.1\r\nHost: localhost\r\n\r\n", "", false},
		{"its own", "GET /ramen/poll?token=u&device=d&wait=0 HTTP/1.1\r\nHost: push.example\r\nOrigin: https://push.example\r\n\r\n", "", true},
		{"one that is let in", "GET /ramen/receive?user=u&device=d HTTP/1.1\r\nHost: localhost\r\nOrigin: https://app.example\r\n\r\n", "", false},
		{"a WebSocket that is let in", "GET /ramen/ws?user=u&device=d HTTP/1.1\r\nHost: localhost\r\nOrigin: https://app.example\r\n" + handshake + "\r\n", "", false},
	} {
		reg, log := prometheus.NewRegistry(), new(lockedBuffer)
		b := newBench(t, func(cfg *Config, d *Deps) {
			cfg.Origins, d.Metrics = []string{"https://app.example"}, reg
			d.Logger = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
			if c.tokens {
				d.Tokens = someTokens()
			}
		})
		b.rawStatus(t, c.request)
		for _, reason := range pageReasons {
			want := 0.0
			if reason == c.reason {
				want = 1
			}
			if got := pageRefusals(t, reg, reason); got != want {
				t.Errorf("%s: %v are counted as %s, not %v", c.name, got, reason, want)
			}
		}
		told := strings.Contains(log.String(), "reason="+c.reason) && strings.Contains(log.String(), "frontend.origins")
		if told != (c.reason != "") || strings.Contains(log.String(), "device=d") && c.reason != "" && strings.Contains(log.String(), "user=u&") {
			t.Errorf("%s: the log says %s", c.name, log.String())
		}
	}
}

func pageRefusals(t *testing.T, reg *prometheus.Registry, reason string) float64 {
	t.Helper()
	all, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range all {
		for _, m := range family.GetMetric() {
			if family.GetName() == "ramen_frontend_page_refusals_total" && fmt.Sprint(m.GetLabel()) == fmt.Sprint([]*dto.LabelPair{{Name: new("reason"), Value: &reason}}) {
				return m.GetCounter().GetValue()
			}
		}
	}
	t.Fatalf("there is no counter of %s", reason)
	return 0
}

// lockedBuffer is a log that is written and read at once.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
