package stream

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"time"
)

// wheel calls onTimer of its streams when they are due: for their heartbeats, the end of their tokens, their age, their silence. It
// is the list of them, too. There is one for each poller of package sock, for the streams whose connections that serves, so that
// timers use all processors and contend for no lock; and one for all streams without a poller.
//
// It is a ring of slots, a tick each. A stream is in one slot, or taken out by the goroutine that calls it. Streams are kept
// apart: the heartbeats of 15,000 that connected in the same second would otherwise stay together for ever, and hold up every push
// meanwhile. So a heartbeat may be put up to an eighth of its interval early, into the emptiest of a few slots.
//
// Goroutines: one, run, which sleeps while the wheel is empty. Lock order: wheel.mu is a leaf; onTimer is called without it.
//
// The goroutine is not the poller's own. All that a wheel without work costs is 0.4 ms of CPU a second, its 16 wake-ups, most of which a
// poller would need as well: it waits in the runtime's poller, and its timeout is a timer like this one's. But the heartbeats of a tick
// (2 ms at 15,000 streams) would hold up acks and connects that come meanwhile, and a burst of these would hold up the heartbeats.
type wheel struct {
	onTimer func(s *Stream, now int64) (next, slack int64) // next 0: none
	pauses  pauses
	filled  chan struct{} // the wheel was empty, and is not any more
	draw    func(n int64) int64

	mu    sync.Mutex
	slots [wheelSlots][]*Stream
	tick  int64 // the last one that was served
	count int   // streams on the wheel, those that are being called included
	clock clock
}

const (
	// wheelRate is ticks a second, at which all wheels wake together. A tick wakes this process once, and its writes wake devices on the
	// same machine once: at 16 a heartbeat costs a fifth less than at 64, and a deadline is seen up to 63 ms late.
	wheelRate    = 16
	wheelSlots   = 64 * wheelRate // 64 s: over the longest interval, 60 s
	wheelHorizon = 63 * 1000      // ms: what is due later is called at the horizon, and put back
	portion      = 64             // streams called before other goroutines may run: half a millisecond
	tries        = 6              // slots looked at where the latest is full
)

func newWheel(c clock, onTimer func(*Stream, int64) (int64, int64)) *wheel {
	now := c.now()
	return &wheel{clock: c, tick: tickOf(now), onTimer: onTimer, draw: rand.Int64N, filled: make(chan struct{}, 1), pauses: pauses{seen: now}}
}

// tickOf is the tick that ends by ms.
func tickOf(ms int64) int64 { return ms * wheelRate / 1000 }

// run serves the wheel until ctx is over.
func (w *wheel) run(ctx context.Context) {
	t := time.NewTimer(0)
	defer t.Stop()
	for {
		if w.len() == 0 {
			select {
			case <-ctx.Done():
				return
			case <-w.filled:
				w.pauses.seen = w.clock.now()
			}
		}
		t.Reset(w.clock.untilTick())
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			w.advance(ctx)
		}
	}
}

// untilTick is how long it is until the next tick is over.
func (c clock) untilTick() time.Duration {
	now := time.Since(c.start)
	next := tickOf(now.Milliseconds()) + 1
	over := (next*1000 + wheelRate - 1) / wheelRate // the first ms of which tickOf is next
	return time.Duration(over)*time.Millisecond - now
}

// advance calls what is due by now. A slot that streams are put back into while it is served would be served without end:
// placeLocked never puts one into the present.
func (w *wheel) advance(ctx context.Context) {
	now := w.clock.now()
	w.pauses.look(now)
	for target := tickOf(now); ctx.Err() == nil; {
		w.mu.Lock()
		if w.tick >= target {
			w.mu.Unlock()
			return
		}
		w.tick++
		slot := w.tick % wheelSlots
		w.mu.Unlock()
		for w.serveSome(slot) {
			runtime.Gosched()
		}
	}
}

// serveSome calls a portion of slot, and says whether there is more.
func (w *wheel) serveSome(slot int64) bool {
	var due [portion]*Stream
	w.mu.Lock()
	in := w.slots[slot]
	n := min(len(in), portion)
	copy(due[:n], in[len(in)-n:])
	clear(in[len(in)-n:])
	w.slots[slot] = in[:len(in)-n]
	if len(in) == n && cap(in) > 4*portion {
		w.slots[slot] = nil // it was a wave
	}
	for _, s := range due[:n] {
		s.slot = -1
	}
	more := len(in) > n
	w.mu.Unlock()

	for i, s := range due[:n] {
		now := w.clock.now()
		w.pauses.look(now)
		next, slack := w.onTimer(s, now)
		w.mu.Lock()
		if next != 0 && s.membership != offWheel {
			w.placeLocked(s, next, slack)
		}
		w.mu.Unlock()
		due[i] = nil
	}
	return more
}

