package system

import (
	"regexp"
	"testing"
	"time"

	"ramen/protocol"
)

var streamName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,32}$`)

// Hello comes first, with everything that SPEC 2.2 names.
func TestRule02HelloIsComplete(t *testing.T) {
	matrix(t, stores, func(t *testing.T, s *server, open opener) {
		before := time.Now().UnixMilli()
		c := open(place{user: "u1", device: "d1"})
		h := c.hello
		if h.Resumed || h.Seq != 0 || h.Expired != 0 || !streamName.MatchString(h.Stream) {
			t.Errorf("the first hello is %+v", h)
		}
		if c.transport == "poll" {
			return
		}
		ackMS := uint32(100)
		if c.transport == "sse" {
			ackMS = 30000
		}
		if h.HeartbeatMS != 4000 || h.TimeoutMS != 7000 || h.AckMS != ackMS {
			t.Errorf("the times of hello are %+v", h)
		}
		if h.TimeMS < before || h.TimeMS > time.Now().UnixMilli() {
			t.Errorf("time_ms is %d, it was %d before", h.TimeMS, before)
		}
	})
}

// The stream's name is its own; its seq goes on where the last stream's pushes and acks were.
func TestRule02HelloSeqGoesOn(t *testing.T) {
	matrix(t, stores, func(t *testing.T, s *server, open opener) {
		s.publishAll(numbered("u1", "m", 5))
		p := place{user: "u1", device: "d1", window: 5}
		c := open(p)
		c.ids(5)
		cursor, names := c.last.Cursor, map[string]bool{c.hello.Stream: true}
		c.close()
		p.cursor = cursor
		c = open(p)
		s.publish(msg{"user": "u1"})
		if push := c.push(); !c.hello.Resumed || push.Seq != 6 || c.transport != "poll" && c.hello.Seq != 5 {
			t.Errorf("behind seq 5 hello was %+v and a push had seq %d", c.hello, push.Seq)
		}
		c.ackAll()
		s.untilWaiting("u1", 0)
		names[c.hello.Stream] = true
		c.close()
		s.restart()
		p.cursor = c.last.Cursor
		c = open(p)
		if c.hello.Resumed != s.keeps() {
			t.Errorf("after a restart hello is %+v", c.hello)
		}
		if s.keeps() {
			s.publish(msg{"user": "u1"})
			if push := c.push(); push.Seq != 7 || c.transport != "poll" && c.hello.Seq != 6 {
				t.Errorf("behind seq 6 hello was %+v and a push had seq %d", c.hello, push.Seq)
			}
		}
		if names[c.hello.Stream] = true; len(names) != 3 {
			t.Errorf("3 streams had the names %v", names)
		}
	})
}

// A device that comes without a cursor goes on behind what it has acked.
func TestRule02HelloSeqIsAtLeastWhatWasAcked(t *testing.T) {
	matrix(t, stores, func(t *testing.T, s *server, open opener) {
		s.publishAll(numbered("u1", "m", 4))
		c := open(place{user: "u1", device: "d1"})
		c.ids(3)
		c.ackAll()
		s.untilPending("u1", "d1", 1)
		c.close()
		if s.keeps() {
			s.restart()
		}
		c = open(place{user: "u1", device: "d1"})
		if push := c.push(); c.hello.Resumed || string(push.Message.ID) != "m-4" || c.hello.Seq < 3 || push.Seq != c.hello.Seq+1 {
			t.Errorf("behind an ack of 3, hello is %+v, and the next push %+v", c.hello, push)
		}
	})
}

// The first line of an event stream is retry, and hello the first event.
func TestRule02HelloIsFirstOnTheWire(t *testing.T) {
	t.Parallel()
	s := serve(t, testConfig(t, memory))
	s.publish(msg{"user": "u1"})
	c := s.open(t, "sse", place{user: "u1", device: "d1"})
	raw := string(c.device.(*sseDevice).raw)
	if !regexp.MustCompile(`^retry: \d+\nevent: hello\nid: [A-Za-z0-9._-]{1,128}\ndata: \{"resumed":false,"stream":"[^"]+","seq":0,"heartbeat_ms":4000,"timeout_ms":7000,"ack_ms":30000,"time_ms":\d+,"expired":0\}\n\n`).MatchString(raw) {
		t.Errorf("the stream begins with %q", raw)
	}
	c.push()
	if id := c.last.Cursor; !protocol.ValidCursor(id) {
		t.Errorf("id: is %q", id)
	}
}
