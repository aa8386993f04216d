package tiered

import (
	"context"
	"errors"
	"fmt"

	"ramen/protocol"
	"ramen/store"
)

// nothingYet is the last position of a mailbox that has none: a cached one needs some, or it would count as absent.
var nothingYet = protocol.Position{Micros: 1}

// loading is one read of a mailbox from the truth. Its fields but raced are set before done is closed.
type loading struct {
	at    store.Owner
	done  chan struct{}
	m     store.Mailbox
	err   error
	raced bool // an append came meanwhile: what was read is not to be cached; guarded by shard.mu
}

// Load implements store.Store. From the cache where what is there may be trusted, else from the truth, and then it is cached.
func (s *Store) Load(ctx context.Context, at store.Owner, user protocol.UserID) (store.Mailbox, error) {
	sh := s.shardOf(at)
	if sh == nil {
		return s.truth.Load(ctx, at, user)
	}
	if err := sh.open(ctx, at); err != nil {
		return store.Mailbox{}, err
	}
	t, ok := sh.trusted(at)
	if !ok || s.cacheOff.is() {
		s.metrics.loads[loadOff].Inc()
		return s.loadTruth(ctx, sh, at, user, nil)
	}
	m, result, err := s.loadCached(ctx, t, user)
	s.metrics.loads[result].Inc()
	switch result {
	case loadHit:
		if sizeOf(&m) > s.cfg.MailboxBytes { // it has grown
			s.running.Go(func() { s.dropLarge(&t, user, m.Last) })
		}
		return m, nil
	case loadMiss:
		return s.loadTruth(ctx, sh, at, user, &t)
	}
	if result == loadError && ctx.Err() != nil { // it was not waited for: that says nothing of the cache
		return store.Mailbox{}, fmt.Errorf("store/tiered: load user %q: %w", user, ctx.Err())
	}
	sh.revoke(ctx, at, t.mark.Generation, err, nil)
	return s.loadTruth(ctx, sh, at, user, nil)
}

// loadCached reads a mailbox from the cache.
func (s *Store) loadCached(ctx context.Context, t trust, user protocol.UserID) (store.Mailbox, loadResult, error) {
	ctx, cancel := s.cacheContext(ctx)
	defer cancel()
	m, err := s.cache.Load(ctx, t.at, t.user(user))
	if err != nil {
		return m, loadError, err
	}
	if m.Last.IsZero() {
		return m, loadMiss, nil
	}
	// Read after the mailbox: what answered it has this history, or an earlier one.
	history, err := s.histories.read(ctx, t.at.Shard)
	if err != nil {
		return m, loadError, err
	}
	if history != t.mark.History {
		return m, loadStale, errHistory
	}
	return m, loadHit, nil
}

// loadTruth reads a mailbox from the truth, once for all who ask at a time, and caches it under t; nil: it does not.
func (s *Store) loadTruth(ctx context.Context, sh *shard, at store.Owner, user protocol.UserID, t *trust) (store.Mailbox, error) {
	for {
		l, first := sh.beginLoad(at, user)
		if first {
			s.load(ctx, sh, l, user, t)
			sh.endLoad(user, l)
			return l.m, l.err
		}
		select {
		case <-l.done:
			if l.err == nil || !errors.Is(l.err, errGaveUp) {
				return l.m, l.err
			}
		case <-ctx.Done():
			return store.Mailbox{}, fmt.Errorf("store/tiered: load user %q: %w", user, ctx.Err())
		}
	}
}

// errGaveUp is the answer to who has read for others, too, and whose time was over.
var errGaveUp = errors.New("store/tiered: the read was given up")

// load is the read of l, by the first who asked.
func (s *Store) load(ctx context.Context, sh *shard, l *loading, user protocol.UserID, t *trust) {
	select {
	case s.loads <- struct{}{}:
		defer func() { <-s.loads }()
		l.m, l.err = s.truth.Load(ctx, l.at, user)
	case <-ctx.Done():
		l.err = fmt.Errorf("store/tiered: load user %q: %d others are being read: %w", user, s.cfg.Loads, ctx.Err())
	}
	if l.err != nil {
		if ctx.Err() != nil {
			l.err = fmt.Errorf("%w: %w", errGaveUp, l.err)
		}
		return
	}
	l.m.Last = lastOf(&l.m)
	if t != nil {
		s.put(ctx, sh, t, user, l)
	}
}

