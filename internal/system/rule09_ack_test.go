package system

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"ramen/internal/app"
	"ramen/protocol"
)

// Acks are cumulative; one below what is acked changes nothing.
func TestRule09AckIsCumulative(t *testing.T) {
	matrix(t, stores, func(t *testing.T, s *server, open opener) {
		s.publishAll(numbered("u1", "m", 6))
		c := open(place{user: "u1", device: "d1"})
		c.ids(6)
		for _, a := range []struct{ seq, left int }{{4, 2}, {2, 2}, {0, 2}, {4, 2}, {5, 1}} {
			if err := c.ack(protocol.Seq(a.seq)); err != nil {
				t.Fatal(err)
			}
			s.untilPending("u1", "d1", a.left)
		}
		equal(t, "what waits", s.waiting("u1"), []string{"m-6"})
		c.ackAll()
		s.untilWaiting("u1", 0)
	})
}

// A cursor acks like a seq.
func TestRule09AckByCursor(t *testing.T) {
	matrixOf(t, twoWay, stores, nil, func(t *testing.T, s *server, open opener) {
		s.publishAll(numbered("u1", "m", 3))
		c := open(place{user: "u1", device: "d1"})
		c.ids(2)
		cursor := c.last.Cursor
		c.push()
		if err := c.send(protocol.DeviceFrame{Kind: protocol.FrameAck, Cursor: cursor}); err != nil {
			t.Fatal(err)
		}
		s.untilPending("u1", "d1", 1)
		if err := c.send(protocol.DeviceFrame{Kind: protocol.FrameAck, Cursor: c.last.Cursor}); err != nil {
			t.Fatal(err)
		}
		s.untilWaiting("u1", 0)
	})
}

// An ack beyond what was pushed, or by a cursor that cannot be honoured, ends a two-way stream and changes nothing.
func TestRule09AckBeyondEndsTwoWayStreams(t *testing.T) {
	matrixOf(t, twoWay, stores, nil, func(t *testing.T, s *server, open opener) {
		s.publishAll(numbered("u1", "m", 3))
		s.publish(msg{"user": "u2"})
		other := s.open(t, "sse", place{user: "u2", device: "d1"})
		other.push()
		for _, f := range []protocol.DeviceFrame{
			{Kind: protocol.FrameAck, Seq: 4}, {Kind: protocol.FrameAck, Seq: 1 << 60}, {Kind: protocol.FrameAck, Cursor: other.last.Cursor}, {Kind: protocol.FrameAck, Cursor: "forged"},
		} {
			c := open(place{user: "u1", device: "d1"})
			c.ids(3)
			if c.hello.Seq > 0 && f.Seq == 4 {
				f.Seq = c.last.Seq + 1
			}
			if err := c.send(f); err != nil {
				t.Fatal(err)
			}
			expectEnd(t, c.transport, c.end(), "invalid_argument")
			if n := s.devices("u1")["d1"].Pending; n != 3 {
				t.Fatalf("after %+v %d messages are pending", f, n)
			}
		}
	})
}

// A text that is no cursor, and an ack of nothing, are bad values.
func TestRule09AckOfBadValues(t *testing.T) {
	matrixOf(t, twoWay, []string{memory}, nil, func(t *testing.T, s *server, open opener) {
		c := open(place{user: "u1", device: "d1"})
		if err := c.send(protocol.DeviceFrame{Kind: protocol.FrameAck, Cursor: "no/cursor"}); err != nil {
			t.Fatal(err)
		}
		expectEnd(t, c.transport, c.end(), "invalid_argument")
	})
}

