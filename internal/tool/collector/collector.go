// Package collector sets how much garbage the process may hold by how fast it makes it.
//
// Go's own setting, as much garbage as there is live memory, doubles what an idle stream costs; a low one makes a busy
// server collect several times a second. So the room for garbage is what is allocated in a second, in steps from 15 % to
// 200 % of what is live: raised at once, lowered after some quiet seconds. When it has come down to the least, what is
// free is given back to the system: after a wave of connects, say. And once more somewhat later: much of what a wave leaves, such
// as the newest rows of a store, is kept for some seconds, and would else stay until the heap has grown by the least step.
//
// Goroutines: none of its own.
package collector

import (
	"context"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	interval = time.Second
	calm     = 5  // intervals that a lower step must have been enough before it is taken
	pause    = 60 // intervals between two waves' returns of memory to the system, unless half more is live: each is a full collection
	later    = 10 // intervals from a return to its second: over the 7 s for which the embedded store keeps rows by then
)

// steps are the values of GOGC, in percent of live memory.
var steps = [...]int{15, 25, 50, 100, 200}

const initial = 3 // in steps: Go's own 100 %

// tuner follows the rate of allocation. The zero value is at the least step.
type tuner struct {
	step   int    // in steps
	lower  int    // intervals for which a lower step would have done
	rest   int    // intervals before memory may be returned again
	second int    // intervals at the least step until the second return; 0: none is to come
	raised bool   // since memory was returned
	live   uint64 // when memory was returned, in bytes
}

// next is told what was allocated in an interval and what was live after the last collection, in bytes. It answers whether
// the step has changed, and whether memory is to be returned: at the least step, after a higher one.
func (t *tuner) next(allocated, live uint64) (changed, giveBack bool) {
	t.rest = max(t.rest-1, 0)
	switch want := stepFor(allocated, live); {
	case want > t.step:
		t.step, t.lower, t.raised = want, 0, true
		return true, false
	case want == t.step:
		t.lower = 0
	default:
		if t.lower++; t.lower == calm {
			t.step, t.lower, changed = want, 0, true
		}
	}
	switch {
	case t.step != 0:
		if t.second > 0 {
			t.second = later // after the burst: within the pause, it has no return of its own
		}
	case t.raised && (t.rest == 0 || live > t.live+t.live/2):
		t.raised, t.rest, t.second, t.live, giveBack = false, pause, later, live, true
	case t.second > 0:
		t.second--
		giveBack = t.second == 0
	}
	return changed, giveBack
}

// stepFor is the least step that holds what an interval allocates.
func stepFor(allocated, live uint64) int {
	for i, percent := range steps {
		if allocated <= live/100*uint64(percent) {
			return i
		}
	}
	return len(steps) - 1
}

// Tune sets GOGC until ctx ends. GOMEMLIMIT holds as ever.
func Tune(ctx context.Context) {
	t := tuner{step: initial}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	samples := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/heap/live:bytes"}}
	metrics.Read(samples)
	for before := samples[0].Value.Uint64(); ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		metrics.Read(samples)
		now := samples[0].Value.Uint64()
		changed, giveBack := t.next(now-before, samples[1].Value.Uint64())
		before = now
		if changed {
			debug.SetGCPercent(steps[t.step])
		}
		if giveBack {
			runtime.GC() // pools are emptied, and deep stacks shrunk, in two turns
			debug.FreeOSMemory()
		}
	}
}
