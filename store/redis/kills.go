package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"ramen/protocol"
	"ramen/store"
)

// A step that only kills does not move a mailbox's last position. So a server that has lost it, and nothing else, cannot be told by that,
// and what was recalled would come back with the next Load. Such steps are remembered for some time, and done again where the owner
// claims a shard again: it does so where the history of the server's data is another, or the claim was lost.

const (
	killsFor  = 5 * time.Minute // replicas lag by less
	killsMost = 1 << 16         // steps; older ones go first

	killsAtOnce = 1024 // done again: publishers need the server meanwhile
)

// killed is a step that only kills, and was answered nil.
type killed struct {
	at   time.Time
	on   store.Owner
	user protocol.UserID
	refs []store.Ref
}

// kills are those of late, oldest first.
type kills struct {
	mu  sync.Mutex
	all []killed // guarded by mu
}

// add remembers a step.
func (k *kills) add(a *killed) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.dropLocked(a.at.Add(-killsFor))
	if len(k.all) >= killsMost {
		k.all = append([]killed(nil), k.all[killsMost/8:]...)
	}
	k.all = append(k.all, *a)
}

func (k *kills) dropLocked(before time.Time) {
	n := 0
	for n < len(k.all) && k.all[n].at.Before(before) {
		n++
	}
	if n == len(k.all) {
		k.all = nil
	} else if n > 0 && n >= len(k.all)/2 {
		k.all = append([]killed(nil), k.all[n:]...)
	}
}

// of are those of shards at an epoch.
func (k *kills) of(shards map[protocol.ShardID]bool, epoch protocol.Epoch) (of []killed) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.dropLocked(time.Now().Add(-killsFor))
	for i := range k.all {
		if x := &k.all[i]; x.on.Epoch == epoch && shards[x.on.Shard] {
			of = append(of, *x)
		}
	}
	return of
}

// remembering has the answer to a step that only kills remember it.
func (s *Store) remembering(a *store.Append, answer func(int, error)) func(int, error) {
	x := &killed{on: a.Owner, user: a.User, refs: append([]store.Ref(nil), a.Kills...)}
	return func(i int, err error) {
		if err == nil {
			x.at = time.Now()
			s.kills.add(x)
		}
		answer(i, err)
	}
}

// killAgain does again what was killed of late in shards that have been claimed again, and answers an error for each shard of which it
// could not.
func (s *Store) killAgain(ctx context.Context, shards map[protocol.ShardID]bool, epoch protocol.Epoch) map[protocol.ShardID]error {
	all := s.kills.of(shards, epoch)
	if len(all) == 0 {
		return nil
	}
	failed := make(map[protocol.ShardID]error)
	for some := range slices.Chunk(all, max(1, min(killsAtOnce, s.cfg.MaxInFlight/4))) {
		g := newGroup(len(some))
		batch := make([]store.Append, len(some))
		for i := range some {
			batch[i] = store.Append{Owner: some[i].on, User: some[i].user, Kills: some[i].refs}
		}
		s.Append(ctx, batch, g.answer)
		g.wait()
		for i, err := range g.errs {
			if err != nil && !errors.Is(err, store.ErrFenced) {
				failed[some[i].on.Shard] = fmt.Errorf("kill again what user %q had killed: %w", some[i].user, err)
			}
		}
	}
	return failed
}