// POST /ramen/ack, and GET, say what SPEC 5 says.
func TestRule09AckBesideTheStream(t *testing.T) {
	matrix(t, stores, func(t *testing.T, s *server, open opener) {
		s.publishAll(numbered("u1", "m", 6))
		old := open(place{user: "u1", device: "d1"})
		old.ids(6)
		c := open(place{user: "u1", device: "d1", window: 6})
		c.ids(6)
		stream := c.hello.Stream
		foreign := s.open(t, "sse", place{user: "u1", device: "d2"})
		foreign.ids(6)
		for _, call := range []struct {
			method, query string
			status        int
			code          string
			left          int
		}{
			{"POST", "seq=" + seqText(c.hello.Seq+2) + "&stream=" + stream, 204, "", 4},
			{"GET", "seq=" + seqText(c.hello.Seq+3) + "&stream=" + stream, 204, "", 3},
			{"POST", "seq=0&stream=" + stream, 204, "", 3},
			{"POST", "seq=" + seqText(c.hello.Seq+7) + "&stream=" + stream, 400, "invalid_argument", 3},
			{"POST", "seq=6&stream=" + old.hello.Stream, 404, "not_found", 3},
			{"POST", "seq=6&stream=" + foreign.hello.Stream, 404, "not_found", 3},
			{"POST", "seq=6&stream=s1.999", 404, "not_found", 3},
			{"POST", "seq=6", 400, "invalid_argument", 3},
			{"POST", "", 400, "invalid_argument", 3},
			{"POST", "stream=" + stream, 400, "invalid_argument", 3},
			{"POST", "cursor=" + foreign.last.Cursor, 400, "invalid_argument", 3},
			{"POST", "cursor=forged", 400, "invalid_argument", 3},
			{"POST", "cursor=no/cursor", 400, "invalid_argument", 3},
			{"PUT", "seq=6&stream=" + stream, 405, "invalid_argument", 3},
			{"POST", "cursor=" + c.last.Cursor, 204, "", 0},
			{"POST", "cursor=" + c.last.Cursor, 204, "", 0},
		} {
			r := s.do(call.method, s.deviceURL("/ramen/ack?user=u1&device=d1&"+call.query), "")
			if r.status != call.status {
				t.Fatalf("%s %s: %d %s, want %d", call.method, call.query, r.status, r.body, call.status)
			}
			if call.status != http.StatusNoContent {
				if e, err := errorOf(r.body); err != nil || e.Code != call.code {
					t.Errorf("%s %s: %s %v, want %s", call.method, call.query, r.body, err, call.code)
				}
			}
			if n := s.devices("u1")["d1"].Pending; n != call.left {
				t.Fatalf("after %s %s %d messages are pending, want %d", call.method, call.query, n, call.left)
			}
		}
		q := url.Values{"user": {"nobody"}, "device": {"d1"}, "seq": {"1"}, "stream": {stream}}
		if r := s.do("POST", s.deviceURL("/ramen/ack?"+q.Encode()), ""); r.status != 404 {
			t.Errorf("ack of a device that is not known: %d %s", r.status, r.body)
		}
	})
}

func seqText(s protocol.Seq) string { return url.QueryEscape(encode(s)) }

// An ack beside a stream makes room on it.
func TestRule09AckBesideMakesRoom(t *testing.T) {
	matrixOf(t, streaming, []string{memory}, nil, func(t *testing.T, s *server, open opener) {
		s.publishAll(numbered("u1", "m", 9))
		p := place{user: "u1", device: "d1", window: 2}
		c := open(p)
		for range 4 {
			c.ids(2)
			if err := s.ackBeside(p, c.last.Seq, c.hello.Stream); err != nil {
				t.Fatal(err)
			}
		}
		equal(t, "the last", c.ids(1), []string{"m-9"})
	})
}

// short makes the ack timeouts short, and payloads up to 1 MiB.
func short(cfg *app.Config) {
	cfg.Gateway.AckTimeoutOneWay = 300 * time.Millisecond
	cfg.Gateway.AckTimeoutTwoWay = 300 * time.Millisecond
	cfg.Backend.Publish.MaxPayload = 1 << 20
}

