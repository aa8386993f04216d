package ramen

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"ramen/protocol"
)

// A proxy that lets no WebSocket through makes the device fall back; once it does, the device returns, without a gap.
func TestFallsBackAndReturns(t *testing.T) {
	s := newServer(t)
	var open atomic.Bool
	s.gate = func(o opening) *protocol.Error {
		if o.transport == WSProto && !open.Load() {
			return &protocol.Error{Code: "proxy"}
		}
		return nil
	}
	var tail atomic.Int64
	tail.Store(3)
	s.script = func(n int, s *scripted) { mailbox(int(tail.Load()), never)(n, s) }
	states := make(chan StateChange, 100)
	c := newCollector()
	d, _ := start(t, s, DeviceConfig{
		Transports: []Transport{WS, SSE}, PreferAfter: 50 * time.Millisecond, Handler: collect(c),
		OnState: func(st StateChange) { states <- st },
	})
	c.await(t, 3)
	if st := d.Stats(); st.Transport != SSE || st.Fallbacks != 1 {
		t.Errorf("over %s after %d fallbacks, want sse after 1", st.Transport, st.Fallbacks)
	}
	tail.Store(6)
	open.Store(true)
	c.await(t, 6)
	c.wantInOrder(t, 6)
	for {
		if st := await(t, "the return", states); st.State == StateOnline && st.Transport == WS {
			break
		}
	}
}

func TestTheServersRefusalIsNoReasonToFallBack(t *testing.T) {
	s := newServer(t)
	refusals := 0
	s.gate = func(opening) *protocol.Error {
		if refusals++; refusals <= 5 {
			return protocol.Errorf(protocol.CodeUnavailable, "no owner")
		}
		return nil
	}
	s.script = mailbox(1, never)
	c := newCollector()
	start(t, s, DeviceConfig{Transports: []Transport{WS, SSE, Poll}, Handler: collect(c)})
	c.await(t, 1)
	for _, o := range s.opened() {
		if o.transport != WSProto {
			t.Errorf("opened over %s", o.transport)
		}
	}
}

func TestChoiceGoesRoundAndTriesThePreferred(t *testing.T) {
	now := time.Unix(0, 0)
	cfg := DeviceConfig{Transports: []Transport{WS, SSE, Poll}, FallbackAfter: 2, PreferAfter: 5 * time.Minute}
	c := newChoice(&cfg)
	want := []Transport{WS, WS, SSE, SSE, Poll, Poll, WS}
	for i, w := range want {
		if c.current() != w {
			t.Fatalf("attempt %d goes over %s, want %s", i, c.current(), w)
		}
		c.failed(now)
	}
	c.failed(now)
	for _, pause := range []time.Duration{5, 10, 20, 40, 60, 60} {
		got, ok := c.trial(now)
		if !ok || got != pause*time.Minute {
			t.Fatalf("next trial in %v, want %v", got, pause*time.Minute)
		}
		now = now.Add(got)
		c.tried(false, now)
	}
	c.tried(true, now)
	if _, ok := c.trial(now); ok || c.current() != WS {
		t.Fatal("a trial that went well does not end the fallback")
	}
}

// Nobody listens: the device goes round, with pauses that grow.
func TestNobodyThere(t *testing.T) {
	pauses := make(chan StateChange, 100)
	d, err := New(DeviceConfig{URL: "http://127.0.0.1:1", User: "u", Device: "d", Handler: collect(newCollector()),
		OnState: func(s StateChange) {
			if s.State == StateWaiting {
				pauses <- s
			}
		}})
	if err != nil {
		t.Fatal(err)
	}
	d.rand = func(int64) int64 { return 0 }
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	seen := map[Transport]bool{}
	for range 8 {
		st := await(t, "a pause", pauses)
		if st.Err == nil {
			t.Error("a pause without a reason")
		}
		seen[st.Transport] = true
	}
	cancel()
	if err := await(t, "Run's end", ended); err != context.Canceled {
		t.Errorf("Run ended with %v", err)
	}
	if len(seen) != 3 {
		t.Errorf("tried %v", seen)
	}
}

// SPEC 2.11: a poll is a stream, so a poll beside a trial would supersede it.
func TestAPollMakesWayForATrial(t *testing.T) {
	s := newServer(t)
	var blocked atomic.Bool
	blocked.Store(true)
	s.gate = func(o opening) *protocol.Error {
		if o.transport == WSProto && blocked.Load() {
			return &protocol.Error{Code: "proxy"}
		}
		return nil
	}
	polls := make(chan struct{}, 1000)
	s.script = func(n int, s *scripted) {
		if s.transport == Poll {
			polls <- struct{}{}
		}
		mailbox(3, never)(n, s)
	}
	states := make(chan StateChange, 1000)
	c := newCollector()
	start(t, s, DeviceConfig{
		Transports: []Transport{WS, Poll}, PreferAfter: 20 * time.Millisecond, Handler: collect(c),
		OnState: func(st StateChange) { states <- st },
	})
	for range 5 { // trials that fail leave the device polling
		await(t, "a poll", polls)
	}
	blocked.Store(false)
	for st := await(t, "the return", states); st.State != StateOnline || st.Transport != WS; st = await(t, "the return", states) {
	}
	opens := s.opened()
	if last := opens[len(opens)-1]; last.transport != WSProto {
		t.Errorf("opened last over %s", last.transport)
	}
	c.wantInOrder(t, 3)
}
