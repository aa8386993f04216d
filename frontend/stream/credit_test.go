package stream

import (
	"testing"
	"testing/synctest"
	"time"

	"ramen/protocol"
)

// lazy is an FrameWriter that keeps everything while it is full.
type lazy struct {
	tape
	full bool
}

func (l *lazy) WritePushes(batch []protocol.Push, _ bool) WriteResult {
	n := 0
	for i := range batch {
		n += batch[i].Cost()
	}
	if l.full {
		l.kept += n
	}
	return WriteResult{n, l.kept}
}

// pusher pushes as a gateway does: while it has credit, one push more is sent, however long.
type pusher struct {
	x     *Stream
	lk    *ledgerLink
	spent int
	seq   protocol.Seq
}

func (p *pusher) credit() (n int) {
	p.lk.note(func() { n = p.lk.credit })
	return n - p.spent
}

func (p *pusher) push(payload int) {
	p.seq++
	q := protocol.Push{Seq: p.seq, Cursor: "k", Message: &protocol.Message{Priority: protocol.PriorityLow, Payload: make([]byte, payload)}}
	p.spent += q.Cost()
	p.x.Push(0, []protocol.Push{q}, false)
	p.x.Acked(0, p.seq)
}

// fill pushes all that credit allows, and says how many.
func (p *pusher) fill(payload int) (pushes int) {
	for ; p.credit() > 0; pushes++ {
		p.push(payload)
	}
	return pushes
}

// What the gateway may send to a device whose socket has no room follows what the device takes: one long push at a time on a
// slow link, all of the credit on a fast one, and all of it again once pushes go out without waiting.
func TestCreditFollowsTheDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, stop := newFixture(t, nil)
		defer stop()
		out, lk := &lazy{tape: tape{clock: s.clock}, full: true}, &ledgerLink{}
		x := openOn(s, protocol.TransportSSE, out, lk)
		p := &pusher{x: x, lk: lk}
		drain := func(in time.Duration) {
			pass(in)
			n := 0
			x.locked(func() { n, out.kept = out.kept, 0 })
			x.OnWritten(n)
		}
		const long, short = 16 << 10, 1 << 10
		if n := p.fill(long); n != s.cfg.Credit/long {
			t.Fatalf("%d long pushes went out into a credit of %d", n, s.cfg.Credit)
		}
		drain(262 * time.Millisecond)
		for range 5 {
			if n := p.fill(long); n != 1 {
				t.Fatalf("%d long pushes went out to a device that takes one in 131 ms", n)
			}
			drain(131 * time.Millisecond)
		}
		if n := p.fill(short); n > 8 {
			t.Errorf("%d short pushes went out to a device that takes one in 8 ms", n)
		}
		drain(time.Millisecond)
		if n := p.fill(short); n < 24 {
			t.Errorf("%d short pushes went out to a device that has taken 8 in 1 ms", n)
		}
		drain(6 * time.Second)
		if c := p.credit(); c <= 0 || c > leastCredit {
			t.Errorf("a device that has hardly taken anything is given %d bytes", c)
		}
		x.locked(func() { out.full = false })
		for range s.cfg.Credit / short {
			p.push(short)
		}
		if c := p.credit(); c < s.cfg.Credit*3/4 {
			t.Errorf("nothing waits any more, and the gateway has %d bytes", c)
		}
		x.Finish(protocol.ReasonGone, "")
	})
}

// Over gRPC and TLS every frame is kept for a moment. Few bytes that take some time say nothing of the device's rate.
func TestFewBytesKeptHoldNoCredit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, stop := newFixture(t, nil)
		defer stop()
		out, lk := &lazy{tape: tape{clock: s.clock}, full: true}, &ledgerLink{}
		x := openOn(s, protocol.TransportGRPC, out, lk)
		p := &pusher{x: x, lk: lk}
		for range 1000 {
			p.push(100)
			pass(5 * time.Millisecond)
			n := 0
			x.locked(func() { n, out.kept = out.kept, 0 })
			x.OnWritten(n)
			x.OnInbound(false)
		}
		if c := p.credit(); c < s.cfg.Credit*3/4-200 {
			t.Errorf("the gateway has %d bytes of a credit of %d", c, s.cfg.Credit)
		}
		x.Finish(protocol.ReasonGone, "")
	})
}
