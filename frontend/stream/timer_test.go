package stream

import (
	"context"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"ramen/frontend/auth"
	"ramen/protocol"
)

// tickMS is how exact the wheel is, in ms.
const tickMS = 1000/wheelRate + 1

func TestHeartbeatsKeepTheirInterval(t *testing.T) {
	for _, interval := range []int32{1000, 4000, 60_000} {
		synctest.Test(t, func(t *testing.T) {
			s, stop := newFixture(t, func(c *Config) { c.MaxAge = 0 })
			defer stop()
			var tapes []*tape
			begin := s.clock.now()
			for range 1000 { // all at once
				_, o := s.open(protocol.TransportSSE, interval, time.Time{})
				tapes = append(tapes, o)
			}
			pass(time.Duration(interval) * time.Millisecond * 6)
			ticks := map[int64]int{}
			for _, o := range tapes {
				last := begin
				if len(o.beats) < 5 {
					t.Fatalf("%d heartbeats in 6 intervals", len(o.beats))
				}
				for _, at := range o.beats {
					if gap := at - last; gap > int64(interval)*5/4 || gap < int64(interval)*7/8-tickMS {
						t.Fatalf("%d ms between two signs of life, of an interval of %d", gap, interval)
					}
					last = at
					if at > begin+4*int64(interval) {
						ticks[tickOf(at)]++
					}
				}
			}
			if err := s.Check(); err != nil {
				t.Fatal(err)
			}
			if interval == 60_000 {
				return // the horizon: slots are plenty
			}
			share := 1000 * 1000 / wheelRate / int(interval)
			for tick, n := range ticks {
				if n > 6*share+16 {
					t.Fatalf("%d heartbeats in tick %d: an even share is %d", n, tick, share)
				}
			}
		})
	}
}

func TestNoHeartbeatWhileWrittenTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, stop := newFixture(t, nil)
		defer stop()
		x, o := s.open(protocol.TransportSSE, 4000, time.Time{})
		for seq := range protocol.Seq(20) {
			pass(2 * time.Second)
			x.Push(0, []protocol.Push{{Seq: seq + 1, Cursor: "c", Message: &protocol.Message{Priority: 1}}}, false)
		}
		if len(o.beats) != 0 || o.pushes != 20 {
			t.Fatalf("%d heartbeats among %d pushes", len(o.beats), o.pushes)
		}
	})
}

// A device that is pushed to and does not ack has to be asked whether it lives.
func TestSilentTwoWayDeviceIsAskedWhilePushedTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, stop := newFixture(t, nil)
		defer stop()
		x, o := s.open(protocol.TransportWS, 4000, time.Time{})
		echoed := 0
		for seq := range protocol.Seq(20) {
			pass(2 * time.Second)
			x.Push(0, []protocol.Push{{Seq: seq + 1, Cursor: "c", Message: &protocol.Message{Priority: 1}}}, false)
			beats := 0
			x.locked(func() { beats = len(o.beats) })
			if beats > echoed {
				x.OnInbound(true) // late
				echoed++
			}
		}
		if len(o.beats) < 5 || o.ended != protocol.ReasonNone {
			t.Fatalf("%d heartbeats; ended with %v", len(o.beats), o.ended)
		}
	})
}

func TestSilentDeviceEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, stop := newFixture(t, nil)
		defer stop()
		_, two := s.open(protocol.TransportWS, 4000, time.Time{})
		_, one := s.open(protocol.TransportSSE, 4000, time.Time{})
		begin := s.clock.now()
		pass(30 * time.Second)
		if two.ended != protocol.ReasonAckTimeout || len(two.away) != 1 {
			t.Fatalf("two-way: ended with %v, said %v", two.ended, two.away)
		}
		if lived := two.at - begin; lived < 12_000 || lived > 12_000+2*tickMS {
			t.Fatalf("it ended after %d ms, not 3 intervals", lived)
		}
		if one.ended != protocol.ReasonNone {
			t.Fatalf("one-way: ended with %v", one.ended)
		}
	})
}

func TestExpiredTokenEndsTheStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, stop := newFixture(t, nil)
		defer stop()
		begin := s.clock.now()
		_, o := s.open(protocol.TransportSSE, 60_000, time.Now().Add(17*time.Second))
		x, later := s.open(protocol.TransportSSE, 60_000, time.Now().Add(10*time.Minute))
		s.tokens = oneToken(auth.Claims{User: "u", Expires: time.Now().Add(30 * time.Second)})
		if !x.renew("new") { // sooner than it was
			t.Fatal("the new token was refused")
		}
		pass(time.Minute)
		if o.ended != protocol.ReasonUnauthenticated || len(o.away) != 1 || o.at-begin < 17_000 || o.at-begin > 17_000+2*tickMS {
			t.Fatalf("ended with %v after %d ms, said %v", o.ended, o.at-begin, o.away)
		}
		if later.ended != protocol.ReasonUnauthenticated || later.at-begin < 30_000 || later.at-begin > 30_000+2*tickMS {
			t.Fatalf("the refreshed one ended with %v after %d ms", later.ended, later.at-begin)
		}
	})
}

