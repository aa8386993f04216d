package linktest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"ramen/link"
	"ramen/protocol"
)

// Breakable is a link that a test can break. After Break its streams are lost and its calls answered, at once or once its ends have
// seen it; Heal answers once it stands again.
type Breakable struct {
	link.Gateway
	Break func()
	Heal  func()
	Waits bool // Heal waits for the calls that were under way at the break
}

// RunBreakable checks what package link promises of a link that breaks. wrap cleans up with t.
func RunBreakable(t *testing.T, wrap func(t *testing.T, gw link.Gateway) Breakable) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, gw *scripted, l Breakable)
	}{
		{"StreamsAreLostOnceAndLast", lostOnce},
		{"NothingIsLostThatHasEnded", endedIsNotLost},
		{"LostStreamTakesCalls", callsAfterLost},
		{"CallUnderWayIsLost", callUnderWay},
		{"CallsOfABrokenLinkAreRefused", callsWhileBroken},
		{"OpenUnderWayIsLost", openUnderWay},
		{"NothingOfAnOlderGeneration", olderGeneration},
		{"PublishesKeepTheirOrder", orderOverBreak},
	} {
		t.Run(c.name, func(t *testing.T) {
			gw := new(scripted)
			c.test(t, gw, wrap(t, gw))
		})
	}
}

// pushing pushes to e, in order and as far as it has credit, until the frontend has closed it.
func (e *end) pushing(all *sync.WaitGroup) {
	all.Go(func() {
		used := 0
		for i := 1; ; i++ {
			e.mu.Lock()
			for e.closed == 0 && used >= e.credit {
				changed := e.changed
				e.mu.Unlock()
				<-changed
				e.mu.Lock()
			}
			closed := e.closed > 0
			e.mu.Unlock()
			if closed {
				return
			}
			p := pushOf(i)
			used += p.Cost()
			e.push(false, p)
		}
	})
}

// lostOnce: a link breaks under fire. Each stream is told Lost once, after a part of its pushes without a gap, and its gateway that
// it is closed.
func lostOnce(t *testing.T, gw *scripted, l Breakable) {
	const streams = 30
	var (
		recorders [streams]*recorder
		ends      [streams]*end
		fire      sync.WaitGroup
	)
	for i := range streams {
		var s link.Stream
		recorders[i], s, ends[i] = open(t, gw, l, protocol.DeviceID(fmt.Sprint("d", i)))
		s.Credit(1 << 16)
		ends[i].wait(t, "credit", func() bool { return ends[i].credit > 0 })
		ends[i].pushing(&fire)
	}
	for _, r := range recorders {
		r.wait("pushes", func() bool { return len(r.pushes) > 3 })
	}
	l.Break()
	for i, r := range recorders {
		r.wait("the loss", func() bool { return r.over }) // any call after it is told by the recorder
		r.mu.Lock()
		if want := (link.Loss{Reason: protocol.ReasonUnavailable}); r.loss != want || r.order[len(r.order)-1] != "lost" {
			t.Errorf("the loss is %+v; want %+v", r.loss, want)
		}
		for k, p := range r.pushes {
			if p.Seq != protocol.Seq(k+1) {
				t.Errorf("push %d of a stream is %d", k+1, p.Seq)
				break
			}
		}
		r.mu.Unlock()
		ends[i].wait(t, "the gateway's end", func() bool { return ends[i].closed == 1 && ends[i].reason == protocol.ReasonUnavailable })
	}
	fire.Wait()
	l.Heal()
	if _, err := l.Devices(background, route, "u"); err != nil {
		t.Errorf("a call of the healed link: %v", err)
	}
}

