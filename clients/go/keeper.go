package ramen

import (
	"context"
	"slices"
	"sync"
	"time"

	"ramen/clients/go/wire"
)

// keeper keeps one device connected: Run's goroutine. It owns the streams and decides when to open the next.
type keeper struct {
	d       *Device
	choice  choice
	backoff wire.Backoff
	events  chan event
	streams sync.WaitGroup
	ctx     context.Context // of the streams: it ends after the handler

	opening *stream   // at most one
	live    *stream   // at most one: it has said hello, and no newer one has
	leaving []*stream // replaced, and read until the server ends them

	offline bool      // the app has said that there is no network
	reopen  alarm     // the next opening
	trial   alarm     // the next trial of the preferred transport
	unclear time.Time // until then an opening of our own that was never answered may still reach the server
}

// handlerTimeout is how long the last ack waits for a handler that is under way when the device stops. clients/SPEC.md C 12.6
const handlerTimeout = 5 * time.Second

// mostLeaving bounds the streams that the server was slow to end.
const mostLeaving = 2

func newKeeper(d *Device) *keeper {
	return &keeper{d: d, choice: newChoice(&d.cfg), backoff: wire.Backoff{Rand: d.rand}, events: make(chan event)}
}

func (k *keeper) run(ctx context.Context) error {
	// The streams outlive ctx by the last ack.
	streams, end := context.WithCancelCause(context.WithoutCancel(ctx))
	k.ctx = streams
	work, stopWork := context.WithCancel(ctx)
	handled := make(chan struct{})
	k.d.saver.work.Go(func() { k.d.saver.run(work) })
	go func() {
		defer close(handled)
		k.d.handler.run(work)
	}()

	k.reopen.set(0)
	err := k.loop(ctx)

	stopWork()
	k.drainUntil(sooner(handled, handlerTimeout))
	k.d.saver.work.Wait()
	k.d.saver.once(context.WithoutCancel(ctx), flushTimeout) // what the handler has processed since
	if k.live != nil {
		flushed := make(chan struct{})
		s := k.live
		go func() { defer close(flushed); s.acker.last() }()
		k.drainUntil(flushed)
	}
	end(errStopped)
	gone := make(chan struct{})
	go func() { defer close(gone); k.streams.Wait() }()
	k.drainUntil(gone)
	<-handled
	k.reopen.stop()
	k.trial.stop()
	return err
}

// sooner is closed once done is, or d has passed.
func sooner(done <-chan struct{}, d time.Duration) <-chan struct{} {
	either := make(chan struct{})
	go func() {
		defer close(either)
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-done:
		case <-t.C:
		}
	}()
	return either
}

// drainUntil lets the streams tell what nobody needs to know any more.
func (k *keeper) drainUntil(done <-chan struct{}) {
	for {
		select {
		case <-done:
			return
		case ev := <-k.events:
			if ev.kind == eventEnd && ev.from == k.live {
				k.live = nil
			}
			if ev.kind == eventHello {
				close(ev.seen)
			}
		}
	}
}

func (k *keeper) loop(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case ev := <-k.events:
			if err := k.event(ev); err != nil {
				return err
			}
		case <-k.reopen.C():
			k.reopen.rang()
			k.open(k.choice.current(), false)
		case <-k.trial.C():
			k.trial.rang()
			if k.opening == nil && !k.reopen.isSet() && k.live != nil {
				k.open(k.choice.all[0], true)
			}
		case <-k.d.told:
			k.platform()
		case <-k.d.changed:
			if k.live != nil {
				k.live.acker.refresh(true)
			}
		}
	}
}

func (k *keeper) event(ev event) error {
	switch ev.kind {
	case eventHello:
		k.hello(ev.from, ev.hello)
		close(ev.seen)
	case eventGoAway:
		k.goAway(ev)
	case eventToken:
		if ev.from == k.live && k.opening == nil {
			ev.from.away = true
			k.reopen.set(0)
		}
	case eventEnd:
		return k.ended(ev.from, ev.err)
	}
	return nil
}

