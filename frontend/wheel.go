package frontend

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"time"
)

// wheel visits every stream when it is due: for its heartbeat, the end of its token, its age, its silence. It is the list of
// all live streams, too.
//
// It is a ring of slots, a tick each. A stream is in one slot, or in the hand of the goroutine that visits it. Streams are kept
// apart: 15,000 that connected in the same second would otherwise beat together for ever, and hold up every push meanwhile.
// So a heartbeat may be put up to an eighth of its interval early, into the emptiest of a few slots.
//
// Goroutines: one, run. Lock order: wheel.mu is a leaf; a visit is made without it.
type wheel struct {
	visit  func(s *stream, now int64) (next, spare int64) // next 0: none
	pauses pauses

	mu    sync.Mutex
	slots [wheelSlots][]*stream
	tick  int64 // the tick that was visited last
	count int   // streams on the wheel, in hand ones included
	clock clock
}

const (
	// wheelRate is ticks a second. A tick wakes this process, and the writes of one wake devices on the same machine once: at
	// 16 a heartbeat costs a fifth less than at 64, and a deadline is seen up to 63 ms late.
	wheelRate    = 16
	wheelSlots   = 64 * wheelRate // 64 s: over the longest interval, 60 s
	wheelTick    = time.Second / wheelRate
	wheelHorizon = 63 * 1000 // ms: what is due later is visited at the horizon, and put back
	portion      = 64        // streams visited before others may run: half a millisecond
	tries        = 6         // slots looked at where the latest is full
)

func newWheel(c clock, visit func(*stream, int64) (int64, int64)) *wheel {
	return &wheel{clock: c, tick: tickOf(c.now()), visit: visit}
}

// tickOf is the tick that ends by ms.
func tickOf(ms int64) int64 { return ms * wheelRate / 1000 }

// run visits until ctx is over.
func (w *wheel) run(ctx context.Context) {
	t := time.NewTicker(wheelTick)
	defer t.Stop()
	w.pauses.seen = w.clock.now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			w.turn(ctx)
		}
	}
}

// turn visits what is due by now. A slot that streams are put back into while it is visited would be visited without end:
// place never puts one into the present.
func (w *wheel) turn(ctx context.Context) {
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
		for w.visitSome(slot) {
			runtime.Gosched()
		}
	}
}

// visitSome visits a portion of slot, and says whether there is more.
func (w *wheel) visitSome(slot int64) bool {
	var hand [portion]*stream
	w.mu.Lock()
	in := w.slots[slot]
	n := min(len(in), portion)
	copy(hand[:n], in[len(in)-n:])
	clear(in[len(in)-n:])
	w.slots[slot] = in[:len(in)-n]
	if len(in) == n && cap(in) > 4*portion {
		w.slots[slot] = nil // it was a wave
	}
	for _, s := range hand[:n] {
		s.slot = -1
	}
	more := len(in) > n
	w.mu.Unlock()

	for i, s := range hand[:n] {
		now := w.clock.now()
		w.pauses.look(now)
		next, spare := w.visit(s, now)
		w.mu.Lock()
		if next != 0 && !s.off {
			w.placeLocked(s, next, spare)
		}
		w.mu.Unlock()
		hand[i] = nil
	}
	return more
}

// add puts s on the wheel, to be visited at the time at, or up to spare ms earlier.
func (w *wheel) add(s *stream, at, spare int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s.off {
		return
	}
	w.count++
	w.placeLocked(s, at, spare)
}

// remove takes s off for good. It may come before add.
func (w *wheel) remove(s *stream) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s.off {
		return
	}
	s.off = true
	if s.on {
		w.count--
		w.takeLocked(s)
	}
}

// sooner sees to it that s is visited at the time at, if it was due later.
func (w *wheel) sooner(s *stream, at int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s.off {
		return
	}
	if !s.on || s.slot < 0 { // about to come, or in hand: what it asked for may be older than this
		if s.wish == 0 || at < s.wish {
			s.wish = at
		}
		return
	}
	if tick := w.boundLocked(tickOf(at) + 1); w.distanceLocked(tick) < w.distanceLocked(int64(s.slot)) {
		w.takeLocked(s)
		w.putLocked(s, tick%wheelSlots)
	}
}

// sweep sees to it that every stream is visited within the next span ms, evenly.
func (w *wheel) sweep(span int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	ticks := max(tickOf(span), 1)
	var late []*stream
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

// placeLocked puts s into a slot for the time at, or up to spare ms earlier.
func (w *wheel) placeLocked(s *stream, at, spare int64) {
	if s.wish != 0 && s.wish < at {
		at, spare = s.wish, 0
	}
	s.wish = 0
	last := tickOf(at)
	if spare == 0 {
		last++ // a deadline is looked at when it is over, a heartbeat before
	}
	last = w.boundLocked(last)
	best := last % wheelSlots
	if room := min(tickOf(spare), last-w.tick-1); room > 0 && len(w.slots[best]) > w.fairLocked() {
		for range tries {
			if other := (last - rand.Int64N(room+1)) % wheelSlots; len(w.slots[other]) < len(w.slots[best]) {
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

// distanceLocked is how many ticks from now a slot is visited.
func (w *wheel) distanceLocked(slot int64) int64 {
	return (slot%wheelSlots - (w.tick+1)%wheelSlots + wheelSlots) % wheelSlots
}

func (w *wheel) putLocked(s *stream, slot int64) {
	s.on, s.slot, s.pos = true, int16(slot), int32(len(w.slots[slot]))
	w.slots[slot] = append(w.slots[slot], s)
}

// takeLocked takes s out of its slot; the last one there takes its place.
func (w *wheel) takeLocked(s *stream) {
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
			if s.slot != int16(slot) || s.pos != int32(pos) || s.off {
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
