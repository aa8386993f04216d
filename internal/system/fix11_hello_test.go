package system

import (
	"testing"

	"ramen/protocol"
)

// A device that was pushed nothing has its place from hello: it comes back with it over any transport, after a restart too, and
// is resumed. What was pushed to it meanwhile, and not processed, comes again. SPEC 2.2.
func TestFix11HelloCarriesThePlaceOfItsStream(t *testing.T) {
	matrix(t, durable, func(t *testing.T, s *server, open opener) {
		p := place{user: "u1", device: "d1", wait: 1}
		c := open(p)
		p.cursor = c.hello.Cursor
		if c.hello.Resumed || !protocol.ValidCursor(p.cursor) {
			t.Fatalf("the first hello is %+v", c.hello)
		}
		c.close()
		s.restart()
		for _, transport := range transports {
			c := s.open(t, transport, p)
			if !c.hello.Resumed || c.hello.Seq != 0 {
				t.Errorf("over %s, hello is %+v", transport, c.hello)
			}
			p.cursor = c.hello.Cursor
			c.close()
		}
		s.publishAll(numbered("u1", "m", 3))
		c = open(p)
		equal(t, "behind hello's place", c.ids(3), []string{"m-1", "m-2", "m-3"})
		c.close() // nothing was processed
		for _, transport := range streaming {
			c := s.open(t, transport, p)
			if !c.hello.Resumed {
				t.Errorf("over %s, hello is %+v", transport, c.hello)
			}
			equal(t, "again over "+transport, c.ids(3), []string{"m-1", "m-2", "m-3"})
			p.cursor = c.hello.Cursor
			c.close()
		}
		s.untilWaiting("u1", 3)
	})
}

// Without a cursor, or with one that counts no more, hello's place is behind what the device has acked.
func TestFix11HelloOfAStreamThatWasNotResumedHasAPlaceToo(t *testing.T) {
	matrixOf(t, streaming, stores, nil, func(t *testing.T, s *server, open opener) {
		s.publishAll(numbered("u1", "m", 4))
		p := place{user: "u1", device: "d1"}
		c := open(p)
		c.ids(2)
		c.ackAll()
		s.untilPending("u1", "d1", 2)
		c.close()
		p.cursor = "k3.forged"
		c = open(p)
		if c.hello.Resumed {
			t.Errorf("with a forged cursor hello is %+v", c.hello)
		}
		p.cursor = c.hello.Cursor
		c.close()
		c = open(p)
		if !c.hello.Resumed {
			t.Errorf("with hello's cursor hello is %+v", c.hello)
		}
		equal(t, "behind the ack", c.ids(2), []string{"m-3", "m-4"})
	})
}
