package linktest

import (
	"context"
	"errors"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"ramen/link"
	"ramen/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestIdentity(t *testing.T) {
	Run(t, func(_ *testing.T, gw link.Gateway) link.Gateway { return gw })
}

func TestFaultyLink(t *testing.T) {
	Run(t, func(_ *testing.T, gw link.Gateway) link.Gateway { return Severable(gw) })
}

func TestFaultyLinkThatWasHealed(t *testing.T) {
	Run(t, func(_ *testing.T, gw link.Gateway) link.Gateway {
		c := Severable(gw)
		c.Sever()
		c.Heal()
		return c
	})
}

func TestCableThatBreaks(t *testing.T) {
	RunBreakable(t, func(_ *testing.T, gw link.Gateway) Breakable {
		c := Severable(gw)
		return Breakable{Gateway: c, Break: c.Sever, Heal: c.Heal, Waits: true}
	})
}

func TestSeverLosesStreamsAndCalls(t *testing.T) {
	gw := new(scripted)
	c := Severable(gw)
	r, s, e := open(t, gw, c, "d")
	s.Credit(1)
	e.push(false, pushOf(1))
	started, release, effects := make(chan struct{}), make(chan struct{}), 0
	gw.ack = func(context.Context, link.Ack) error {
		started <- struct{}{}
		<-release
		effects++
		return nil
	}
	answer := make(chan error)
	go func() { answer <- c.Ack(background, link.Ack{Cursor: "k"}) }()
	<-started
	c.Sever()
	if err := <-answer; !errors.Is(err, link.ErrLost) {
		t.Errorf("the call under way: %v", err)
	}
	if want := (link.Loss{Reason: protocol.ReasonUnavailable}); !r.over || r.loss != want {
		t.Errorf("the stream is lost %v by %+v; want %+v", r.over, r.loss, want)
	}
	e.push(false, pushOf(2)) // comes to nobody
	if err := c.Ack(background, link.Ack{Cursor: "k"}); !errors.Is(err, link.ErrLost) {
		t.Errorf("a call while severed: %v", err)
	}
	if _, _, err := c.Open(background, link.Open{Device: "e"}, newRecorder(t)); !errors.Is(err, link.ErrLost) {
		t.Errorf("an open while severed: %v", err)
	}
	if res := c.Publish(background, make([]link.Publish, 2)); len(res) != 2 || !errors.Is(res[1].Err, link.ErrLost) {
		t.Errorf("a publish while severed: %+v", res)
	}
	e.wait(t, "close", func() bool { return e.closed == 1 })
	close(release)
	c.Heal()
	if effects != 1 {
		t.Errorf("%d acks took effect; want the one under way", effects)
	}
	gw.ack = func(context.Context, link.Ack) error { return nil }
	if err := c.Ack(background, link.Ack{Cursor: "k"}); err != nil {
		t.Error(err)
	}
	s.Close(protocol.ReasonGone)
}

// TestSeverWithinACall: a receiver whose call is under way is told of the loss afterwards.
func TestSeverWithinACall(t *testing.T) {
	gw := new(scripted)
	c := Severable(gw)
	r, s, e := open(t, gw, c, "d")
	r.within = func([]protocol.Push) { c.Sever() }
	s.Credit(1)
	e.push(false, pushOf(1))
	r.wait("the loss", func() bool { return r.over })
}

func TestSeverWhileOpening(t *testing.T) {
	for range 200 {
		gw := new(scripted)
		c := Severable(gw)
		var both sync.WaitGroup
		both.Go(c.Sever)
		r := newRecorder(t)
		s, _, err := c.Open(background, link.Open{Device: "d", Generation: r.generation}, r)
		both.Wait()
		c.Heal()
		r.mu.Lock()
		told := r.over
		r.mu.Unlock()
		if err == nil && !told || err != nil && told {
			t.Fatalf("open answers %v, told of the loss %v", err, told)
		}
		if e := gw.stream("d"); e != nil {
			e.wait(t, "close", func() bool { return e.closed > 0 })
		}
		if s != nil {
			s.Close(protocol.ReasonGone)
		}
	}
}
