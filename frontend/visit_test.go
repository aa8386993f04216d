package frontend

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"ramen/frontend/admission"
	"ramen/link"
	"ramen/protocol"
)

// tape is an outlet that writes down when what was said.
type tape struct {
	clock  clock
	beats  []int64
	away   []protocol.GoAway
	ended  protocol.Reason
	at     int64 // when it ended
	kept   int   // answered to every write
	pushes int
}

func (o *tape) push(batch []protocol.Push, _ bool) written {
	o.pushes += len(batch)
	return written{100 * len(batch), o.kept}
}
func (o *tape) heartbeat(int64) written {
	o.beats = append(o.beats, o.clock.now())
	return written{1, o.kept}
}
func (o *tape) goaway(g *protocol.GoAway) written {
	o.away = append(o.away, *g)
	return written{50, o.kept}
}
func (o *tape) end(r protocol.Reason, _ string)   { o.ended, o.at = r, o.clock.now() }
func (o *tape) abort(r protocol.Reason, _ string) { o.ended, o.at = r, o.clock.now() }

// locked looks at what the outlet of x has written down.
func (x *stream) locked(f func()) {
	x.mu.Lock()
	defer x.mu.Unlock()
	f()
}

// pass lets time go by, and what is due be done.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// idleLink is a gateway's end that does nothing.
type idleLink struct{}

func (idleLink) Credit(int)                      {}
func (idleLink) Ack(protocol.Seq, string)        {}
func (idleLink) Refresh(*protocol.DeviceContext) {}
func (idleLink) Measured(uint32)                 {}
func (idleLink) Close()                          {}

// socketless is a Server without sockets, for a bubble: its wheel turns until stop.
func socketless(tb testing.TB, change func(c *Config)) (s *Server, stop func()) {
	tb.Helper()
	cfg := Default()
	if change != nil {
		change(&cfg)
	}
	m, err := newMetrics(nil)
	if err != nil {
		tb.Fatal(err)
	}
	s = &Server{cfg: cfg, metrics: m, log: slog.New(slog.DiscardHandler), clock: newClock(), router: newGateway()}
	s.admission = admission.New(cfg.Limits)
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.wheel = newWheel(s.clock, (*stream).visit)
	s.reopens = &reopens{ctx: s.ctx, limit: cfg.Reopens}
	s.turning.Go(func() { s.wheel.run(s.ctx) })
	return s, func() {
		s.cancel()
		s.turning.Wait()
		s.reopens.close()
	}
}

// stand opens a stream on a tape.
func (s *Server) stand(t protocol.Transport, heartbeatMS int32, expires time.Time) (*stream, *tape) {
	o := &tape{clock: s.clock}
	x := &stream{}
	permit, _ := s.admission.Admit("")
	x.init(s, &request{query{heartbeatMS: heartbeatMS}, identity{"u", "d", expires}}, t, o)
	x.start(idleLink{}, link.Opened{Name: "s"}, permit, func(*protocol.Hello) (written, error) { return written{10, 0}, nil })
	return x, o
}

// tickMS is how exact the wheel is, in ms.
const tickMS = 1000/wheelRate + 1

