package system

import (
	"context"
	"net/http"
	"strconv"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"ramen/internal/app"
)

// Every stream is asked to leave with a time, is pushed to until it ends, and ends within the drain time; new ones are told to
// come back.
func TestRule12DrainAsksThenEnds(t *testing.T) {
	slow := func(cfg *app.Config) { cfg.Frontend.DrainTime = 3 * time.Second }
	for _, transport := range streaming {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			cfg := testConfig(t, pebble)
			slow(&cfg)
			s := serve(t, cfg)
			c := s.open(t, transport, place{user: "u1", device: "d1"})
			s.running.Stop()
			f, err := c.frame()
			if err != nil || f.GoAway.Reason.String() != "drain" || f.GoAway.ReconnectMS == 0 || f.GoAway.ReconnectMS > 3000 {
				t.Fatalf("%+v, %v", f, err)
			}
			for _, transport := range transports {
				expectDraining(t, s, transport)
			}
			id := s.publish(msg{"user": "u1"}) // still served
			equal(t, "while it drains", c.ids(1), []string{id})
			c.ackAll()
			e := c.end()
			e.goaway = &f.GoAway
			expectEnd(t, transport, e, "drain")
			s.end()
			s.start()
			if w := s.waiting("u1"); len(w) != 0 {
				t.Errorf("the last ack is forgotten: %v wait", w)
			}
			s.checkLedger()
		})
	}
}

// expectDraining opens a stream on a server that drains. SPEC 5.
func expectDraining(t *testing.T, s *server, transport string) {
	t.Helper()
	e := s.refused(t, transport, place{user: "u2", device: "d1"})
	switch transport {
	case "sse":
		if e.goaway == nil || e.goaway.Reason.String() != "drain" || e.status != 0 {
			t.Errorf("sse: refused with %v", e)
		}
	case "grpc":
		if e.code == nil || *e.code != codes.Unavailable {
			t.Errorf("grpc: refused with %v", e)
		}
	default:
		if n, err := strconv.Atoi(e.retry); e.status != http.StatusServiceUnavailable || e.body.Code != "unavailable" || err != nil || n < 1 {
			t.Errorf("%s: refused with %v, Retry-After %q", transport, e, e.retry)
		}
	}
}

// A stream that is old enough is asked to move on.
func TestRule12RebalanceAtTheAge(t *testing.T) {
	old := func(cfg *app.Config) { cfg.Frontend.MaxAge = time.Second }
	matrixOf(t, streaming, []string{memory}, old, func(t *testing.T, s *server, open opener) {
		c := open(place{user: "u1", device: "d1"})
		e := c.end()
		expectEnd(t, c.transport, e, "rebalance")
		if e.goaway.ReconnectMS > 250 {
			t.Errorf("reconnect_ms is %d, the drain time 250", e.goaway.ReconnectMS)
		}
	})
}

// A device that moves opens its next stream while it reads the old one: nothing is lost, and the old one is superseded.
func TestRule12MovingLosesNothing(t *testing.T) {
	old := func(cfg *app.Config) {
		cfg.Frontend.MaxAge = time.Second
		cfg.Frontend.DrainTime = 5 * time.Second
	}
	matrixOf(t, streaming, []string{memory}, old, func(t *testing.T, s *server, open opener) {
		c := open(place{user: "u1", device: "d1"})
		s.publish(msg{"user": "u1", "id": "m-1"})
		equal(t, "before", c.ids(1), []string{"m-1"})
		f, err := c.frame()
		if err != nil || f.GoAway.Reason.String() != "rebalance" {
			t.Fatalf("%+v, %v", f, err)
		}
		s.publish(msg{"user": "u1", "id": "m-2"})
		equal(t, "after goaway", c.ids(1), []string{"m-2"})
		next := open(place{user: "u1", device: "d1", cursor: c.last.Cursor})
		expectEnd(t, c.transport, c.end(), "superseded")
		s.publish(msg{"user": "u1", "id": "m-3"})
		equal(t, "on the next", next.ids(1), []string{"m-3"})
		next.ackAll()
		s.untilWaiting("u1", 0)
	})
}

// A backend ends the streams of a device or of a user, with its words.
func TestRule12Disconnect(t *testing.T) {
	matrixOf(t, streaming, []string{memory}, nil, func(t *testing.T, s *server, open opener) {
		a, b, c := open(place{user: "u1", device: "d1"}), open(place{user: "u1", device: "d2"}), open(place{user: "u1", device: "d3"})
		disconnect := func(body, want string) {
			t.Helper()
			if r := s.backend("POST", "/v1/users/u1/disconnect", body); r.status != 200 || jsonField(r.body, "streams") != want {
				t.Fatalf("disconnect %s: %d %s, want %s streams", body, r.status, r.body, want)
			}
		}
		disconnect(`{"device":"d1","detail":"logged out"}`, "1")
		e := a.end()
		expectEnd(t, a.transport, e, "disconnected")
		if e.goaway.Detail != "logged out" {
			t.Errorf("detail is %q", e.goaway.Detail)
		}
		disconnect(`{"device":"d1"}`, "0")
		disconnect("", "2")
		expectEnd(t, b.transport, b.end(), "disconnected")
		expectEnd(t, c.transport, c.end(), "disconnected")
		disconnect("{}", "0")
	})
}

// A poll that waits is ended at once by drain and by a backend's wish.
func TestRule12PollIsAnsweredAtOnce(t *testing.T) {
	t.Parallel()
	for _, reason := range []string{"drain", "disconnected"} {
		t.Run(reason, func(t *testing.T) {
			t.Parallel()
			s := serve(t, testConfig(t, memory))
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			done := make(chan reply, 1)
			go func() {
				r, err := s.try("GET", s.deviceURL("/ramen/poll?user=u1&device=d1&wait=60"), "")
				if err != nil {
					r.body = err.Error()
				}
				done <- r
			}()
			until(t, "the poll", func() string { return same("online", s.devices("u1")["d1"].Online, true) })
			if reason == "drain" {
				s.running.Stop()
			} else {
				s.backend("POST", "/v1/users/u1/disconnect", "")
			}
			select {
			case r := <-done:
				var a struct {
					Cursor   string
					Messages []any
					GoAway   struct {
						Reason      string
						ReconnectMS int `json:"reconnect_ms"`
					}
				}
				s.decode(r.body, &a)
				if r.status != 200 || a.GoAway.Reason != reason || len(a.Messages) > 0 || a.Cursor == "" || (a.GoAway.ReconnectMS > 0) != (reason == "drain") {
					t.Errorf("answered %d %s", r.status, r.body)
				}
			case <-ctx.Done():
				t.Error("it still waits")
			}
		})
	}
}
