package system

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"ramen/internal/testapp"
	"ramen/internal/testserver/faultproxy"
	"ramen/internal/testserver/redistest"
)

// onSilentRedis is a server on a Redis of its own, which can be silent.
func onSilentRedis(t *testing.T) (*server, *redistest.Server) {
	r := redistest.Single(t, redistest.Options{Proxied: true})
	cfg := testConfig(t, memory)
	cfg.Gateway.AckTimeoutOneWay = time.Minute // leases end at their own pace, and windows are full meanwhile
	testapp.SetStore(t, &cfg, r.URL())
	return serve(t, cfg), r
}

// lost is how many shards the server has lost so far.
func (s *server) lost() float64 {
	return s.metric("ramen_gateway_shard_transitions_total", `state="lost"`)
}

// loseLeases has r not answer until every lease has ended, and waits until the server has all its shards again.
func (s *server) loseLeases(r *redistest.Server) {
	s.t.Helper()
	before := s.lost()
	r.Proxy.Swallow(s.t, faultproxy.Answers)
	until(s.t, "end of the leases", func() string { return same("lost", s.lost() >= before+float64(s.cfg.Shards), true) })
	r.Proxy.Heal(s.t)
	untilWithin(s.t, "ownership", 3*patience, func() string {
		if r, err := s.try("GET", s.backendURL("/readyz"), ""); err != nil || r.status != http.StatusOK {
			return fmt.Sprint(r, err)
		}
		return same("shards served", s.metric("ramen_gateway_shards", `state="serving"`), float64(s.cfg.Shards))
	})
}

// A lease ends and is taken again by the same process, which has forgotten what it had not saved. A stream goes on where it was, on the same
// connection; a cursor is resumed exactly, over every transport; without one, or by the first form, nothing is missed.
func TestRule03ResumeAfterALostLease(t *testing.T) {
	t.Parallel()
	s, r := onSilentRedis(t)
	const n = 20
	want := ordered(numbered("", "m", n, mixed...))
	type half struct {
		staying, leaving *conn
		at               place
		got              []string
		user             string
	}
	var all []*half
	for _, transport := range transports {
		h := &half{user: "u-" + transport}
		s.publishAll(numbered(h.user, "m", n, mixed...))
		window := 7
		if transport != "poll" {
			h.staying = s.open(t, transport, place{user: h.user, device: "stays", window: window})
			equal(t, transport+" before", h.staying.ids(window), want[:window])
		}
		h.at = place{user: h.user, device: "leaves", window: window}
		h.leaving = s.open(t, transport, h.at)
		h.got = h.leaving.ids(window)
		h.at.cursor = h.leaving.last.Cursor
		if err := h.leaving.ack(h.leaving.last.Seq); err != nil {
			t.Fatal(err)
		}
		s.untilPending(h.user, "leaves", n-window)
		h.leaving.close()
		all = append(all, h)
	}
	s.loseLeases(r)
	for k, h := range all {
		transport := transports[k]
		if h.staying != nil {
			h.staying.ackOnceOpen()
			var got []string
			for len(got) < n-7 {
				got = append(got, h.staying.ids(1)...)
				h.staying.ackAll()
			}
			equal(t, transport+" goes on", got, want[7:])
		}
		h.at.window = n
		c := s.open(t, transports[(k+1)%len(transports)], h.at)
		if !c.hello.Resumed {
			t.Errorf("over %s, then %s: hello is %+v", transport, c.transport, c.hello)
		}
		equal(t, transport+" resumed over "+c.transport, append(h.got, c.ids(n-len(h.got))...), want)
		c.ackAll()
		s.untilPending(h.user, "leaves", 0)
		c.close()
		fresh := s.open(t, transport, place{user: h.user, device: "new", window: n})
		got := fresh.ids(len(s.waiting(h.user)))
		if !slices.Equal(got, s.waiting(h.user)) {
			t.Errorf("%s: a new device got %v of %v", transport, got, s.waiting(h.user))
		}
	}
}

// ackOnceOpen acks what came last, by seq: that is known to the owner once the stream has been opened there again.
func (c *conn) ackOnceOpen() {
	c.t.Helper()
	err := c.ack(c.last.Seq)
	for end := time.Now().Add(patience); err != nil && time.Now().Before(end); err = c.ack(c.last.Seq) {
		time.Sleep(10 * time.Millisecond)
	}
	if err != nil {
		c.t.Fatalf("%s: ack %d: %v", c.transport, c.last.Seq, err)
	}
}