// endedIsNotLost: a break tells nothing to streams that the frontend closed, or that the gateway ended or gave up.
func endedIsNotLost(t *testing.T, gw *scripted, l Breakable) {
	closed, s, e := open(t, gw, l, "closed")
	closed.close(s)
	e.wait(t, "close", func() bool { return e.closed > 0 })
	ended, _, e := open(t, gw, l, "ended")
	e.close(protocol.ReasonSuperseded, "")
	moved, _, e := open(t, gw, l, "moved")
	e.lose(link.Loss{Reason: protocol.ReasonRebalance, Below: 7})
	ended.wait("the end", func() bool { return ended.over })
	moved.wait("the loss", func() bool { return moved.over })
	lost, _, _ := open(t, gw, l, "lost")
	l.Break()
	lost.wait("the loss", func() bool { return lost.over })
	l.Heal()
	for name, r := range map[string]*recorder{"closed": closed, "ended": ended, "moved": moved} {
		r.mu.Lock()
		want := 1
		if name == "closed" {
			want = 0
		}
		if len(r.order) != want {
			t.Errorf("the stream that was %s was told %v", name, r.order)
		}
		r.mu.Unlock()
	}
}

// callsAfterLost: what a frontend still says of a lost stream comes to nobody, and its gateway is told one end.
func callsAfterLost(t *testing.T, gw *scripted, l Breakable) {
	r, s, e := open(t, gw, l, "d")
	l.Break()
	r.wait("the loss", func() bool { return r.over })
	s.Ack(1, "k1")
	s.Credit(1)
	s.Refresh(nil)
	s.Measured(1)
	s.Close(protocol.ReasonNone)
	s.Close(protocol.ReasonGone)
	e.wait(t, "the end", func() bool { return e.closed == 1 })
	l.Heal()
	again, s2, e2 := open(t, gw, l, "d")
	s2.Credit(7)
	e2.wait(t, "credit", func() bool { return e2.credit == 7 })
	again.close(s2)
	e2.wait(t, "close", func() bool { return e2.closed == 1 })
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed != 1 || e.reason != protocol.ReasonUnavailable || e.credit != 0 || len(e.acks)+len(e.contexts)+len(e.roundTrip) > 0 {
		t.Errorf("after the loss the gateway was told credit %d, acks %v, %d ends, the first %v", e.credit, e.acks, e.closed, e.reason)
	}
}

// callUnderWay: its outcome is unknown, and it takes effect.
func callUnderWay(t *testing.T, gw *scripted, l Breakable) {
	reached, release, effect := make(chan struct{}, 2), make(chan struct{}), make(chan struct{}, 2)
	gw.ack = func(context.Context, link.Ack) error {
		reached <- struct{}{}
		<-release
		effect <- struct{}{}
		return nil
	}
	gw.publish = func(_ context.Context, batch []link.Publish) []link.Result {
		reached <- struct{}{}
		<-release
		effect <- struct{}{}
		return make([]link.Result, len(batch))
	}
	answers := make(chan error, 3)
	go func() { answers <- l.Ack(background, link.Ack{Cursor: "k"}) }()
	go func() {
		for _, r := range l.Publish(background, publishes()[:2]) {
			answers <- r.Err
		}
	}()
	<-reached
	<-reached
	l.Break()
	for range 3 {
		if err := receive(t, answers); !errors.Is(err, link.ErrLost) || errors.Is(err, link.ErrNotSent) {
			t.Errorf("the call under way: %v", err)
		}
	}
	close(release)
	receive(t, effect)
	receive(t, effect)
	l.Heal()
}

// receive waits for what must come.
func receive[T any](t *testing.T, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(Patience):
		t.Fatalf("waited %v for an answer", Patience)
	}
	return v
}

// callsWhileBroken: the gateway hears nothing of them.
func callsWhileBroken(t *testing.T, gw *scripted, l Breakable) {
	r, _, _ := open(t, gw, l, "d")
	gw.ack = func(context.Context, link.Ack) error { t.Error("the gateway was reached"); return nil }
	l.Break()
	r.wait("the loss", func() bool { return r.over })
	if err := l.Ack(background, link.Ack{Cursor: "k"}); !errors.Is(err, link.ErrLost) {
		t.Errorf("an ack: %v", err)
	}
	silent := newRecorder(t)
	silent.over = true // any call is one too many
	if s, _, err := l.Open(background, link.Open{Route: route, User: "u", Device: "e"}, silent); !errors.Is(err, link.ErrLost) || s != nil {
		t.Errorf("an open: %v, %v", s, err)
	}
	if res := l.Publish(background, publishes()); len(res) != 3 || !errors.Is(res[2].Err, link.ErrLost) || res[2].Status != link.StatusRejected {
		t.Errorf("a publish: %+v", res)
	}
	l.Heal()
}

