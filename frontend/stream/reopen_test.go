package stream

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ramen/link"
	"ramen/protocol"
)

// ledgerLink is an owner's end of a stream that notes what it is told.
type ledgerLink struct {
	mu       sync.Mutex
	credit   int
	acks     []protocol.Seq
	contexts []*protocol.DeviceContext
	rtts     []uint32
	closed   int
}

func (l *ledgerLink) Credit(n int) { l.note(func() { l.credit += n }) }
func (l *ledgerLink) Ack(seq protocol.Seq, _ string) {
	l.note(func() { l.acks = append(l.acks, seq) })
}
func (l *ledgerLink) Refresh(c *protocol.DeviceContext) {
	l.note(func() { l.contexts = append(l.contexts, c) })
}
func (l *ledgerLink) Measured(ms uint32)    { l.note(func() { l.rtts = append(l.rtts, ms) }) }
func (l *ledgerLink) Close(protocol.Reason) { l.note(func() { l.closed++ }) }

func (l *ledgerLink) note(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
}

// keeping is an FrameWriter whose socket takes nothing.
type keeping struct{ tape }

func (k *keeping) WritePushes(batch []protocol.Push, _ bool) WriteResult {
	n := 0
	for i := range batch {
		n += batch[i].Cost()
	}
	return WriteResult{n, n}
}

// slowOwner answers opens when it is told to.
type slowOwner struct {
	asked  chan link.Open
	answer chan *ledgerLink
}

func (o *slowOwner) Open(ctx context.Context, _ time.Duration, q link.Open, _ link.Receiver) (link.Stream, link.Opened, error) {
	o.asked <- q
	select {
	case lk := <-o.answer:
		return lk, link.Opened{Number: q.Number, Seq: q.Seq}, nil
	case <-ctx.Done():
		return nil, link.Opened{}, ctx.Err()
	}
}

// openOn opens a stream of an interval of 4 s.
func openOn(s *fixture, transport protocol.Transport, out FrameWriter, lk link.Stream) *Stream {
	return s.openOn(transport, &Request{User: "u", Device: "d", HeartbeatMS: 4000}, out, lk)
}

// One push may go beyond the credit. Where it waits for the socket while the owner changes, the new owner is not given it twice.
func TestReopenGivesNoCreditTwice(t *testing.T) {
	s, stop := newFixture(t, nil)
	defer stop()
	for _, payload := range []int{100, s.cfg.Credit - 500, 3 * s.cfg.Credit} {
		out := &keeping{tape{clock: s.clock}}
		x := openOn(s, protocol.TransportSSE, out, &ledgerLink{})
		p := protocol.Push{Seq: 1, Cursor: "k1", Message: &protocol.Message{Priority: 1, Payload: make([]byte, payload)}}
		x.Push(link.Generation(x.opens), []protocol.Push{p}, false)
		owner := &slowOwner{asked: make(chan link.Open, 1), answer: make(chan *ledgerLink, 1)}
		s.opener = owner
		second := &ledgerLink{}
		owner.answer <- second
		x.locked(func() {
			x.state, x.link = detached, nil
			x.ensureReconnectLocked()
		})
		x.reopen(s.ctx)
		<-owner.asked
		for left := p.Cost(); left > 0; left -= 1000 {
			x.OnWritten(min(left, 1000))
		}
		x.locked(func() {
			if second.credit+int(x.creditToReturn) != s.cfg.Credit {
				t.Errorf("payload of %d: the owner has %d, %d are to be given back, of a credit of %d", payload, second.credit, x.creditToReturn, s.cfg.Credit)
			}
		})
		x.Finish(protocol.ReasonGone, "")
	}
}

