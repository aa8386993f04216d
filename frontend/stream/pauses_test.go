package stream

import (
	"testing"
	"testing/synctest"
	"time"

	"ramen/protocol"
)

// sleeper is an FrameWriter at whose first heartbeat the process does not run for a while: that is how the wheel meets it.
type sleeper struct {
	*tape
	sleep time.Duration
	woke  chan struct{}
}

func (o *sleeper) WriteHeartbeat(ms int64) WriteResult {
	if o.sleep > 0 {
		time.Sleep(o.sleep)
		o.sleep = 0
		close(o.woke)
	}
	return o.tape.WriteHeartbeat(ms)
}

// asleep opens streams on a server that does not run for a while after 4 s, and calls then when it runs again.
func asleep(t *testing.T, sleep time.Duration, open func(s *fixture), then func(s *fixture)) {
	synctest.Test(t, func(t *testing.T) {
		s, stop := newFixture(t, func(c *Config) { c.MaxAge = 0 })
		defer stop()
		s.noPoller = true // what holds up one is to hold up all
		open(s)
		x, o := s.open(protocol.TransportSSE, 4000, time.Time{})
		woke := make(chan struct{})
		x.locked(func() { x.out = &sleeper{o, sleep, woke} })
		<-woke
		then(s)
	})
}

func TestFix22SilenceWhileTheServerDidNotRunIsNotCounted(t *testing.T) {
	for _, transport := range []protocol.Transport{protocol.TransportWS, protocol.TransportGRPC} {
		var x *Stream
		var o *tape
		asleep(t, 30*time.Second,
			func(s *fixture) { x, o = s.open(transport, 4000, time.Time{}) },
			func(s *fixture) {
				pass(100 * time.Millisecond)
				x.locked(func() {
					if o.ended != protocol.ReasonNone {
						t.Fatalf("%v: it has ended with %v, though it was not asked", transport, o.ended)
					}
				})
				pass(time.Second)
				asked := 0
				x.locked(func() { asked = len(o.beats) })
				if asked == 0 {
					t.Fatalf("%v: it is not asked", transport)
				}
				x.OnInbound(true)
				pass(10 * time.Second)
				x.locked(func() {
					if o.ended != protocol.ReasonNone {
						t.Fatalf("%v: it has ended with %v, though it answered", transport, o.ended)
					}
				})
				pass(4 * time.Second) // now the silence counts
				x.locked(func() {
					if o.ended != protocol.ReasonAckTimeout {
						t.Fatalf("%v: it has not ended after a silence, but with %v", transport, o.ended)
					}
				})
			})
	}
}

func TestFix22StuckSocketIsNotCutOffForAPause(t *testing.T) {
	var x *Stream
	var o *tape
	var slow time.Duration
	asleep(t, 60*time.Second,
		func(s *fixture) {
			slow = s.cfg.TooSlow
			x, o = s.open(protocol.TransportSSE, 4000, time.Time{})
			o.kept = 100
			x.Push(0, []protocol.Push{{Seq: 1, Cursor: "k", Message: &protocol.Message{Priority: 1}}}, false)
		},
		func(s *fixture) {
			pass(100 * time.Millisecond)
			x.locked(func() {
				if o.ended != protocol.ReasonNone {
					t.Fatalf("it has ended with %v", o.ended)
				}
			})
			pass(slow)
			x.locked(func() {
				if o.ended != protocol.ReasonTooSlow {
					t.Fatalf("it has not ended as too slow, but with %v", o.ended)
				}
			})
		})
}

// Of a silence all pauses are left out, and of a pause what the silence has of it.
func TestFix22PausesAreSummed(t *testing.T) {
	var p pauses
	p.seen = 1000
	for _, now := range []int64{1062, 1124, 3124, 3200, 3300, 4300} { // 2 s and 1 s
		p.look(now)
	}
	for from, want := range map[int64]int64{0: 3000, 1124: 3000, 2124: 2000, 3124: 1000, 3300: 1000, 4000: 300, 4300: 0, 9000: 0} {
		if got := p.since(from); got != want {
			t.Errorf("since %d there were %d ms of pauses, not %d", from, got, want)
		}
	}
	for i := range int64(3 * rememberedPauses) {
		p.look(10_000 + i*1000)
	}
	if got := p.since(0); got < 1000*(rememberedPauses-1) {
		t.Errorf("%d ms of many pauses are left", got)
	}
}