// oneToken is a Verifier that takes every token for the same.
type oneToken auth.Claims

func (t oneToken) Verify(string) (auth.Claims, error) { return auth.Claims(t), nil }

func TestOldStreamsLeaveSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, stop := newFixture(t, func(c *Config) { c.MaxAge = 100 * time.Second; c.DrainTime = 5 * time.Second })
		defer stop()
		begin := s.clock.now()
		var tapes []*tape
		for range 100 {
			_, o := s.open(protocol.TransportSSE, 4000, time.Time{})
			tapes = append(tapes, o)
		}
		pass(110 * time.Second)
		least, most := int64(1<<62), int64(0)
		for _, o := range tapes {
			if o.ended != protocol.ReasonRebalance || len(o.away) != 1 || o.away[0].Reason != protocol.ReasonRebalance || o.away[0].ReconnectMS != 4000 {
				t.Fatalf("ended with %v, said %v", o.ended, o.away)
			}
			least, most = min(least, o.at-begin), max(most, o.at-begin)
		}
		if least < 95_000 || most > 105_200 || most-least < 3000 {
			t.Fatalf("they ended between %d and %d ms", least, most)
		}
	})
}

func TestStuckSocketIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, stop := newFixture(t, nil)
		defer stop()
		x, o := s.open(protocol.TransportWS, 4000, time.Time{})
		x.locked(func() { o.kept = 1000 })
		x.Push(0, []protocol.Push{{Seq: 1, Cursor: "c", Message: &protocol.Message{Priority: 1}}}, false)
		begin := s.clock.now()
		pass(20 * time.Second)
		x.OnWritten(10) // some progress
		pass(29 * time.Second)
		x.locked(func() {
			if o.ended != protocol.ReasonNone || len(o.beats) != 0 {
				t.Errorf("ended with %v after %d ms, %d heartbeats", o.ended, o.at-begin, len(o.beats))
			}
		})
		pass(2 * time.Second)
		if o.ended != protocol.ReasonTooSlow || len(o.away) != 0 {
			t.Fatalf("ended with %v, said %v", o.ended, o.away)
		}
	})
}

func TestDrainAsksAllToLeaveThenEndsThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, stop := newFixture(t, nil)
		defer stop()
		var tapes []*tape
		for range 500 {
			_, o := s.open(protocol.TransportSSE, 4000, time.Time{})
			tapes = append(tapes, o)
		}
		begin := s.clock.now()
		if !s.drain(t.Context()) {
			t.Fatal("streams are left")
		}
		synctest.Wait()
		if took := s.clock.now() - begin; took > 6200 {
			t.Fatalf("it took %d ms", took)
		}
		first := int64(1 << 62)
		for _, o := range tapes {
			if o.ended != protocol.ReasonDrain || len(o.away) != 1 || o.away[0].ReconnectMS != 4000 {
				t.Fatalf("ended with %v, said %v", o.ended, o.away)
			}
			first = min(first, o.at-begin)
		}
		if first < 5000 {
			t.Fatalf("one ended after %d ms", first)
		}
	})
}

// Random coming, going, moving: the wheel's accounts stay right.
func TestWheelAccountsForEveryStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seed := rand.Uint64()
		r := rand.New(rand.NewPCG(seed, 1))
		s, stop := newFixture(t, nil)
		defer stop()
		var all []*Stream
		for range 5000 {
			switch r.IntN(6) {
			case 0, 1:
				x, _ := s.open(protocol.TransportSSE, int32(1000+r.IntN(59_000)), time.Time{})
				all = append(all, x)
			case 2:
				if len(all) > 0 {
					i := r.IntN(len(all))
					all[i].Finish(protocol.ReasonGone, "")
					all = append(all[:i], all[i+1:]...)
				}
			case 3:
				if len(all) > 0 {
					x := all[r.IntN(len(all))]
					x.timers().reschedule(x, s.clock.now()+int64(r.IntN(70_000)))
				}
			case 4:
				pass(time.Duration(r.IntN(100)) * time.Millisecond)
			case 5:
				if r.IntN(100) == 0 {
					s.wheels[r.IntN(len(s.wheels))].spread(int64(r.IntN(2000)))
				}
			}
		}
		synctest.Wait()
		if err := s.Check(); err != nil || s.Len() != len(all) {
			t.Fatalf("seed %d: %d on the wheel, %d are open: %v", seed, s.Len(), len(all), err)
		}
	})
}

