package system

import "testing"

// What was not acked comes again on the next stream, and says so; what is new does not.
func TestRule06AtLeastOnce(t *testing.T) {
	matrix(t, stores, func(t *testing.T, s *server, open opener) {
		s.publishAll(numbered("u1", "m", 3))
		p := place{user: "u1", device: "d1"}
		c := open(p)
		for range 3 {
			if push := c.push(); push.Redelivered {
				t.Errorf("the first push of %s says redelivered", push.Message.ID)
			}
		}
		if err := c.ack(1); err != nil {
			t.Fatal(err)
		}
		s.untilPending("u1", "d1", 2)
		c.close()
		s.untilOffline("u1", "d1")
		s.publish(msg{"user": "u1", "id": "m-4"})
		c = open(p)
		for _, want := range []string{"m-2", "m-3", "m-4"} {
			if push := c.push(); string(push.Message.ID) != want || push.Redelivered != (want != "m-4") {
				t.Errorf("want %s, pushed %s, redelivered %v", want, push.Message.ID, push.Redelivered)
			}
		}
		c.ackAll()
		s.untilWaiting("u1", 0)
	})
}

// A restart in order forgets neither what was acked nor what was pushed.
func TestRule06AtLeastOnceAfterARestart(t *testing.T) {
	matrix(t, durable, func(t *testing.T, s *server, open opener) {
		s.publishAll(numbered("u1", "m", 3))
		c := open(place{user: "u1", device: "d1"})
		c.ids(2 + 1)
		if err := c.ack(1); err != nil {
			t.Fatal(err)
		}
		s.untilPending("u1", "d1", 2)
		c.close()
		s.restart()
		s.publish(msg{"user": "u1", "id": "m-4"})
		c = open(place{user: "u1", device: "d1"})
		for _, want := range []string{"m-2", "m-3", "m-4"} {
			if push := c.push(); string(push.Message.ID) != want || push.Redelivered != (want != "m-4") {
				t.Errorf("want %s, pushed %s, redelivered %v", want, push.Message.ID, push.Redelivered)
			}
		}
	})
}

// Redelivered is true only where this device was pushed the message before.
func TestRule06RedeliveredIsPerDevice(t *testing.T) {
	matrix(t, []string{memory}, func(t *testing.T, s *server, open opener) {
		s.publish(msg{"user": "u1"})
		c := open(place{user: "u1", device: "d1"})
		c.push()
		c.close()
		if push := open(place{user: "u1", device: "d2"}).push(); push.Redelivered {
			t.Error("a device that never saw it is told redelivered")
		}
		if push := open(place{user: "u1", device: "d1"}).push(); !push.Redelivered {
			t.Error("the device that saw it is not told redelivered")
		}
	})
}
