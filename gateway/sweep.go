package gateway

import (
	"context"
	"errors"
	"math"
	"time"

	"ramen/link"
	"ramen/protocol"
	"ramen/store"
)

// sweepSteps is in how many portions the sweeper visits all shards, once a second. sleepSteps is how many it passes over at most
// while nothing in them is due, and does when it wakes: each wake costs an idle process two switches.
const (
	sweepSteps = 20
	sleepSteps = 5
)

// idSweepEvery is how often a mailbox's remembered ids are swept, in ms: once in id_retention, within bounds. They count against what a user may
// have; each sweep visits each mailbox in memory.
func (g *Gateway) idSweepEvery() int64 {
	return min(max(g.cfg.IDRetention.Milliseconds(), 10_000), 60_000)
}

// sweep is the sweeper's goroutine: messages whose time is over, windows that stay full, mailboxes that nobody needs,
// writes whose outcome is unknown.
func (g *Gateway) sweep(ctx context.Context) {
	const every = time.Second / sweepSteps
	timer := time.NewTimer(every)
	defer timer.Stop()
	for next, n := 0, 1; ; {
		select {
		case <-ctx.Done():
			return
		case <-g.lost:
			g.clearLost()
			continue
		case <-timer.C:
		}
		for range n {
			g.sweepStep(next % sweepSteps)
			next++
		}
		g.endStalled()
		g.tellMended()
		g.tellLosses()
		if g.Serving() == nil {
			g.evicted.turn(g.nowMS())
		}
		n = g.stepsToDue(next)
		timer.Reset(min(time.Duration(n)*every, g.endLeases()))
	}
}

// endLeases gives up the shards whose lease has ended, and says how long it is until the next may end.
func (g *Gateway) endLeases() time.Duration {
	next := int64(forever)
	for i := range g.shards {
		own := g.shards[i].own.Load()
		if own == nil || own.stateNow() == StateLost {
			continue
		}
		if own.leaseEnded() {
			own.lose(leaseLoss(own.Owner.Epoch), errLeaseEnded)
			continue
		}
		next = min(next, own.lease.Load())
	}
	if next == forever {
		return forever
	}
	return time.Duration(max(next-g.sinceStart(), 0))
}

// stepsToDue is how many steps from next on it is to the first with something due, that one included.
func (g *Gateway) stepsToDue(next int) int {
	nowMS := g.nowMS()
	for n := 1; n < sleepSteps; n++ {
		atMS := nowMS + int64(n)*1000/sweepSteps
		for i := (next + n - 1) % sweepSteps; i < len(g.shards); i += sweepSteps {
			if s := &g.shards[i]; s.stateNow() == StateServing && s.dueMS.Load() <= atMS {
				return n
			}
		}
	}
	return sleepSteps
}

// sweepStep visits a portion of the shards.
func (g *Gateway) sweepStep(step int) {
	for i := step; i < len(g.shards); i += sweepSteps {
		if s := &g.shards[i]; s.stateNow() == StateServing {
			g.sweepShard(s)
		}
	}
}

// sweepShard visits the mailboxes of a shard that need it.
func (g *Gateway) sweepShard(s *shard) {
	nowMS := g.nowMS()
	if s.dueMS.Load() > nowMS {
		return
	}
	var again []*box
	for _, b := range s.dueNow(nowMS, g.idleMS) {
		inDoubt, woken := b.sweep(nowMS)
		if woken {
			b.deliverAll()
		}
		if inDoubt {
			again = append(again, b)
			continue
		}
		g.releaseSwept(b)
	}
	if len(again) > 0 {
		g.writeAgain(again, probe{})
	}
}

// dueNow pins and names the mailboxes that need a visit, takes those out of memory that nobody has used for idleMS, and
// finds when to come again.
func (s *shard) dueNow(nowMS, idleMS int64) (visit []*box) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dueMS.Store(math.MaxInt64) // first: who finds something due meanwhile lowers it again
	next := int64(math.MaxInt64)
	for _, b := range s.boxes {
		if b.touchedMS == stillLoading {
			continue // its end says when
		}
		if b.pins == 0 {
			if b.touchedMS+idleMS <= nowMS {
				s.unloadLocked(b)
				continue
			}
			next = min(next, b.touchedMS+idleMS)
		}
		if due := b.dueMS.Load(); due <= nowMS {
			b.pins++
			visit = append(visit, b)
		} else {
			next = min(next, due)
		}
	}
	s.sweepBy(next)
	return visit
}

// sweep expires what is over. It reports whether a write in doubt is to be made again, and whether what expired may have held
// something up.
func (b *box) sweep(nowMS int64) (inDoubt, woken bool) {
	b.sweepAll(nowMS)
	if b.enter() != nil {
		return false, false
	}
	defer b.unlock()
	b.Sweep(nowMS)
	woken = b.TakeWoken()
	if b.InDoubt() {
		b.sweepAgain(nowMS + 1000)
		return true, woken
	}
	if b.idSweepMS <= nowMS {
		b.SweepIDs(nowMS)
		b.ForgetUnseen(b.g.unseenBefore())
		b.idSweepMS = nowMS + b.g.idSweepEvery()
	}
	b.publishDue()
	return false, woken
}

// scanBatch is how many users of a shard are named at once by a store that can.
const scanBatch = 256

// scanExpired is the goroutine of expiry scans: once an interval it scans every shard.
func (g *Gateway) scanExpired(ctx context.Context, l store.ExpiryScanner) {
	tick := time.NewTicker(max(g.cfg.ExpiryScanInterval/time.Duration(len(g.shards)), time.Millisecond))
	defer tick.Stop()
	for i := 0; ; i = (i + 1) % len(g.shards) {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if s := &g.shards[i]; s.stateNow() == StateServing {
			if err := g.scanShard(ctx, l, s); err != nil && ctx.Err() == nil {
				g.log.Warn("scan for expired messages failed", "shard", s.id, "error", err)
			}
		}
	}
}

// scanShard loads the users of a shard with something in the store that time has ended, which counts and forgets it.
func (g *Gateway) scanShard(ctx context.Context, l store.ExpiryScanner, s *shard) error {
	own := s.own.Load()
	if own == nil {
		return nil
	}
	at := own.Owner
	for after := protocol.UserID(""); ; {
		call, cancel := context.WithTimeout(ctx, g.cfg.LoadTimeout)
		users, err := l.ScanExpired(call, at, after, g.nowMS(), g.unseenBefore(), scanBatch)
		cancel()
		if errors.Is(err, store.ErrFenced) {
			own.fenced(err)
		}
		if err != nil {
			return err
		}
		for _, u := range users {
			if b, err := g.acquire(ctx, link.Route{Shard: s.id, Epoch: at.Epoch}, u); err == nil {
				g.releaseSwept(b)
			}
		}
		if len(users) < scanBatch {
			return nil
		}
		after = users[len(users)-1]
	}
}
