package gateway

import (
	"context"
	"sync"
	"sync/atomic"

	"ramen/link"
	"ramen/protocol"
)

// shard is a share of the users, owned at an epoch or not at all.
type shard struct {
	g     *Gateway
	id    protocol.ShardID
	own   atomic.Pointer[ownership] // nil: the state is none; move sets it, under mu
	dueMS atomic.Int64              // no mailbox of it needs the sweeper before; the sweeper alone raises it

	mu sync.Mutex
	// guarded by mu
	below   protocol.Epoch // nobody serves it at an epoch below; 0: none is known
	known   lineage
	boxes   map[protocol.UserID]*box
	loading map[*box]*loading // those on their way from the store that somebody else waits for
}

// lineage is what is known of a shard from its last ownership here.
type lineage struct {
	epoch   protocol.Epoch // the highest at which this process has claimed it
	only    bool           // nobody else has, since it was served here
	history string         // of the store's copy from which nothing is missing
}

// historyUnknown is the history of a lineage while something may be missing from the store's copy. No store has it.
const historyUnknown = "?"

// loading is a mailbox on its way from the store, for those who wait for it beside its loader.
type loading struct {
	done chan struct{}
	err  error // set before done is closed
}

// sweepBy schedules the next sweep of s no later than ms. Publish the change before calling it.
func (s *shard) sweepBy(ms int64) {
	for {
		due := s.dueMS.Load()
		if due <= ms || s.dueMS.CompareAndSwap(due, ms) {
			return
		}
	}
}

// acquire finds the user's mailbox, loading it from the store where it is not in memory, and pins it.
func (g *Gateway) acquire(ctx context.Context, at link.Route, user protocol.UserID) (*box, error) {
	return g.acquireIf(ctx, at, user, g.admitUser)
}

// acquireIf is acquire where admit says whether one that is not in memory may come in.
func (g *Gateway) acquireIf(ctx context.Context, at link.Route, user protocol.UserID, admit func() error) (*box, error) {
	if int(at.Shard) >= len(g.shards) {
		return nil, link.ErrNotOwner
	}
	s := &g.shards[at.Shard]
	s.mu.Lock()
	own := s.own.Load()
	if own == nil || own.Owner.Epoch != at.Epoch {
		defer s.mu.Unlock()
		return nil, s.notOwnerLocked()
	}
	if err := own.gate(); err != nil {
		s.mu.Unlock()
		return nil, err
	}
	if b := s.boxes[user]; b != nil {
		b.pins++
		var l *loading
		if b.touchedMS == stillLoading {
			l = s.loadingLocked(b)
		}
		s.mu.Unlock()
		return g.await(ctx, b, l)
	}
	if err := admit(); err != nil {
		s.mu.Unlock()
		return nil, err
	}
	b := &box{ownership: own, pins: 1, touchedMS: stillLoading}
	b.Make(&own.Scope, user)
	if s.boxes == nil {
		s.boxes = make(map[protocol.UserID]*box)
	}
	s.boxes[user] = b
	s.mu.Unlock()
	return b, g.load(b)
}

// loadingLocked is what those who wait for b share. It is made for the first of them: nearly always there is none.
func (s *shard) loadingLocked(b *box) *loading {
	l := s.loading[b]
	if l == nil {
		if s.loading == nil {
			s.loading = make(map[*box]*loading)
		}
		l = &loading{done: make(chan struct{})}
		s.loading[b] = l
	}
	return l
}

// await waits until somebody else's load of b is done.
func (g *Gateway) await(ctx context.Context, b *box, l *loading) (*box, error) {
	if l == nil {
		return b, nil
	}
	select {
	case <-l.done:
		if l.err != nil {
			return nil, l.err // b was never in memory: its pins do not matter
		}
		return b, nil
	case <-ctx.Done():
		g.release(b)
		return nil, ctx.Err()
	}
}

// load fills b from the store. Its own deadline holds, not the caller's: others wait for it too.
func (g *Gateway) load(b *box) error {
	ctx, cancel := context.WithTimeout(context.Background(), g.cfg.LoadTimeout)
	defer cancel()
	err := g.loadFrom(ctx, b)
	s := b.shard
	s.mu.Lock()
	b.touchedMS = 0
	l := s.loading[b]
	if delete(s.loading, b); len(s.loading) == 0 {
		s.loading = nil // a map keeps the room that it once had
	}
	if err != nil && s.boxes[b.User()] == b {
		delete(s.boxes, b.User())
	}
	s.mu.Unlock()
	s.sweepBy(b.dueMS.Load())
	if l != nil {
		l.err = err
		close(l.done)
	}
	return err
}

// loadFrom reads b. Mailboxes on their way are in memory twice, and not counted yet: no more at once than there is room for.
func (g *Gateway) loadFrom(ctx context.Context, b *box) error {
	select {
	case g.loads <- struct{}{}:
		defer func() { <-g.loads }()
	case <-ctx.Done():
		return protocol.Errorf(protocol.CodeUnavailable, "too many users are being read from the store; retry with backoff")
	}
	kept, err := g.store.Load(ctx, b.Owner, b.User())
	if b.claimLost(err) && b.claimAgain(ctx) == nil {
		kept, err = g.store.Load(ctx, b.Owner, b.User())
	}
	if err != nil {
		return b.storeError("load", err)
	}
	if kept, err = b.reconcile(ctx, kept); err != nil {
		return b.storeError("replace", err)
	}
	return b.fill(kept)
}

// mostLoads bounds the loads at once where memory is plenty: as many as the embedded store reads at once.
const mostLoads = 64

// pin keeps b in memory. The caller holds a pin already, or b.mu.
func (g *Gateway) pin(b *box) {
	b.shard.mu.Lock()
	b.pins++
	b.shard.mu.Unlock()
}

// release gives a pin back. The mailbox was used until now, also where the sweeper holds it a little longer.
func (g *Gateway) release(b *box) {
	b.shard.mu.Lock()
	b.pins--
	if b.touchedMS != stillLoading {
		b.touchedMS = g.nowMS()
	}
	if b.pins == 0 {
		b.shard.sweepBy(b.touchedMS + g.idleMS)
	}
	b.shard.mu.Unlock()
}

// releaseSwept gives the sweeper's pin back without making the mailbox look used.
func (g *Gateway) releaseSwept(b *box) {
	b.shard.mu.Lock()
	if b.pins--; b.pins == 0 {
		b.shard.sweepBy(b.touchedMS + g.idleMS)
	}
	b.shard.mu.Unlock()
}

// unloadLocked takes an unpinned mailbox out of memory, with s.mu held. What waits stays in the store.
func (s *shard) unloadLocked(b *box) {
	delete(s.boxes, b.User())
	if len(s.boxes) == 0 {
		s.boxes = nil
	}
	b.evict(false)
	b.Unload() // without b.mu: nobody can hold what has no pin
}

// stateNow is where s stands in its life.
func (s *shard) stateNow() State {
	if own := s.own.Load(); own != nil {
		return own.stateNow()
	}
	return StateNone
}
