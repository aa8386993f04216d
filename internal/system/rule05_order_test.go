package system

import (
	"testing"
)

// The oldest of the highest priority comes first.
func TestRule05OrderOverLanes(t *testing.T) {
	matrix(t, stores, func(t *testing.T, s *server, open opener) {
		batch := numbered("u1", "m", 70, mixed...)
		s.publishAll(batch[:40])
		for _, m := range batch[40:] {
			s.publish(m)
		}
		c := open(place{user: "u1", device: "d1"})
		equal(t, "what waited", c.ids(70), ordered(batch))
		c.ackAll()
		s.untilWaiting("u1", 0)
	})
}

// What waits for room in the window is overtaken by what is more urgent.
func TestRule05OrderIsDecidedAtThePush(t *testing.T) {
	matrix(t, stores, func(t *testing.T, s *server, open opener) {
		s.publishAll(numbered("u1", "low", 3, "low"))
		c := open(place{user: "u1", device: "d1", window: 1})
		equal(t, "alone", c.ids(1), []string{"low-1"})
		s.publishAll(numbered("u1", "medium", 2))
		s.publishAll(numbered("u1", "high", 2, "high"))
		var got []string
		for range 6 {
			c.ackAll()
			got = append(got, c.ids(1)...)
		}
		equal(t, "with a window of 1", got, []string{"high-1", "high-2", "medium-1", "medium-2", "low-2", "low-3"})
		c.ackAll()
		s.untilWaiting("u1", 0)
	})
}

// To a device that listens, one after the other.
func TestRule05OrderLive(t *testing.T) {
	matrix(t, stores, func(t *testing.T, s *server, open opener) {
		c := open(place{user: "u1", device: "d1"})
		batch := numbered("u1", "m", 20)
		want := ordered(batch)
		for _, m := range batch {
			s.publish(m)
		}
		equal(t, "live", c.ids(20), want)
		c.ackAll()
		s.untilWaiting("u1", 0)
	})
}
