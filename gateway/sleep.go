package gateway

import (
	"sync/atomic"
	"time"
)

// sleepTolerance is how far the two clocks may be apart that are read one after the other.
const sleepTolerance = int64(100 * time.Millisecond)

// sleepWatch finds that the machine was suspended: leases are counted by the monotonic clock, which stands still meanwhile, and others may have the
// shards since. Where the store refuses what an older epoch writes it is not needed.
type sleepWatch struct {
	asleep func() int64 // for how long the machine was suspended since it was started, in ns; nil: it is not watched
	known  atomic.Int64 // of that, what leases were lost for already
}

// watchSleep begins to watch, where the store does not fence.
func (g *Gateway) watchSleep() {
	if s := g.mender.shared; s != nil && !s.Fences() && asleep != nil {
		g.sleep.asleep = asleep
		g.sleep.known.Store(asleep())
	}
}

// slept reports whether the machine was suspended since leases were lost for that last. It takes two system calls: one a write that was durable.
func (w *sleepWatch) slept() bool {
	if w.asleep == nil {
		return false
	}
	for range 3 { // the goroutine may have waited between the two clocks
		if w.asleep()-w.known.Load() <= sleepTolerance {
			return false
		}
	}
	return true
}

// loseWhereSlept loses all shards that have a lease, where the machine was suspended: who has them now is not known.
func (g *Gateway) loseWhereSlept() {
	if !g.sleep.slept() {
		return
	}
	g.log.Warn("the machine was suspended: leases may have ended meanwhile, and their shards are lost")
	now := g.sleep.asleep()
	for i := range g.shards {
		if own := g.shards[i].own.Load(); own != nil && own.lease.Load() != forever {
			own.lose(leaseLoss(own.Owner.Epoch), errLeaseEnded)
		}
	}
	g.sleep.known.Store(now) // only now: whoever finds nothing more finds them lost
}