// What pushes and a slow connection need is given back: the ring with the last ack, the backpressure by the timer.
func TestIdleStreamHoldsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, stop := newFixture(t, nil)
		defer stop()
		x, o := s.open(protocol.TransportWS, 60_000, time.Time{})
		for seq := range protocol.Seq(20) {
			x.Push(0, []protocol.Push{{Seq: seq + 1, Cursor: "c", Message: &protocol.Message{}}}, false)
		}
		o.kept = 7 // the socket is full
		x.Push(0, []protocol.Push{{Seq: 21, Cursor: "c", Message: &protocol.Message{}}}, false)
		x.locked(func() {
			if x.ring.len() != 21 || x.backpressure == nil {
				t.Errorf("%d pushes are unacked, backpressure is %v", x.ring.len(), x.backpressure)
			}
		})
		o.kept = 0
		x.OnWritten(7)
		x.OnAcks(&Acks{some: true, seq: 21})
		x.timers().reschedule(x, s.clock.now()+100)
		pass(time.Second)
		x.locked(func() {
			if x.ring != nil || x.backpressure != nil {
				t.Errorf("ring is %v, backpressure %v", x.ring, x.backpressure)
			}
		})
		x.Finish(protocol.ReasonGone, "")
	})
}

// A time that is asked for while a stream is being called, or before it is on the wheel, is not lost to what the call answers.
func TestTimeAskedForDuringACallIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClock()
		var w *wheel
		var at []int64
		x := &Stream{}
		w = newWheel(c, func(s *Stream, now int64) (int64, int64) {
			if at = append(at, now); len(at) == 1 {
				w.reschedule(s, now+100) // another goroutine, after the call has looked
			}
			return now + 60_000, 0
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { w.run(ctx); close(done) }()
		begin := c.now()
		w.reschedule(x, begin+200)
		w.add(x, begin+60_000, 0)
		time.Sleep(time.Second)
		cancel()
		<-done
		if len(at) != 2 || at[0]-begin < 200 || at[0]-begin > 250 || at[1]-at[0] < 100 || at[1]-at[0] > 150 {
			t.Fatalf("called at %v, counted from %d", at, begin)
		}
	})
}

// A stream is on the wheel of its poller, or on that of those without; all wheels are counted, checked, and called by a drain. A wheel
// that has been empty for long goes on from the present.
func TestTimersAreKeptByPoller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, stop := newFixture(t, nil)
		defer stop()
		pass(10 * time.Minute)
		var tapes []*tape
		for range 9 {
			_, o := s.open(protocol.TransportSSE, 4000, time.Time{})
			tapes = append(tapes, o)
		}
		for i, w := range s.wheels {
			if w.len() != 3 {
				t.Errorf("wheel %d has %d streams of 9", i, w.len())
			}
		}
		pass(5 * time.Second)
		for i, o := range tapes {
			if len(o.beats) != 1 {
				t.Errorf("stream %d has had %d heartbeats in 5 s", i, len(o.beats))
			}
		}
		if err := s.Check(); err != nil || s.Len() != 9 {
			t.Errorf("%d streams are counted: %v", s.Len(), err)
		}
		if !s.drain(t.Context()) || s.Len() != 0 {
			t.Errorf("%d streams are left after a drain", s.Len())
		}
	})
}

// BenchmarkHeartbeat is the timer's part of a heartbeat: no socket.
func BenchmarkHeartbeat(b *testing.B) {
	s, stop := newFixture(b, nil)
	defer stop()
	x, o := s.open(protocol.TransportSSE, 4000, time.Time{})
	now := s.clock.now()
	b.ReportAllocs()
	for range b.N {
		now += 4000
		o.beats = o.beats[:0]
		x.onTimer(now)
	}
}

func TestHeartbeatAllocatesNothing(t *testing.T) {
	s, stop := newFixture(t, nil)
	defer stop()
	for _, transport := range []protocol.Transport{protocol.TransportSSE, protocol.TransportWS} {
		x, o := s.open(transport, 4000, time.Time{})
		x.locked(func() { o.beats = make([]int64, 0, 1) })
		now := s.clock.now()
		if n := testing.AllocsPerRun(100, func() {
			now += 4000
			x.heardMS = now
			o.beats = o.beats[:0]
			x.onTimer(now)
		}); n > 0 {
			t.Errorf("%v: %v allocations a heartbeat", transport, n)
		}
	}
}

// Stream is 240 bytes, with which those of SSE and WebSocket are classes of Go's allocator.
func TestStreamIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(Stream{}); size > 240 {
		t.Errorf("it takes %d bytes; want at most 240", size)
	}
}
