package system

import (
	"testing"
	"time"
)

// What expired is not pushed, and hello tells how many, once.
func TestRule07ExpiryIsToldByHello(t *testing.T) {
	matrix(t, stores, func(t *testing.T, s *server, open opener) {
		p := place{user: "u1", device: "d1", context: map[string]string{"os": "ios"}}
		open(p).close()
		open(place{user: "u1", device: "d2"}).close()
		short := func(n int, fields msg) {
			batch := numbered("u1", "short", n)
			for i := range batch {
				batch[i]["id"], batch[i]["ttl_ms"] = "", 1000
				for k, v := range fields {
					batch[i][k] = v
				}
			}
			s.publishAll(batch)
		}
		short(4, nil)
		short(2, msg{"device": "d1"})
		short(2, msg{"device": "d2"})
		short(1, msg{"where": map[string]string{"os": "android"}})
		short(3, msg{"collapse_key": "k"}) // two of these are replaced
		id := s.publish(msg{"user": "u1", "ttl_ms": 60000})
		s.untilWaiting("u1", 1)
		if s.keeps() {
			s.restart()
		}
		c := open(p)
		if c.hello.Expired != 7 {
			t.Errorf("hello.expired is %d, want 7", c.hello.Expired)
		}
		equal(t, "what is left", c.ids(1), []string{id})
		c.ackAll()
		s.untilPending("u1", "d1", 0)
		c.close()
		if c = open(p); c.hello.Expired != 0 {
			t.Errorf("the next hello.expired is %d", c.hello.Expired)
		}
		if c = open(place{user: "u1", device: "d2"}); c.hello.Expired != 7 {
			t.Errorf("d2's hello.expired is %d, want 7", c.hello.Expired)
		}
		if c = open(place{user: "u1", device: "d3"}); c.hello.Expired != 0 {
			t.Errorf("the first hello of d3 tells of %d expired", c.hello.Expired)
		}
	})
}

// A message whose time is over is not pushed again either, and what was acked in time is no loss.
func TestRule07ExpiryOfWhatWasPushed(t *testing.T) {
	matrix(t, stores, func(t *testing.T, s *server, open opener) {
		p := place{user: "u1", device: "d1"}
		open(p).close()
		s.untilOffline("u1", "d1") // or the first stream may still be pushed to
		batch := numbered("u1", "m", 3)
		for i := range batch {
			batch[i]["ttl_ms"] = 10_000 // more than it takes to push and to ack them on a busy machine
		}
		s.publishAll(batch)
		c := open(p)
		c.ids(3)
		if err := c.ack(1); err != nil {
			t.Fatal(err)
		}
		s.untilPending("u1", "d1", 2)
		c.close()
		s.untilWaiting("u1", 0)
		last := s.publish(msg{"user": "u1"})
		c = open(p)
		if c.hello.Expired != 2 {
			t.Errorf("hello.expired is %d, want 2", c.hello.Expired)
		}
		equal(t, "after the expiry", c.ids(1), []string{last})
	})
}

// A window that is full of what expired gets what comes once it is acked; expiry is no ack.
func TestRule07ExpiredStaysInTheWindow(t *testing.T) {
	matrixOf(t, streaming, []string{memory}, nil, func(t *testing.T, s *server, open opener) {
		c := open(place{user: "u1", device: "d1", window: 1})
		s.publish(msg{"user": "u1", "ttl_ms": 1000})
		c.push()
		s.publish(msg{"user": "u1", "id": "next", "ttl_ms": 60000})
		until(t, "expiry", func() string { return same("waiting", len(s.waiting("u1")), 1) })
		if d := s.devices("u1")["d1"]; d.Pending != 1 || d.Unacked != 0 {
			t.Errorf("the list says %+v", d)
		}
		c.ackAll()
		equal(t, "behind the expired", c.ids(1), []string{"next"})
	})
}

// expires_ms is ttl_ms after created_ms; without ttl_ms 30 min; the bounds are 1 s and 24 h.
func TestRule07ExpiryTimes(t *testing.T) {
	t.Parallel()
	s := serve(t, testConfig(t, memory))
	c := s.open(t, "ws-json", place{user: "u1", device: "d1"})
	for ttl, want := range map[int]time.Duration{0: 30 * time.Minute, 1000: time.Second, 86_400_000: 24 * time.Hour} {
		s.publish(msg{"user": "u1", "ttl_ms": ttl})
		if m := c.push().Message; time.Duration(m.ExpiresMS-m.CreatedMS)*time.Millisecond != want {
			t.Errorf("ttl_ms %d: created %d, expires %d", ttl, m.CreatedMS, m.ExpiresMS)
		}
	}
	for _, ttl := range []int{1, 999, 86_400_001} {
		if r := s.backend("POST", "/v1/publish", encode(msg{"user": "u1", "ttl_ms": ttl})); r.status != 400 {
			t.Errorf("ttl_ms %d: %d %s", ttl, r.status, r.body)
		}
	}
	c.ackAll()
	s.checkLedger()
}
