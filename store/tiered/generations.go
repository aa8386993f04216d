package tiered

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"ramen/store"
)

// outage says whether the cache is left alone: from a failure until a generation is to be begun again. One call that fails is enough:
// each shard would wait for a time-out of its own.
type outage struct {
	s     *Store
	until atomic.Int64 // Unix ns; 0: the cache is used

	mu    sync.Mutex
	pause time.Duration // guarded by mu: of the last outage
	woken chan struct{} // of capacity 1: there are shards without the cache; made by init
	once  sync.Once
}

func (o *outage) wakes() chan struct{} {
	o.once.Do(func() { o.woken = make(chan struct{}, 1) })
	return o.woken
}

// is reports whether the cache is left alone.
func (o *outage) is() bool { return o.until.Load() != 0 }

// begin leaves the cache alone for a while, since a generation that has lasted so long had to be revoked.
func (o *outage) begin(cause error, lasted time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.is() {
		return
	}
	if o.pause *= 2; o.pause == 0 || lasted >= o.s.cfg.RetryMax {
		o.pause = o.s.cfg.Retry
	}
	o.pause = min(o.pause, o.s.cfg.RetryMax)
	jittered := o.pause*3/4 + rand.N(o.pause/2+1)
	o.until.Store(time.Now().Add(jittered).UnixNano())
	o.s.log.Warn("the cache is left alone: mailboxes are loaded from the store behind it", "for", jittered.Round(time.Millisecond), "cause", cause)
}

// wake has the goroutine that begins generations look.
func (s *Store) wake() {
	select {
	case s.cacheOff.wakes() <- struct{}{}:
	default:
	}
}

// beginGenerations begins one for each shard that has none, once the cache is well.
func (s *Store) beginGenerations() {
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-s.cacheOff.wakes():
		}
		for s.shardsOff() > 0 {
			wait := s.cfg.Retry
			if until := s.cacheOff.until.Load(); until != 0 {
				wait = max(time.Until(time.Unix(0, until)), 0)
			}
			select {
			case <-s.ctx.Done():
				return
			case <-time.After(wait):
			}
			s.cacheOff.until.Store(0)
			if err := s.beginAll(); err != nil {
				s.cacheOff.begin(err, 0)
			}
		}
	}
}

func (s *Store) shardsOff() (n int) {
	for i := range s.shards {
		sh := &s.shards[i]
		sh.mu.Lock()
		if sh.beginsLocked() {
			n++
		}
		sh.mu.Unlock()
	}
	return n
}

// beginAll begins a generation for each shard that has none, a few at a time. It stops at the first failure.
func (s *Store) beginAll() error {
	g, ctx := errgroup.WithContext(s.ctx)
	g.SetLimit(16)
	for i := range s.shards {
		g.Go(func() error {
			if ctx.Err() != nil {
				return nil
			}
			return s.shards[i].begin(ctx)
		})
	}
	return g.Wait()
}

// begin begins a generation where the shard has none.
func (sh *shard) begin(ctx context.Context) error {
	sh.opening.Lock()
	defer sh.opening.Unlock()
	sh.mu.Lock()
	at, owner := sh.at, sh.owner
	off := sh.beginsLocked()
	sh.mu.Unlock()
	if !off {
		return nil
	}
	history, err := sh.claimCache(ctx, at, owner)
	if sh.isFenced(at, err) {
		return nil
	}
	if err != nil {
		return err
	}
	m := store.CacheMark{Generation: rand.Uint64() | 1, History: history}
	ctx, cancel := context.WithTimeout(ctx, revokeTimeout)
	defer cancel()
	if err := sh.s.truth.SetCacheMark(ctx, at, m); err != nil {
		// It may be there: whoever reads it finds an empty generation, in which only this owner writes, and it does not.
		return err
	}
	if sh.opened(at, stateTrusted, m) {
		sh.s.metrics.generations[eventBegun].Inc()
	}
	return nil
}

// beginsLocked reports whether a generation is to be begun.
func (sh *shard) beginsLocked() bool {
	return sh.state == stateOff && sh.at.Epoch != 0 && !sh.fenced
}

// isFenced reports whether err of a claim says that the cache knows a newer owner than the one at at. That is no failure of the cache:
// the shard has moved, and nobody says so here. It is left alone until it is claimed again.
func (sh *shard) isFenced(at store.Owner, err error) bool {
	var fenced *store.FencedError
	if !errors.As(err, &fenced) || fenced.Epoch < at.Epoch {
		return false
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.at == at {
		sh.fenced = true
	}
	sh.s.log.Info("the cache knows a newer owner of a shard, which is left to it", "shard", sh.id, "epoch", at.Epoch, "error", err)
	return true
}