func TestHeartbeatsKeepTheirInterval(t *testing.T) {
	for _, interval := range []int32{1000, 4000, 60_000} {
		synctest.Test(t, func(t *testing.T) {
			s, stop := socketless(t, func(c *Config) { c.MaxAge = 0 })
			defer stop()
			var tapes []*tape
			begin := s.clock.now()
			for range 1000 { // all at once
				_, o := s.stand(protocol.TransportSSE, interval, time.Time{})
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
			if err := s.wheel.check(); err != nil {
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
		s, stop := socketless(t, nil)
		defer stop()
		x, o := s.stand(protocol.TransportSSE, 4000, time.Time{})
		for seq := range protocol.Seq(20) {
			pass(2 * time.Second)
			x.Push([]protocol.Push{{Seq: seq + 1, Cursor: "c", Message: &protocol.Message{Priority: 1}}}, false)
		}
		if len(o.beats) != 0 || o.pushes != 20 {
			t.Fatalf("%d heartbeats among %d pushes", len(o.beats), o.pushes)
		}
	})
}

// A device that is pushed to and does not ack has to be asked whether it lives.
func TestSilentTwoWayDeviceIsAskedWhilePushedTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, stop := socketless(t, nil)
		defer stop()
		x, o := s.stand(protocol.TransportWS, 4000, time.Time{})
		echoed := 0
		for seq := range protocol.Seq(20) {
			pass(2 * time.Second)
			x.Push([]protocol.Push{{Seq: seq + 1, Cursor: "c", Message: &protocol.Message{Priority: 1}}}, false)
			beats := 0
			x.locked(func() { beats = len(o.beats) })
			if beats > echoed {
				x.heard(true) // late
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
		s, stop := socketless(t, nil)
		defer stop()
		_, two := s.stand(protocol.TransportWS, 4000, time.Time{})
		_, one := s.stand(protocol.TransportSSE, 4000, time.Time{})
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
		s, stop := socketless(t, nil)
		defer stop()
		begin := s.clock.now()
		_, o := s.stand(protocol.TransportSSE, 60_000, time.Now().Add(17*time.Second))
		x, later := s.stand(protocol.TransportSSE, 60_000, time.Now().Add(10*time.Minute))
		s.tokens = tokens{"new": {User: "u", Expires: time.Now().Add(30 * time.Second)}}
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

func TestOldStreamsLeaveSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, stop := socketless(t, func(c *Config) { c.MaxAge = 100 * time.Second; c.DrainTime = 5 * time.Second })
		defer stop()
		begin := s.clock.now()
		var tapes []*tape
		for range 100 {
			_, o := s.stand(protocol.TransportSSE, 4000, time.Time{})
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
		s, stop := socketless(t, nil)
		defer stop()
		x, o := s.stand(protocol.TransportWS, 4000, time.Time{})
		x.locked(func() { o.kept = 1000 })
		x.Push([]protocol.Push{{Seq: 1, Cursor: "c", Message: &protocol.Message{Priority: 1}}}, false)
		begin := s.clock.now()
		pass(20 * time.Second)
		x.written(10) // some progress
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
		s, stop := socketless(t, nil)
		defer stop()
		var tapes []*tape
		for range 500 {
			_, o := s.stand(protocol.TransportSSE, 4000, time.Time{})
			tapes = append(tapes, o)
		}
		begin := s.clock.now()
		if err := s.Drain(t.Context()); err != nil {
			t.Fatal(err)
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
		if _, refused := s.admission.Admit(""); refused == nil || refused.Reason != protocol.ReasonDrain {
			t.Fatalf("a new stream was not refused: %+v", refused)
		}
	})
}

// Random coming, going, moving: the wheel's books stay right.
func TestWheelKeepsItsBooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seed := rand.Uint64()
		r := rand.New(rand.NewPCG(seed, 1))
		s, stop := socketless(t, nil)
		defer stop()
		var all []*stream
		for range 5000 {
			switch r.IntN(6) {
			case 0, 1:
				x, _ := s.stand(protocol.TransportSSE, int32(1000+r.IntN(59_000)), time.Time{})
				all = append(all, x)
			case 2:
				if len(all) > 0 {
					i := r.IntN(len(all))
					all[i].finish(protocol.ReasonGone, "")
					all = append(all[:i], all[i+1:]...)
				}
			case 3:
				if len(all) > 0 {
					s.wheel.sooner(all[r.IntN(len(all))], s.clock.now()+int64(r.IntN(70_000)))
				}
			case 4:
				pass(time.Duration(r.IntN(100)) * time.Millisecond)
			case 5:
				if r.IntN(100) == 0 {
					s.wheel.sweep(int64(r.IntN(2000)))
				}
			}
		}
		synctest.Wait()
		if err := s.wheel.check(); err != nil || s.wheel.len() != len(all) {
			t.Fatalf("seed %d: %d on the wheel, %d are open: %v", seed, s.wheel.len(), len(all), err)
		}
	})
}

// The sizes are classes of Go's allocator.
func TestStreamIsSmall(t *testing.T) {
	for _, c := range []struct {
		what      string
		size, max uintptr
	}{
		{"sse", unsafe.Sizeof(sseStream{}), 288}, {"ws", unsafe.Sizeof(wsStream{}), 320}, {"grpc", unsafe.Sizeof(grpcStream{}), 448},
	} {
		if c.size > c.max {
			t.Errorf("%s takes %d bytes; want at most %d", c.what, c.size, c.max)
		}
	}
}

// What pushes and trouble need is given back: the ring with the last ack, the strain by a visit.
func TestIdleStreamHoldsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, stop := socketless(t, nil)
		defer stop()
		x, o := s.stand(protocol.TransportWS, 60_000, time.Time{})
		for seq := range protocol.Seq(20) {
			x.Push([]protocol.Push{{Seq: seq + 1, Cursor: "c", Message: &protocol.Message{}}}, false)
		}
		o.kept = 7 // the socket is full
		x.Push([]protocol.Push{{Seq: 21, Cursor: "c", Message: &protocol.Message{}}}, false)
		x.locked(func() {
			if x.ring.len() != 21 || x.strain == nil {
				t.Errorf("%d pushes are unacked, strain is %v", x.ring.len(), x.strain)
			}
		})
		o.kept = 0
		x.written(7)
		x.ack(&acks{some: true, seq: 21})
		s.wheel.sooner(x, s.clock.now()+100)
		pass(time.Second)
		x.locked(func() {
			if x.ring != nil || x.strain != nil {
				t.Errorf("ring is %v, strain %v", x.ring, x.strain)
			}
		})
		x.finish(protocol.ReasonGone, "")
	})
}

// A time that is asked for while a stream is visited, or before it is on the wheel, is not lost to what the visit answered.
func TestTimeAskedForDuringAVisitIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClock()
		var w *wheel
		var at []int64
		x := &stream{}
		w = newWheel(c, func(s *stream, now int64) (int64, int64) {
			if at = append(at, now); len(at) == 1 {
				w.sooner(s, now+100) // another goroutine, after the visit has looked
			}
			return now + 60_000, 0
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { w.run(ctx); close(done) }()
		begin := c.now()
		w.sooner(x, begin+200)
		w.add(x, begin+60_000, 0)
		time.Sleep(time.Second)
		cancel()
		<-done
		if len(at) != 2 || at[0]-begin < 200 || at[0]-begin > 250 || at[1]-at[0] < 100 || at[1]-at[0] > 150 {
			t.Fatalf("visited at %v, counted from %d", at, begin)
		}
	})
}
