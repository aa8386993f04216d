package system

import (
	"testing"

	"ramen/protocol"
)

// A message that is published arrives, with all that was published, and is gone once it is acked.
func TestMessageArrives(t *testing.T) {
	matrix(t, stores, func(t *testing.T, s *server, open opener) {
		p := place{user: "u1", device: "d1"}
		first := s.publish(msg{"user": "u1", "type": "trip.offer", "priority": "high", "ttl_ms": 60000, "payload": map[string]any{"fare": 12}, "headers": map[string]string{"k": "v"}})
		c := open(p)
		m := c.push().Message
		if string(m.ID) != first || m.Type != "trip.offer" || m.Priority != protocol.PriorityHigh || m.ExpiresMS-m.CreatedMS != 60000 ||
			string(m.Payload) != `{"fare":12}` || m.ContentType != "application/json" || m.Headers["k"] != "v" {
			t.Errorf("pushed %+v", m)
		}
		c.ackAll()
		s.untilWaiting("u1", 0)
		second := s.publish(msg{"user": "u1", "payload_b64": "AAH/", "content_type": "application/x-bytes"})
		if m := c.push().Message; string(m.ID) != second || string(m.Payload) != "\x00\x01\xff" || m.ContentType != "application/x-bytes" || m.Priority != protocol.PriorityMedium {
			t.Errorf("pushed %+v", m)
		}
		c.ackAll()
		s.untilWaiting("u1", 0)
	})
}