// add puts s on the wheel, to be called at the time at, or up to slack ms earlier.
func (w *wheel) add(s *Stream, at, slack int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s.membership == offWheel {
		return
	}
	if w.count++; w.count == 1 {
		w.tick = max(w.tick, tickOf(w.clock.now())) // an empty wheel stands still
		select {
		case w.filled <- struct{}{}:
		default:
		}
	}
	w.placeLocked(s, at, slack)
}

// remove takes s off for good. It may come before add.
func (w *wheel) remove(s *Stream) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s.membership == offWheel {
		return
	}
	if s.membership == onWheel {
		w.count--
		w.takeLocked(s)
	}
	s.membership = offWheel
}

// reschedule has s called at the time at, if it was due later. Store what it is to find there before.
func (w *wheel) reschedule(s *Stream, at int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s.membership == offWheel {
		return
	}
	if s.membership != onWheel || s.slot < 0 { // not added yet, or being called: the time that it answers may be older than this
		if s.timerMS == 0 || at < s.timerMS {
			s.timerMS = at
		}
		return
	}
	if tick := w.boundLocked(tickOf(at) + 1); w.distanceLocked(tick) < w.distanceLocked(int64(s.slot)) {
		w.takeLocked(s)
		w.putLocked(s, tick%wheelSlots)
	}
}

// spread has every stream called within the next span ms, evenly.
func (w *wheel) spread(span int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	ticks := max(tickOf(span), 1)
	var late []*Stream
	for distance := ticks; distance < wheelSlots; distance++ {
		slot := (w.tick + 1 + distance) % wheelSlots
		late = append(late, w.slots[slot]...)
		w.slots[slot] = nil
	}
	for i, s := range late {
		w.putLocked(s, (w.tick+1+int64(i)%ticks)%wheelSlots)
	}
}

// len is how many streams are on the wheel.
func (w *wheel) len() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.count
}

// placeLocked puts s into a slot for the time at, or up to slack ms earlier.
func (w *wheel) placeLocked(s *Stream, at, slack int64) {
	if s.timerMS != 0 && s.timerMS < at {
		at, slack = s.timerMS, 0
	}
	s.timerMS = 0
	last := tickOf(at)
	if slack == 0 {
		last++ // a deadline is looked at when it is over, a heartbeat before
	}
	last = w.boundLocked(last)
	best := last % wheelSlots
	if room := min(tickOf(slack), last-w.tick-1); room > 0 && len(w.slots[best]) > w.fairLocked() {
		for range tries {
			if other := (last - w.draw(room+1)) % wheelSlots; len(w.slots[other]) < len(w.slots[best]) {
				best = other
			}
		}
	}
	w.putLocked(s, best)
}

// fairLocked is how many streams a slot may hold without others being looked at: a quarter more than its share of an interval
// of 4 s.
func (w *wheel) fairLocked() int { return w.count/(4*wheelRate*4/5) + 2 }

// boundLocked moves a tick into what the ring holds: after the present, within the horizon.
func (w *wheel) boundLocked(tick int64) int64 {
	return min(max(tick, w.tick+1), w.tick+tickOf(wheelHorizon))
}

// distanceLocked is how many ticks from now a slot is served.
func (w *wheel) distanceLocked(slot int64) int64 {
	return (slot%wheelSlots - (w.tick+1)%wheelSlots + wheelSlots) % wheelSlots
}

func (w *wheel) putLocked(s *Stream, slot int64) {
	s.membership, s.slot, s.pos = onWheel, int16(slot), int32(len(w.slots[slot]))
	w.slots[slot] = append(w.slots[slot], s)
}

// takeLocked takes s out of its slot; the last one there takes its place.
func (w *wheel) takeLocked(s *Stream) {
	if s.slot < 0 {
		return
	}
	in := w.slots[s.slot]
	last := len(in) - 1
	moved := in[last]
	in[s.pos], moved.pos = moved, s.pos
	in[last] = nil
	w.slots[s.slot] = in[:last]
	s.slot = -1
}

// check recounts.
func (w *wheel) check() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for slot, in := range w.slots {
		for pos, s := range in {
			if s.slot != int16(slot) || s.pos != int32(pos) || s.membership == offWheel {
				return fmt.Errorf("frontend: check: a stream at %d/%d of the wheel believes to be at %d/%d", slot, pos, s.slot, s.pos)
			}
		}
		n += len(in)
	}
	if n > w.count || n < w.count-portion {
		return fmt.Errorf("frontend: check: %d streams are in the wheel's slots, %d on it", n, w.count)
	}
	return nil
}

// each calls f for every stream in a slot, under the wheel's mutex.
func (w *wheel) each(f func(s *Stream)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, in := range w.slots {
		for _, s := range in {
			f(s)
		}
	}
}
