package system

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

var mixed = []string{"low", "high", "medium", "high", "low", "medium", "medium"}

// A stream is cut after each possible number of pushes; the next one, over another transport, brings the rest, exactly.
func TestRule03ResumeByCursorAtEveryCut(t *testing.T) {
	cutEverywhere(t, func(p *place, c *conn) { p.cursor = c.last.Cursor })
}

// The same with RAMEN's first form. SPEC 2.4.
func TestRule03ResumeBySeqAndStreamAtEveryCut(t *testing.T) {
	cutEverywhere(t, func(p *place, c *conn) {
		p.seq, p.hasSeq, p.stream = uint64(c.last.Seq), true, c.hello.Stream
		if poll, ok := c.device.(*pollDevice); ok {
			p.stream = poll.stream
		}
	})
}

func cutEverywhere(t *testing.T, stands func(p *place, c *conn)) {
	const n = 30
	matrix(t, stores, func(t *testing.T, s *server, open opener) {
		var all []msg
		for k := range n + 1 {
			all = append(all, numbered(fmt.Sprint("u", k), "m", n, mixed...)...)
		}
		s.publishAll(all)
		want := ordered(all[:n])
		step := 1
		if transportOf(t) == "poll" && s.keeps() {
			step = 5 // a poll a push: with the other store at every place
		}
		for k := 0; k <= n; k += step {
			p := place{user: fmt.Sprint("u", k), device: "d1"}
			first := p
			first.window = pollWindow(t)
			c := open(first)
			got := c.ids(k)
			if k > 0 {
				stands(&p, c)
			}
			c.close()
			c = s.open(t, transports[k%len(transports)], p)
			if c.hello.Resumed != (k > 0) {
				t.Fatalf("cut after %d: hello is %+v", k, c.hello)
			}
			got = append(got, c.ids(n-k)...)
			equal(t, fmt.Sprintf("cut after %d, resumed over %s", k, c.transport), got, want)
			c.ackAll()
			s.untilWaiting(p.user, 0)
			c.close()
		}
	})
}

// pollWindow is 1 for polls, so that each push has its cursor; else the default.
func pollWindow(t *testing.T) int {
	if transportOf(t) == "poll" {
		return 1
	}
	return 0
}

// A stream that changes its transport at every reconnect loses nothing, sees nothing twice, and keeps the order within a priority.
func TestRule03ResumeOverChangingTransports(t *testing.T) {
	each(t, stores, nil, func(t *testing.T, s *server) {
		seed := rand.Uint64()
		r := rand.New(rand.NewPCG(seed, 1))
		t.Logf("seed %d", seed)
		const n = 200
		p := place{user: "u1", device: "d1", window: 1}
		seen := map[string]bool{}
		last := map[string]int{}
		published := 0
		for turn := 0; len(seen) < n; turn++ {
			if more := min(r.IntN(12), n-published); more > 0 {
				batch := numbered("u1", "m", n, mixed...)[published : published+more]
				s.publishAll(batch)
				published += more
			}
			c := s.open(t, transports[r.IntN(len(transports))], p)
			for range min(r.IntN(8), published-len(seen)) {
				m := c.push().Message
				var number int
				if _, err := fmt.Sscanf(string(m.ID), "m-%d", &number); err != nil {
					t.Fatal(err)
				}
				if lane := m.Priority.String(); last[lane] >= number {
					t.Fatalf("turn %d over %s: %s came after m-%d", turn, c.transport, m.ID, last[lane])
				} else {
					last[lane] = number
				}
				seen[string(m.ID)] = true
				p.cursor = c.last.Cursor
				c.ackAll()
			}
			c.close()
		}
		s.open(t, "sse", p)
		s.untilWaiting("u1", 0)
	})
}

// A cursor is enough after a restart of everything.
func TestRule03ResumeAfterARestart(t *testing.T) {
	matrix(t, durable, func(t *testing.T, s *server, open opener) {
		batch := numbered("u1", "m", 12, mixed...)
		s.publishAll(batch)
		p := place{user: "u1", device: "d1", window: pollWindow(t)}
		var got []string
		for range 3 {
			c := open(p)
			got = append(got, c.ids(4)...)
			p.cursor = c.last.Cursor
			c.close()
			s.restart()
		}
		equal(t, "over 3 restarts", got, ordered(batch))
		if c := open(p); !c.hello.Resumed {
			t.Errorf("hello is %+v", c.hello)
		}
		s.untilWaiting("u1", 0)
	})
}

// What was acked stays acked: an older cursor goes on from the ack.
func TestRule03ResumeWithAnOldCursorGoesOnFromTheAck(t *testing.T) {
	matrix(t, stores, func(t *testing.T, s *server, open opener) {
		s.publishAll(numbered("u1", "m", 6))
		p := place{user: "u1", device: "d1", window: pollWindow(t)}
		c := open(p)
		c.push()
		p.cursor = c.last.Cursor
		c.ids(3)
		c.ackAll()
		s.untilPending("u1", "d1", 2)
		c.close()
		c = open(p)
		if !c.hello.Resumed {
			t.Errorf("hello is %+v", c.hello)
		}
		equal(t, "behind the ack", c.ids(2), []string{"m-5", "m-6"})
	})
}

// All pushes up to a cursor count as acked, without any ack.
func TestRule03ResumeAcks(t *testing.T) {
	matrix(t, stores, func(t *testing.T, s *server, open opener) {
		s.publishAll(numbered("u1", "m", 3))
		p := place{user: "u1", device: "d1", window: pollWindow(t)}
		c := open(p)
		c.ids(2)
		p.cursor = c.last.Cursor
		c.close()
		open(p)
		if got := s.waiting("u1"); len(got) != 1 || got[0] != "m-3" {
			t.Errorf("behind a cursor of 2 wait %v", got)
		}
	})
}