// goAway sets the moment of the next stream. SPEC 2.12.6
func (k *keeper) goAway(ev event) {
	s := ev.from
	if s != k.live || s.away {
		return
	}
	s.away = true
	if k.opening != nil {
		return // a trial: it will do
	}
	wait := k.backoff.Within(ev.wait)
	if ev.wait == 0 && time.Since(s.live) < wire.StableAfter {
		wait = k.backoff.Next() // else a server that says so each time would be asked without a pause
	}
	k.reopen.set(wait)
}

// open begins a stream. The live one, if any, is read on.
func (k *keeper) open(t Transport, trial bool) {
	if k.opening != nil {
		return
	}
	s := &stream{dev: k.d, transport: t, trial: trial, began: time.Now(), events: k.events}
	s.ctx, s.cancel = context.WithCancelCause(k.ctx)
	s.acker = newAcker(s)
	k.opening = s
	k.d.count.attempts.Add(1)
	if k.live != nil && k.live.transport == Poll {
		k.dropPoll()
	}
	if k.live != nil {
		k.live.replaced = true
	} else {
		k.d.enter(StateChange{State: StateConnecting, Transport: t})
	}
	k.streams.Go(s.run)
}

// dropPoll ends the live poll before its successor is begun: its next poll would be the newer stream. Its end is heard of later.
func (k *keeper) dropPoll() {
	k.live.cancel(errReplaced)
	k.leaving = append(k.leaving, k.live)
	k.live = nil
	k.unclear = time.Now().Add(unclearFor)
}

func (k *keeper) hello(s *stream, h Hello) {
	d := k.d
	if s == k.opening {
		k.opening = nil
		s.live = time.Now()
		if k.live != nil {
			if time.Since(k.live.live) >= wire.StableAfter {
				k.backoff.Reset()
			}
			k.leave(k.live)
		}
		k.live = s
		if s.trial {
			k.choice.tried(true, time.Now())
		}
		k.armTrial()
		if s.context != d.latestContext() {
			s.acker.refresh(true)
		}
		d.count.streams.Add(1)
		d.cfg.Logger.Debug("stream is open", "device", d.cfg.Device, "transport", s.transport, "stream", h.Stream, "resumed", h.Resumed)
		d.enter(StateChange{State: StateOnline, Transport: s.transport})
	}
	if h.Resumed {
		d.count.resumed.Add(1)
	}
	d.count.expired.Add(uint64(h.Expired))
	if d.cfg.OnHello != nil {
		d.cfg.OnHello(h)
	}
	if d.cfg.OnReload != nil && (h.Expired > 0 || !h.Resumed && s.place != "") {
		d.cfg.OnReload()
	}
}

// leave keeps reading s until the server ends it.
func (k *keeper) leave(s *stream) {
	k.leaving = append(k.leaving, s)
	if len(k.leaving) > mostLeaving {
		k.leaving[0].cancel(errStopped)
		k.leaving = slices.Delete(k.leaving, 0, 1)
	}
}

func (k *keeper) armTrial() {
	if pause, ok := k.choice.trial(time.Now()); ok {
		k.trial.set(pause)
	} else {
		k.trial.stop()
	}
}

// alarm is a timer that knows whether it is set.
type alarm struct {
	timer *time.Timer
	on    bool
}

func (a *alarm) set(d time.Duration) {
	if a.timer == nil {
		a.timer = time.NewTimer(d)
	} else {
		a.timer.Reset(d)
	}
	a.on = true
}

func (a *alarm) stop() {
	if a.timer != nil {
		a.timer.Stop()
	}
	a.on = false
}

func (a *alarm) rang()       { a.on = false }
func (a *alarm) isSet() bool { return a.on }

func (a *alarm) C() <-chan time.Time {
	if a.timer == nil {
		return nil
	}
	return a.timer.C
}
