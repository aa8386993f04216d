package cassandra

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"ramen/protocol"
	"ramen/store"
)

// Forgets wait here, for forgetAfter at most, until something else is written of their user: mostly the records of the devices that have
// acked what is forgotten, a moment later, in the same mutation. What is appended of the user is written behind them.
type forgets struct {
	count atomic.Int64 // of users who wait, and who are written, so that appends need no lock while there are none

	mu      sync.Mutex
	of      map[userKey]*store.Forget // guarded by mu; its Refs are ours
	since   map[userKey]time.Time     // guarded by mu
	writing map[userKey]*writing      // guarded by mu: what was taken, and is not known to be written
	refs    int                       // guarded by mu: of all
}

// writing is a Forget that is being written: what else is written of its user waits for it.
type writing struct {
	of   *store.Forget
	done chan struct{}
}

// forgetAfter is how long a Forget waits, about, and forgetMost how many refs: beyond it none waits.
const (
	forgetAfter = time.Second
	forgetMost  = 1 << 20
)

// userKey is a user of a shard.
type userKey struct {
	shard protocol.ShardID
	user  protocol.UserID
}

func (f *forgets) init() {
	f.of, f.since, f.writing = make(map[userKey]*store.Forget), make(map[userKey]time.Time), make(map[userKey]*writing)
}

// add adds one, unless there are too many.
func (f *forgets) add(k userKey, one *store.Forget, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refs+len(one.Refs) > forgetMost {
		return false
	}
	f.addLocked(k, one, now)
	return true
}

func (f *forgets) addLocked(k userKey, one *store.Forget, now time.Time) {
	all := f.of[k]
	if all == nil {
		all = &store.Forget{User: k.user}
		f.of[k], f.since[k] = all, now
		f.count.Add(1)
	}
	if one.Epoch >= all.Epoch {
		all.Owner = one.Owner
	}
	for i, at := range one.Below {
		all.Below[i] = later(all.Below[i], at)
	}
	all.Refs = append(all.Refs, one.Refs...)
	f.refs += len(one.Refs)
}

// take takes what waits of a user, to be written; nil: nothing does. It waits for what is being written. Who has taken something says
// by written what has become of it.
func (f *forgets) take(ctx context.Context, k userKey) (*store.Forget, error) {
	if f.count.Load() == 0 {
		return nil, nil
	}
	for {
		one, before := f.tryTake(k)
		if before == nil {
			return one, nil
		}
		select {
		case <-before.done:
		case <-ctx.Done():
			return nil, fmt.Errorf("what was forgotten before is still being written: %w", ctx.Err())
		}
	}
}

// tryTake is take, but for that it does not wait.
func (f *forgets) tryTake(k userKey) (one *store.Forget, before *writing) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if before := f.writing[k]; before != nil {
		return nil, before
	}
	one = f.of[k]
	if one != nil {
		delete(f.of, k)
		delete(f.since, k)
		f.writing[k] = &writing{one, make(chan struct{})}
	}
	return one, nil
}

// written notes what has become of what was taken. What could not be written waits again, however much waits.
func (f *forgets) written(k userKey, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	w := f.writing[k]
	delete(f.writing, k)
	f.count.Add(-1)
	f.refs -= len(w.of.Refs)
	if err != nil {
		f.addLocked(k, w.of, time.Now())
	}
	close(w.done)
}

// look copies what waits of a user, or is being written; it goes on.
func (f *forgets) look(k userKey) (one store.Forget) {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := []*store.Forget{f.of[k]}
	if w := f.writing[k]; w != nil {
		all = append(all, w.of)
	}
	for _, x := range all {
		if x == nil {
			continue
		}
		for i, at := range x.Below {
			one.Below[i] = later(one.Below[i], at)
		}
		one.Refs = append(one.Refs, x.Refs...)
	}
	return one
}

// older names the users of whom something waits since before.
func (f *forgets) older(before time.Time) (keys []userKey) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for k, since := range f.since {
		if since.Before(before) {
			keys = append(keys, k)
		}
	}
	return keys
}

// Forget implements store.Store. What is forgotten is not loaded here any more when it returns; it is written soon, and with or before
// anything else of the user.
func (s *Store) Forget(ctx context.Context, batch []store.Forget) []error {
	if err := s.enter(); err != nil {
		return repeat(fmt.Errorf("store/cassandra: forget entries: %w", err), len(batch))
	}
	defer s.calls.Done()
	var errs []error
	now := time.Now()
	for i := range batch {
		f := &batch[i]
		err := s.fence(f.Owner)
		if k := (userKey{f.Shard, f.User}); err == nil && !s.forgets.add(k, f, now) {
			if err = s.flushForgets(ctx, k); err == nil { // it does not survive without what was before
				err = s.writeForget(ctx, f)
			}
		}
		if err != nil {
			if errs == nil {
				errs = make([]error, len(batch))
			}
			errs[i] = s.wrap("forget entries", f.User, err)
		}
	}
	return errs
}

// flushForgets writes what waits of a user, if anything does.
func (s *Store) flushForgets(ctx context.Context, k userKey) error {
	f, err := s.forgets.take(ctx, k)
	if f == nil {
		return err
	}
	began := time.Now()
	err = s.writeForget(ctx, f) // of an earlier owner, too: what it says stays true
	s.metrics.observe(callForget, began, err)
	s.forgets.written(k, err)
	return err
}

// writeForgets is the goroutine that writes what has waited for long enough.
func (s *Store) writeForgets(ended <-chan struct{}) {
	tick := time.NewTicker(forgetAfter / 2)
	defer tick.Stop()
	for {
		select {
		case <-ended:
			return
		case <-tick.C:
			s.flushOlder(time.Now().Add(-forgetAfter / 2))
		}
	}
}

// flushOlder writes what waits since before. What cannot be written waits on.
func (s *Store) flushOlder(before time.Time) {
	ctx, cancel := context.WithTimeout(context.Background(), forgetAfter)
	defer cancel()
	keys := s.forgets.older(before)
	errs := s.workers.each(len(keys), func(i int) error { return s.flushForgets(ctx, keys[i]) })
	for _, err := range errs {
		if err != nil {
			s.log.Warn("store failed", "verb", "forget", "users", len(keys), "error", err)
			return
		}
	}
}

func (s *Store) writeForget(ctx context.Context, f *store.Forget) error {
	items := s.forgetItems(f, time.Now().UnixMilli())
	if len(items) == 0 {
		return nil
	}
	return s.write(ctx, func(ctx context.Context) error { return s.putItems(ctx, f.Shard, f.User, items) })
}

// forgetItems is what is written of f, which may be nil: one item of what is below, and marks for the rest, which live as long as what they
// mark.
func (s *Store) forgetItems(f *store.Forget, nowMS int64) (items []item) {
	if f == nil {
		return nil
	}
	names, values := floorItems(f.Below)
	for i := range names { // for as long as there may be something below
		items = append(items, item{names[i], values[i], s.ttlOf(nowMS+s.longestMS(), nowMS), s.timestamp(f.Owner)})
	}
	var above []store.Ref
	for _, ref := range f.Refs {
		if !ref.Position.Less(f.Below[ref.Priority.Lane()]) {
			above = append(above, ref)
		}
	}
	for b, refs := range s.bucketsOf(above) {
		name := append(b.append([]byte{itemForgotten}), nonceBytes(s.nonce.Add(1))...)
		items = append(items, item{name, encodeRefs(refs), s.ttlOf(s.lifeOf(f.Owner, f.User, refs, nowMS), nowMS), nowMS * 1000})
	}
	return items
}