// A full window with nothing acked ends the stream, whether or not more waits; what was pushed comes again.
func TestRule09FullWindowTimesOut(t *testing.T) {
	matrixOf(t, streaming, stores, short, func(t *testing.T, s *server, open opener) {
		for _, n := range []int{2, 3} {
			s.publishAll(numbered("u1", "m", n))
			c := open(place{user: "u1", device: "d1", window: 2})
			e := c.end()
			expectEnd(t, c.transport, e, "ack_timeout")
			if c.last.Seq != c.hello.Seq+2 {
				t.Errorf("a window of 2 let seq %d through, behind %d", c.last.Seq, c.hello.Seq)
			}
			c = open(place{user: "u1", device: "d1"})
			c.ids(n)
			c.ackAll()
			s.untilWaiting("u1", 0)
			c.close()
			for _, m := range numbered("u1", "m", n) {
				if r := s.results(m); r[0].Status != "duplicate" {
					t.Errorf("published again: %+v", r)
				}
			}
			if n == 2 {
				s.publishAll(numbered("u1", "k", 3))
				c = open(place{user: "u1", device: "d1"})
				c.ids(3)
				c.ackAll()
				s.untilWaiting("u1", 0)
				c.close()
				break
			}
		}
	})
}

// The window is also full where the next message does not fit its bytes.
func TestRule09FullBytesTimeOut(t *testing.T) {
	matrixOf(t, twoWay, []string{memory}, short, func(t *testing.T, s *server, open opener) {
		big := func(id string) { s.publish(msg{"user": "u1", "id": id, "payload": string(make700K())}) }
		big("m-1")
		c := open(place{user: "u1", device: "d1"})
		c.push()
		big("m-2")
		expectEnd(t, c.transport, c.end(), "ack_timeout")
		if string(c.last.Message.ID) != "m-1" {
			t.Errorf("the last push was %s", c.last.Message.ID)
		}
	})
}

func make700K() []byte {
	b := make([]byte, 700<<10)
	for i := range b {
		b[i] = 'x'
	}
	return b
}

// One that acks within the time goes on, however slow.
func TestRule09AckingKeepsAStreamAlive(t *testing.T) {
	slow := func(cfg *app.Config) {
		cfg.Gateway.AckTimeoutOneWay, cfg.Gateway.AckTimeoutTwoWay = 2*time.Second, 2*time.Second
	}
	matrixOf(t, streaming, []string{memory}, slow, func(t *testing.T, s *server, open opener) {
		s.publishAll(numbered("u1", "m", 6))
		c := open(place{user: "u1", device: "d1", window: 1})
		tick := time.NewTicker(500 * time.Millisecond) // 6 of them are longer than the timeout
		defer tick.Stop()
		for range 6 {
			c.push()
			<-tick.C
			c.ackAll()
		}
		s.untilWaiting("u1", 0)
	})
}

// A push holds its place in the window whatever becomes of its message: a recalled one still has to be acked. SPEC 2.10.
func TestRule09RecalledPushHoldsItsPlace(t *testing.T) {
	matrixOf(t, streaming, []string{memory}, short, func(t *testing.T, s *server, open opener) {
		s.publish(msg{"user": "u1", "id": "m-1"})
		c := open(place{user: "u1", device: "d1", window: 1})
		c.push()
		if r := s.backend("DELETE", "/v1/users/u1/messages/m-1", ""); r.status != http.StatusNoContent {
			t.Fatalf("recall: %d %s", r.status, r.body)
		}
		s.publish(msg{"user": "u1", "id": "m-2"})
		expectEnd(t, c.transport, c.end(), "ack_timeout")
		if string(c.last.Message.ID) != "m-1" {
			t.Errorf("pushed %s behind a full window", c.last.Message.ID)
		}
		c = open(place{user: "u1", device: "d1", window: 1})
		equal(t, "what is left", c.ids(1), []string{"m-2"})
		c.ackAll()
	})
}

// A bare EventSource never acks: it reconnects with its Last-Event-ID, and receives everything.
func TestRule09BareEventSourceGetsEverything(t *testing.T) {
	each(t, stores, short, func(t *testing.T, s *server) {
		s.publishAll(numbered("u1", "m", 7))
		p := place{user: "u1", device: "d1", window: 2}
		var got []string
		for len(got) < 7 {
			c := s.open(t, "sse", p)
			got = append(got, c.ids(min(2, 7-len(got)))...)
			if len(got) < 7 {
				expectEnd(t, "sse", c.end(), "ack_timeout")
			}
			p.cursor = c.last.Cursor
			c.close()
		}
		equal(t, "all in all", got, ordered(numbered("u1", "m", 7)))
		s.open(t, "sse", p)
		s.untilWaiting("u1", 0)
	})
}
