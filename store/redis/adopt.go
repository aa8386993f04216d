package redis

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"

	"ramen/store"
)

var (
	_ store.Enumerator = (*Store)(nil)
	_ store.Adopter    = (*Store)(nil)
	_ store.Retirer    = (*Store)(nil)
)

// Adopt implements store.Adopter. In a cluster the identity and the claims are in slots of their own, so that no script sees all of them.
// The identity is written where it is still the one that was read, and then the claims are read; whoever claims writes its claims, and then
// reads the identity (lookAtIdentity). So of two at once at least one sees the other: Adopt then gives the identity back, and Claim fails.
func (s *Store) Adopt(ctx context.Context, id store.Identity) error {
	if err := s.enter(); err != nil {
		return wrap("adopt", err)
	}
	defer s.calls.Done()
	was := s.Identity()
	if id == was {
		return nil
	}
	err := s.unclaimed(ctx)
	if err == nil {
		err = s.setIdentity(ctx, was, id)
	}
	if err != nil {
		return wrap("adopt", err)
	}
	if err = s.unclaimed(ctx); err != nil {
		err = errors.Join(err, s.setIdentity(context.WithoutCancel(ctx), id, was))
	}
	return wrap("adopt", err)
}

// Retire implements store.Retirer, at once. The generation alone is drawn anew: by that a store that was opened before knows that it is
// not to be claimed any more (lookAtIdentity).
func (s *Store) Retire(ctx context.Context) error {
	if err := s.enter(); err != nil {
		return wrap("retire", err)
	}
	defer s.calls.Done()
	was := s.Identity()
	id := was
	for id == was {
		id.Generation = rand.Uint32()
	}
	return wrap("retire", s.setIdentity(ctx, was, id))
}

// setIdentity writes an identity where another one is, or none, and has this opening keep it: from then on the keeper writes that one
// back where it is lost. Done again it is fine.
func (s *Store) setIdentity(ctx context.Context, was, id store.Identity) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	if err := s.beginIdentity(ctx); err != nil { // the keeper sees all of it, or nothing
		return err
	}
	defer s.endIdentity()
	err := s.insist(ctx, func(ctx context.Context) (again bool, err error) {
		n, err := s.nodeOfKey(ctx, identityKey(s.cfg.Prefix))
		if err != nil {
			return true, err
		}
		pipe := n.client.Pipeline()
		set := pipe.EvalSha(ctx, string(identityScript.sha), []string{identityKey(s.cfg.Prefix)},
			appendIdentity(nil, was, s.cfg.Shards), appendIdentity(nil, id, s.cfg.Shards), s.cfg.claimTTL().Milliseconds())
		wait := s.waitCommand(ctx)
		if wait != nil {
			_ = pipe.Process(ctx, wait)
		}
		_, _ = pipe.Exec(ctx)
		done, err := set.Int()
		if err == nil && done == 1 {
			err = s.waited(wait)
			return false, err
		}
		if err == nil {
			return false, errors.New("another process has given the store an identity meanwhile")
		}
		if strings.HasPrefix(err.Error(), "NOSCRIPT") {
			n.reloadScripts()
		}
		s.noteTrouble(n, err)
		return passes(err), err
	})
	if err == nil {
		s.identity.Store(&id)
	}
	return err
}

// nodeOfKey is the node that has a key.
func (s *Store) nodeOfKey(ctx context.Context, key string) (*node, error) {
	if s.single != nil {
		return s.single, nil
	}
	c, err := s.cluster.MasterForKey(ctx, key)
	if err != nil {
		s.noteTrouble(nil, err)
		return nil, fmt.Errorf("find the node of key %s: %w", key, err)
	}
	n := s.nodeAt(c.Options().Addr)
	return n, nil
}

// beginIdentity waits until nobody else of this opening looks at the identity, or writes it; endIdentity follows where it answers nil.
func (s *Store) beginIdentity(ctx context.Context) error {
	select {
	case s.identityBusy <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Store) endIdentity() { <-s.identityBusy }

// otherIdentity notes what the servers have for an identity that is not this opening's. Where one of the same key is there the store was
// retired; where this opening has claimed nothing yet, another store's was adopted: then nothing is claimed, or it would go on at positions
// that the other store gives, or with cursors that end with it. Else the servers were emptied and another process was the first to open the store:
// devices that come from there are not resumed, and all others are served.
func (s *Store) otherIdentity(id store.Identity) {
	replaced := id.Key == s.Identity().Key || !s.claimedAny.Load()
	s.replaced.Store(replaced)
	s.foreign.Do(func() {
		if replaced {
			s.log.Error("the store has another identity since this process opened it, and nothing is claimed any more: start it again", "key", identityKey(s.cfg.Prefix))
			return
		}
		s.log.Error("the Redis server has another identity for this store: it was emptied and opened by another process; cursors of devices that come from there cannot be honoured here", "key", identityKey(s.cfg.Prefix))
	})
}

// mayClaim is nil where the store is still the one that was opened. Who has claimed before is told by the keeper.
func (s *Store) mayClaim(ctx context.Context) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.calls.Done()
	if !s.claimedAny.Load() {
		if err := s.lookAtIdentity(ctx); err != nil {
			return err
		}
	}
	if s.replaced.Load() {
		return store.ErrReplaced
	}
	return nil
}

// hasClaimed follows claims that the servers have. It fails where the store is not the one any more that was opened, and then nothing is
// held; the first claim of an opening also where that cannot be known.
func (s *Store) hasClaimed(ctx context.Context) error {
	err := s.lookAtIdentity(ctx) // whoever takes over finds the identity that cursors are of
	switch {
	case s.replaced.Load():
		err = store.ErrReplaced
	case err == nil:
		s.claimedAny.Store(true)
		s.sawIdentity(nil)
		return nil
	case s.claimedAny.Load():
		s.sawIdentity(err)
		return nil
	}
	return err
}

// sawIdentity notes whether the identity could be looked at behind a claim: one line in the log for all claims of a time in which it cannot.
func (s *Store) sawIdentity(err error) {
	if err != nil {
		s.metrics.identityUnread.Inc()
	}
	switch was := s.identityUnread.Swap(err != nil); {
	case err != nil && !was:
		s.log.Warn("shards were claimed, and the store's identity could not be looked at behind that", "error", err)
	case err == nil && was:
		s.log.Info("the store's identity is looked at again behind a claim")
	}
}

func (s *Store) lookAtIdentity(ctx context.Context) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	return s.keepIdentity(ctx)
}
