package system

import (
	"net/http"
	"runtime"
	"strconv"
	"testing"
	"time"

	"ramen/internal/app"
)

// expectLater fails unless e tells a device to come back later, as its transport can hear it. SPEC 4, 5.
func expectLater(t *testing.T, s *server, transport, reason string) {
	t.Helper()
	e := s.refused(t, transport, place{user: "u1", device: "late"})
	limited := reason == "resource_exhausted"
	status := map[bool]int{true: http.StatusTooManyRequests, false: http.StatusServiceUnavailable}[limited]
	switch transport {
	case "sse":
		if e.goaway == nil || e.goaway.Reason.String() != reason || e.status != 0 {
			t.Errorf("sse: %v", e)
		}
		r := s.do("GET", s.deviceURL("/ramen/receive?user=u1&device=late"), "")
		d := sseDevice{}
		if err := d.decoder.Feed([]byte(r.body), d.take); err != nil || r.status != 200 || len(d.frames) != 1 || d.retryMS < 2000 || d.retryMS > 10000 {
			t.Errorf("sse: %d %q, %v", r.status, r.body, err)
		}
	case "grpc":
		if want := ends[reason].code; e.code == nil || *e.code != want {
			t.Errorf("grpc: %v, want %v", e, want)
		}
	default:
		if transport != "poll" && limited {
			if e.close != 4529 || e.goaway != nil {
				t.Errorf("%s: %v, want the close code 4529", transport, e)
			}
			return
		}
		if n, err := strconv.Atoi(e.retry); e.status != status || e.body.Code != reason || err != nil || n < 1 {
			t.Errorf("%s: %v, Retry-After %q", transport, e, e.retry)
		}
	}
}

// A server with as many streams as it serves tells others to come later.
func TestOverloadIsTold(t *testing.T) {
	matrixOf(t, transports, []string{memory}, func(cfg *app.Config) { cfg.Frontend.MaxStreams = 1 }, func(t *testing.T, s *server, open opener) {
		c := s.open(t, "sse", place{user: "u1", device: "d1"})
		expectLater(t, s, transportOf(t), "unavailable")
		s.publish(msg{"user": "u1"})
		c.push() // it is left alone
		c.ackAll()
		c.close()
		s.untilOffline("u1", "d1")
		until(t, "a place", func() string {
			c, err := s.dial(t, transportOf(t), place{user: "u1", device: "late"})
			if err != nil {
				return err.Error()
			}
			c.close()
			return ""
		})
	})
}

// A user that opens too many streams a second is told to slow down.
func TestOpensOfOneUserAreLimited(t *testing.T) {
	limit := func(cfg *app.Config) { cfg.Gateway.OpensPerSecond, cfg.Gateway.OpensBurst = 0.01, 1 }
	matrixOf(t, transports, []string{memory}, limit, func(t *testing.T, s *server, open opener) {
		s.open(t, "sse", place{user: "u1", device: "d1"})
		expectLater(t, s, transportOf(t), "resource_exhausted")
		open(place{user: "u2", device: "d1"})
	})
}

// So is an address, for acks too.
func TestOpensOfOneSourceAreLimited(t *testing.T) {
	matrixOf(t, transports, []string{memory}, func(cfg *app.Config) { cfg.Frontend.MaxStreamsPerSource = 1 }, func(t *testing.T, s *server, open opener) {
		s.open(t, "sse", place{user: "u2", device: "d1"})
		expectLater(t, s, transportOf(t), "resource_exhausted")
	})
	t.Run("ack", func(t *testing.T) {
		cfg := testConfig(t, memory)
		cfg.Frontend.OpensPerSecondPerSource = 1
		s := serve(t, cfg)
		until(t, "429", func() string {
			r := s.do("POST", s.deviceURL("/ramen/ack?user=u&device=d&seq=0&stream=x"), "")
			if r.status == 429 && (r.header.Get("Retry-After") == "" || jsonCode(r.body) != "resource_exhausted") {
				t.Errorf("429 with Retry-After %q: %s", r.header.Get("Retry-After"), r.body)
			}
			return same("status", r.status, 429)
		})
	})
}

// A user's devices are at most 64: for a new one the longest unseen without a stream is forgotten. SPEC 1.
func TestDevicesOfOneUserAreLimited(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t, memory)
	s := serve(t, cfg)
	var open []*conn
	for i := range 64 {
		open = append(open, s.open(t, "sse", place{user: "u1", device: "d" + strconv.Itoa(i)}))
	}
	for _, transport := range transports {
		expectLater(t, s, transport, "resource_exhausted")
	}
	again := s.open(t, "sse", place{user: "u1", device: "d7"}) // one that is known
	expectEnd(t, "sse", open[7].end(), "superseded")
	open[9].close()
	s.untilOffline("u1", "d9")
	for seen := time.Now(); time.Since(seen) < 2*time.Millisecond; { // last-seen times are kept in ms
		runtime.Gosched()
	}
	open[3].close()
	s.untilOffline("u1", "d3")
	s.open(t, "grpc", place{user: "u1", device: "new"})
	if d := s.devices("u1"); len(d) != 64 || d["d9"].Device != "" || d["d3"].Device == "" || d["new"].Device == "" {
		t.Errorf("%d devices are known, d9 %v, d3 %v, new %v", len(d), d["d9"], d["d3"], d["new"])
	}
	s.publish(msg{"user": "u1"})
	again.push()
	s.checkLedger()
}