// openUnderWay: the caller is told that it is lost, the receiver nothing; what the gateway opens all the same is closed.
func openUnderWay(t *testing.T, gw *scripted, l Breakable) {
	reached, release := make(chan struct{}), make(chan struct{})
	gw.open = func(context.Context, link.Open) (link.Opened, error) {
		close(reached)
		<-release
		return link.Opened{}, nil
	}
	silent := newRecorder(t)
	silent.over = true // any call is one too many
	answer := make(chan error, 1)
	go func() {
		_, _, err := l.Open(background, link.Open{Route: route, User: "u", Device: "d", Generation: silent.generation}, silent)
		answer <- err
	}()
	<-reached
	l.Break()
	if err := receive(t, answer); !errors.Is(err, link.ErrLost) || errors.Is(err, link.ErrNotSent) {
		t.Errorf("the open under way: %v", err)
	}
	close(release)
	await(t, "the gateway's stream", func() (bool, <-chan struct{}) {
		gw.mu.Lock()
		defer gw.mu.Unlock()
		return gw.streams["d"] != nil, gw.openedLocked()
	})
	e := gw.stream("d")
	e.wait(t, "its end", func() bool { return e.closed == 1 })
	l.Heal()
}

// olderGeneration: what a gateway still says on a stream that a break has taken comes to nobody, though its receiver has another.
func olderGeneration(t *testing.T, gw *scripted, l Breakable) {
	r := newShared()
	const first, second = 1, 2
	if _, _, err := l.Open(background, link.Open{Route: route, User: "u", Device: "d", Generation: first}, r); err != nil {
		t.Fatal(err)
	}
	old := gw.stream("d")
	l.Break()
	r.wait(t, "the loss", func() bool { return len(r.calls[first]) == 1 })
	l.Heal()
	if _, _, err := l.Open(background, link.Open{Route: route, User: "u", Device: "d", Generation: second}, r); err != nil {
		t.Fatal(err)
	}
	for i := range 3 { // as a gateway that has not heard of the break
		old.receiver.Push(first, []protocol.Push{pushOf(i + 1)}, false)
	}
	old.receiver.Acked(first, 1)
	old.receiver.Closed(first, protocol.ReasonSuperseded, "")
	e := gw.stream("d")
	e.push(false, pushOf(1))
	r.wait(t, "the push of the second", func() bool { return len(r.calls[second]) == 1 })
	r.mu.Lock()
	defer r.mu.Unlock()
	if fmt.Sprint(r.calls[first]) != "[lost 0]" || fmt.Sprint(r.calls[second]) != "[push 1]" {
		t.Errorf("the calls are %v", r.calls)
	}
}

// orderOverBreak: a publish whose answer was lost is not overtaken by one of its user that is sent over the healed link.
func orderOverBreak(t *testing.T, gw *scripted, l Breakable) {
	log := newPublishLog(gw)
	first := log.hold("m1")
	answer := make(chan error, 1)
	go func() { answer <- l.Publish(background, messagesOf("u", "m1"))[0].Err }()
	<-first.begun
	l.Break()
	if err := receive(t, answer); !errors.Is(err, link.ErrLost) {
		t.Errorf("the publish under way: %v", err)
	}
	healed := make(chan struct{})
	go func() { // a link may wait for what is under way
		l.Heal()
		close(healed)
	}()
	second := make(chan error, 1)
	go func() {
		<-healed
		second <- l.Publish(background, messagesOf("u", "m2"))[0].Err
	}()
	if !l.Waits {
		receive(t, healed)
		for i := range 20 { // behind the second
			if err := l.Publish(background, messagesOf("v", fmt.Sprint("other", i)))[0].Err; err != nil {
				t.Errorf("a publish to another user: %v", err)
			}
		}
	}
	log.never(t, "m2")
	close(first.release)
	if err := receive(t, second); err != nil {
		t.Errorf("the second: %v", err)
	}
	log.want(t, "begin m1", "end m1", "begin m2", "end m2")
}
