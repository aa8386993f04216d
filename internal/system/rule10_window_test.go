package system

import (
	"strings"
	"testing"

	"ramen/internal/app"
)

// untilUnacked waits until n pushes of the device are unacked, of all that are pending.
func (s *server) untilUnacked(user, device string, n, pending int) {
	s.t.Helper()
	until(s.t, "window of "+user+"/"+device, func() string {
		d := s.devices(user)[device]
		if why := same("unacked", d.Unacked, n); why != "" {
			return why
		}
		return same("pending", d.Pending, pending)
	})
}

// A window of pushes goes out unacked, no more; each ack makes room for as much.
func TestRule10WindowOfPushes(t *testing.T) {
	matrix(t, stores, func(t *testing.T, s *server, open opener) {
		const n = 1030
		all := numbered("u1", "m", n)
		s.publishAll(all[:1000])
		s.publishAll(all[1000:])
		want := ordered(all)
		window := 1024
		if strings.HasPrefix(transportOf(t), "ws") || transportOf(t) == "grpc" {
			window = 256
		}
		c := open(place{user: "u1", device: "d1", window: 100_000}) // more is cut to the most
		equal(t, "the window", c.ids(window), want[:window])
		if c.transport == "poll" {
			if left := len(c.device.(*pollDevice).frames); left != 0 {
				t.Errorf("the answer has %d more than the window", left)
			}
			equal(t, "the next poll", c.ids(n-window), want[window:])
			return
		}
		s.untilUnacked("u1", "d1", window, n)
		if err := c.ack(2); err != nil {
			t.Fatal(err)
		}
		equal(t, "behind an ack of 2", c.ids(2), want[window:window+2])
		s.untilUnacked("u1", "d1", window, n-2)
	})
}

// A device may ask for a smaller window.
func TestRule10WindowIsAskedFor(t *testing.T) {
	matrixOf(t, transports, stores, nil, func(t *testing.T, s *server, open opener) {
		s.publishAll(numbered("u1", "m", 9))
		c := open(place{user: "u1", device: "d1", window: 3})
		c.ids(3)
		if c.transport == "poll" {
			if left := len(c.device.(*pollDevice).frames); left != 0 {
				t.Errorf("the answer has %d more than the window", left)
			}
			return
		}
		s.untilUnacked("u1", "d1", 3, 9)
		c.ackAll()
		c.ids(3)
		s.untilUnacked("u1", "d1", 3, 6)
	})
}

// A window of payload goes out unacked.
func TestRule10WindowOfBytes(t *testing.T) {
	matrix(t, []string{memory}, func(t *testing.T, s *server, open opener) {
		const size, n = 60 << 10, 80
		batch := numbered("u1", "m", n)
		for i := range batch {
			batch[i]["payload"] = strings.Repeat("x", size-2) // and two quotes
			s.publish(batch[i])
		}
		window := 4 << 20 / size
		if strings.HasPrefix(transportOf(t), "ws") || transportOf(t) == "grpc" {
			window = 1 << 20 / size
		}
		c := open(place{user: "u1", device: "d1"})
		if c.transport == "poll" { // an answer is one response, bounded by the server besides
			got := c.ids(n)
			equal(t, "over several polls", got, ordered(batch))
			return
		}
		equal(t, "the window", c.ids(window), ordered(batch)[:window])
		s.untilUnacked("u1", "d1", window, n)
		c.ackAll()
		equal(t, "behind the ack", c.ids(min(window, n-window)), ordered(batch)[window:min(2*window, n)])
	})
}

// One push always fits, and a larger one is not overtaken by a smaller of its priority that would fit.
func TestRule10OnePushAlwaysFits(t *testing.T) {
	big := func(cfg *app.Config) { cfg.Backend.Publish.MaxPayload = 1 << 20 }
	matrixOf(t, transports, stores, big, func(t *testing.T, s *server, open opener) {
		most := strings.Repeat("x", 1<<20-2)
		for _, m := range []msg{{"id": "m-1", "payload": 1}, {"id": "m-2", "payload": most}, {"id": "m-3", "payload": 3}} {
			m["user"] = "u1"
			s.publish(m)
		}
		c := open(place{user: "u1", device: "d1"})
		equal(t, "first", c.ids(1), []string{"m-1"})
		if c.transport != "poll" {
			if strings.HasPrefix(c.transport, "ws") || c.transport == "grpc" {
				s.untilUnacked("u1", "d1", 1, 3)
			}
			c.ackAll()
		}
		if m := c.push().Message; string(m.ID) != "m-2" || len(m.Payload) != 1<<20 {
			t.Errorf("the largest came as %s with %d bytes", m.ID, len(m.Payload))
		}
		if c.transport != "poll" {
			c.ackAll()
		}
		equal(t, "last", c.ids(1), []string{"m-3"})
		c.ackAll()
		s.untilWaiting("u1", 0)
	})
}