// What a device says while its stream looks for an owner reaches the owner, before the open was sent or after.
func TestWhatIsSaidDuringAReopenReachesTheOwner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, stop := newFixture(t, nil)
		defer stop()
		owner := &slowOwner{asked: make(chan link.Open), answer: make(chan *ledgerLink)}
		s.opener = owner
		first, second := &ledgerLink{}, &ledgerLink{}
		x := openOn(s, protocol.TransportWS, &tape{clock: s.clock}, first)
		beat := func() {
			x.locked(func() { x.echoDue, x.heartbeatMS = true, s.clock.now()-10 })
			x.OnInbound(true)
		}
		beat()
		for seq := range protocol.Seq(5) {
			x.Push(link.Generation(x.opens), []protocol.Push{{Seq: seq + 1, Cursor: "k" + string(rune('1'+seq)), Message: &protocol.Message{Priority: 1}}}, false)
		}
		x.Lost(link.Generation(x.opens), link.Loss{})
		if o := <-owner.asked; len(o.Sent) != 5 || o.Context != nil {
			t.Fatalf("%+v", o)
		}
		x.refresh(&protocol.DeviceFrame{Kind: protocol.FrameRefresh, Context: &protocol.DeviceContext{App: "new"}})
		x.OnAcks(&Acks{some: true, seq: 3})
		owner.answer <- second
		pass(time.Second)
		beat()
		second.note(func() {
			if len(second.contexts) != 1 || second.contexts[0].App != "new" {
				t.Errorf("the context did not reach the owner: %v", second.contexts)
			}
			if len(second.acks) != 1 || second.acks[0] != 3 {
				t.Errorf("acks %v reached the owner", second.acks)
			}
			if len(second.rtts) != 1 {
				t.Errorf("a round trip as before is news to a new owner: %v", second.rtts)
			}
		})
		x.Finish(protocol.ReasonGone, "")
	})
}

// A token that expires while nobody owns the shard ends the stream in its time; an owner found later is let go again.
func TestTokenThatExpiresWhileDetachedEndsTheStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, stop := newFixture(t, nil)
		defer stop()
		owner := &slowOwner{asked: make(chan link.Open), answer: make(chan *ledgerLink)}
		s.opener = owner
		out := &tape{clock: s.clock}
		x := openOn(s, protocol.TransportSSE, out, &ledgerLink{})
		x.locked(func() { x.expiresMS = s.clock.now() + 6000 })
		x.Lost(link.Generation(x.opens), link.Loss{})
		<-owner.asked
		pass(6500 * time.Millisecond)
		x.locked(func() {
			if out.ended != protocol.ReasonUnauthenticated || len(out.away) != 1 {
				t.Errorf("it ended with %v, %+v", out.ended, out.away)
			}
		})
		late := &ledgerLink{}
		owner.answer <- late
		pass(time.Second)
		late.note(func() {
			if late.closed != 1 || late.credit != 0 {
				t.Errorf("the late owner: %+v", late)
			}
		})
	})
}

// What an earlier owner still had under way when the stream was detached reaches nobody: not its pushes and acks, nor that the
// device had not acked in time, which the next owner times anew.
func TestCallsOfAnEarlierOpenAreDropped(t *testing.T) {
	s, stop := newFixture(t, nil)
	defer stop()
	owner := &slowOwner{asked: make(chan link.Open, 1), answer: make(chan *ledgerLink, 1)}
	s.opener = owner
	out := &tape{clock: s.clock}
	x := openOn(s, protocol.TransportSSE, out, &ledgerLink{})
	push := func(g link.Generation, seq protocol.Seq) {
		x.Push(g, []protocol.Push{{Seq: seq, Cursor: "k", Message: &protocol.Message{Priority: 1}}}, false)
	}
	push(0, 1)
	x.locked(func() {
		x.state, x.link, x.opens = detached, nil, x.opens+1
		x.ensureReconnectLocked()
	})
	push(0, 2)
	owner.answer <- &ledgerLink{}
	x.reopen(s.ctx)
	if o := <-owner.asked; o.Generation != 1 || o.Seq != 1 {
		t.Fatalf("it was opened again with %+v", o)
	}
	push(0, 2)
	x.Acked(0, 1)
	x.Closed(0, protocol.ReasonAckTimeout, "")
	x.Lost(0, link.Loss{})
	x.locked(func() {
		if x.state != live || x.sent != 1 || x.ring.len() != 1 || out.ended != protocol.ReasonNone {
			t.Errorf("state %v, sent %d, unacked %d, ended by %v", x.state, x.sent, x.ring.len(), out.ended)
		}
	})
	push(1, 2)
	x.Acked(1, 2)
	x.locked(func() {
		if x.sent != 2 || x.ring.len() != 0 {
			t.Errorf("sent %d, unacked %d", x.sent, x.ring.len())
		}
	})
	x.Finish(protocol.ReasonGone, "")
}
