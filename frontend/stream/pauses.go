package stream

import (
	"sync"
	"sync/atomic"
)

// pauses are the stretches in which this process did not run: it was stopped (SIGSTOP), frozen with its container or machine,
// or had no processor. Nobody was asked for a heartbeat's echo then, and nothing that came was read, so that a deadline which
// counts a peer's silence leaves them out. What they tell is seen by the wheel, between two of its calls.
type pauses struct {
	seen int64 // when the wheel was last seen to run; owned by its goroutine

	last atomic.Int64 // end of the latest pause, server clock; 0: there was none
	mu   sync.Mutex
	list [rememberedPauses]pause // guarded by mu; a ring
	next int                     // guarded by mu
}

type pause struct{ begin, end int64 } // ms, server clock

const (
	// leastPause is how long the wheel must not have run for a pause, in ms: some ticks. What is shorter is a busy machine.
	leastPause = 500
	// rememberedPauses is how many are left out of a silence; the longest deadline is 3 minutes.
	rememberedPauses = 32
)

// look notes that the wheel runs at now, and the pause behind it where there was one.
func (p *pauses) look(now int64) {
	before := p.seen
	p.seen = now
	if now-before < leastPause {
		return
	}
	p.mu.Lock()
	p.list[p.next] = pause{before, now}
	p.next = (p.next + 1) % rememberedPauses
	p.mu.Unlock()
	p.last.Store(now)
}

// since is how many ms of those since from were pauses.
func (p *pauses) since(from int64) (ms int64) {
	if p.last.Load() <= from {
		return 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, q := range p.list {
		ms += max(q.end-max(q.begin, from), 0)
	}
	return ms
}
