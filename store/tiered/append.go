package tiered

import (
	"context"
	"errors"
	"fmt"

	"ramen/protocol"
	"ramen/store"
)

// Append implements store.Store. The truth has each element first: what it refuses, or may not have, is not cached.
func (s *Store) Append(ctx context.Context, batch []store.Append, answer func(i int, err error)) {
	for i := range batch {
		s.beginWrite(batch[i].Owner, batch[i].User)
	}
	done := func(i int, err error) {
		s.endWrite(batch[i].Owner, batch[i].User)
		answer(i, err)
	}
	s.truth.Append(ctx, batch, func(i int, err error) {
		sh := s.shardOf(batch[i].Owner)
		if err != nil || sh == nil {
			done(i, err)
			return
		}
		s.cacheAppend(ctx, sh, batch, i, done)
	})
}

// cacheAppend has the cache follow an append that the truth has, and answers it.
func (s *Store) cacheAppend(ctx context.Context, sh *shard, batch []store.Append, i int, done func(int, error)) {
	a := &batch[i]
	t, ok := sh.trusted(a.Owner)
	revoke := func(cause error) {
		sh.revoke(ctx, a.Owner, t.mark.Generation, cause, func(err error) { done(i, inDoubt(err)) })
	}
	switch {
	case !ok || s.cacheOff.is(): // off: nothing to do. Else: not known, or away, so that it may be trusted elsewhere
		revoke(errCacheOff)
		return
	case a.Last.IsZero():
		revoke(errNoLast)
		return
	}
	cached := []store.Append{*a}
	cached[0].User = t.user(a.User)
	callCtx, cancel := s.cacheContext(ctx)
	s.cache.Append(callCtx, cached, func(_ int, err error) {
		cancel()
		var other *store.LastError
		switch {
		case err == nil:
			done(i, nil)
		case !errors.As(err, &other):
			revoke(err)
		case other.Last.IsZero(): // it has no mailbox of that user
			done(i, nil)
		default:
			s.running.Go(func() { s.drop(ctx, &t, cached[0].User, other.Last, func() { done(i, nil) }, revoke) })
		}
	})
}

// drop removes a cached mailbox, which has another last position than its owner's.
func (s *Store) drop(ctx context.Context, t *trust, user protocol.UserID, last protocol.Position, done func(), revoke func(error)) {
	ctx, cancel := s.cacheContext(ctx)
	defer cancel()
	if err := s.cache.Replace(ctx, t.at, user, last, store.Mailbox{}); err != nil {
		revoke(err)
		return
	}
	s.metrics.drops.Inc()
	done()
}

// inDoubt is the answer to a write that the truth has, where the mark could not be taken back: whether a later owner would see it is not
// sure.
func inDoubt(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", store.ErrUnknown, err)
}

// beginWrite has no read of a user's mailbox be cached that is under way, or begins before endWrite.
func (s *Store) beginWrite(at store.Owner, user protocol.UserID) {
	if sh := s.shardOf(at); sh != nil {
		sh.beginAppend(user)
	}
}

func (s *Store) endWrite(at store.Owner, user protocol.UserID) {
	if sh := s.shardOf(at); sh != nil {
		sh.endAppend(user)
	}
}

// SaveDevices implements store.Store.
func (s *Store) SaveDevices(ctx context.Context, batch []store.DeviceSave, durable bool) []error {
	for i := range batch {
		s.beginWrite(batch[i].Owner, batch[i].User)
	}
	defer func() {
		for i := range batch {
			s.endWrite(batch[i].Owner, batch[i].User)
		}
	}()
	errs := s.truth.SaveDevices(ctx, batch, durable)
	return s.follow(ctx, len(batch), errs, func(i int) (store.Owner, protocol.UserID) { return batch[i].Owner, batch[i].User },
		func(ctx context.Context, of []int, users []protocol.UserID) []error {
			cached := make([]store.DeviceSave, len(of))
			for n, i := range of {
				cached[n] = batch[i]
				cached[n].User = users[n]
			}
			return s.cache.SaveDevices(ctx, cached, false)
		})
}

// Forget implements store.Store.
func (s *Store) Forget(ctx context.Context, batch []store.Forget) []error {
	for i := range batch {
		s.beginWrite(batch[i].Owner, batch[i].User)
	}
	defer func() {
		for i := range batch {
			s.endWrite(batch[i].Owner, batch[i].User)
		}
	}()
	errs := s.truth.Forget(ctx, batch)
	return s.follow(ctx, len(batch), errs, func(i int) (store.Owner, protocol.UserID) { return batch[i].Owner, batch[i].User },
		func(ctx context.Context, of []int, users []protocol.UserID) []error {
			cached := make([]store.Forget, len(of))
			for n, i := range of {
				cached[n] = batch[i]
				cached[n].User = users[n]
			}
			return s.cache.Forget(ctx, cached)
		})
}

// follow has the cache follow what the truth has done of a batch of n, of which errs are the errors. of says whose an element is, and
// call makes the call for some of them, under the names that their users have in the cache.
func (s *Store) follow(ctx context.Context, n int, errs []error, of func(int) (store.Owner, protocol.UserID), call func(context.Context, []int, []protocol.UserID) []error) []error {
	if errs == nil {
		errs = make([]error, n)
	}
	var cached []int
	var users []protocol.UserID
	var under []trust
	waits := revocations{ctx: ctx, errs: errs, left: make(chan struct{}, n)}
	for i := range n {
		at, user := of(i)
		sh := s.shardOf(at)
		if errs[i] != nil || sh == nil {
			continue
		}
		if t, ok := sh.trusted(at); ok && !s.cacheOff.is() {
			cached, users, under = append(cached, i), append(users, t.user(user)), append(under, t)
		} else {
			waits.add(sh, at, t.mark.Generation, errCacheOff, i)
		}
	}
	if len(cached) > 0 {
		callCtx, cancel := s.cacheContext(ctx)
		for n, err := range call(callCtx, cached, users) {
			if err != nil {
				t := &under[n]
				waits.add(&s.shards[t.at.Shard], t.at, t.mark.Generation, err, cached[n])
			}
		}
		cancel()
	}
	waits.await()
	for _, err := range errs {
		if err != nil {
			return errs
		}
	}
	return nil
}

// revocations waits until marks are taken back.
type revocations struct {
	ctx  context.Context
	errs []error
	n    int
	left chan struct{} // gets a token for each that has ended
}

func (r *revocations) add(sh *shard, at store.Owner, generation uint64, cause error, i int) {
	r.n++
	sh.revoke(r.ctx, at, generation, cause, func(err error) {
		r.errs[i] = err // each its own
		r.left <- struct{}{}
	})
}

func (r *revocations) await() {
	for range r.n {
		<-r.left
	}
}