// put caches what was read. An append that came meanwhile may not be in it: then it must not be trusted.
func (s *Store) put(ctx context.Context, sh *shard, t *trust, user protocol.UserID, l *loading) {
	if sh.raced(l) || ctx.Err() != nil {
		return
	}
	if sizeOf(&l.m) > s.cfg.MailboxBytes {
		s.metrics.puts[putLarge].Inc()
		return
	}
	ctx, cancel := s.cacheContext(ctx)
	defer cancel()
	err := s.cache.Replace(ctx, t.at, t.user(user), protocol.Position{}, l.m)
	if err == nil && sh.raced(l) {
		err = errors.New("an append came while its user's mailbox was put there")
	}
	if err != nil {
		s.metrics.puts[putFailed].Inc()
		sh.revoke(ctx, t.at, t.mark.Generation, err, nil)
		return
	}
	s.metrics.puts[putDone].Inc()
}

// dropLarge removes a cached mailbox that is too large, where last is still its last position: the next owner reads it from the truth.
// Whatever becomes of that, what is cached is whole or absent.
func (s *Store) dropLarge(t *trust, user protocol.UserID, last protocol.Position) {
	ctx, cancel := s.cacheContext(s.ctx)
	defer cancel()
	if s.cache.Replace(ctx, t.at, t.user(user), last, store.Mailbox{}) == nil {
		s.metrics.drops.Inc()
	}
}

// sizeOf is about how many bytes m has in the cache.
func sizeOf(m *store.Mailbox) (n int) {
	const ofEntry, ofDevice, ofSeen = 100, 200, 20 // beside their texts
	for i := range m.Entries {
		e := &m.Entries[i]
		n += ofEntry + len(e.Message.ID) + len(e.Message.Type) + len(e.Message.CollapseKey) + len(e.Device) + len(e.Message.Payload) +
			sizeOfMap(e.Message.Headers) + sizeOfMap(e.Where)
	}
	for i := range m.Devices {
		n += ofDevice + len(m.Devices[i].ID)
	}
	for i := range m.Seen {
		n += ofSeen + len(m.Seen[i].ID)
	}
	return n
}

func sizeOfMap(m map[string]string) (n int) {
	for k, v := range m {
		n += len(k) + len(v)
	}
	return n
}

// lastOf is the last position of a mailbox: its own, or that of its newest entry.
func lastOf(m *store.Mailbox) protocol.Position {
	last := m.Last
	for i := range m.Entries {
		if p := m.Entries[i].Position; last.Less(p) {
			last = p
		}
	}
	if last.IsZero() {
		return nothingYet
	}
	return last
}

// beginLoad joins the read of user's mailbox by an owner, or begins it.
func (sh *shard) beginLoad(at store.Owner, user protocol.UserID) (l *loading, first bool) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if l := sh.loads[user]; l != nil && l.at == at && !l.raced {
		return l, false
	}
	l = &loading{at: at, done: make(chan struct{}), raced: sh.appending[user] > 0}
	if sh.loads == nil {
		sh.loads = make(map[protocol.UserID]*loading)
	}
	sh.loads[user] = l
	return l, true
}

func (sh *shard) endLoad(user protocol.UserID, l *loading) {
	sh.mu.Lock()
	if sh.loads[user] == l {
		delete(sh.loads, user)
	}
	sh.mu.Unlock()
	close(l.done)
}

func (sh *shard) raced(l *loading) bool {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return l.raced
}

func (sh *shard) beginAppend(user protocol.UserID) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.appending == nil {
		sh.appending = make(map[protocol.UserID]int)
	}
	sh.appending[user]++
	if l := sh.loads[user]; l != nil {
		l.raced = true
	}
}

func (sh *shard) endAppend(user protocol.UserID) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.appending[user]--; sh.appending[user] == 0 {
		delete(sh.appending, user)
	}
}
