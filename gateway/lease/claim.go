package lease

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"ramen/internal/tool/errlist"
	"ramen/protocol"
	"ramen/store"
	"ramen/topology/viewfile"
)

// A claim takes its time where each is a transaction: claimMost shards are one call of the store, and claimCalls calls are under way at once.
const (
	claimMost  = 128
	claimCalls = 4
)

// group is shards that are claimed at one epoch.
type group struct {
	epoch  protocol.Epoch
	shards []protocol.ShardID
}

// claim claims shards that nobody serves, beside the loop. Where this process leads already, each is claimed at the epoch above its last one:
// then nobody else has claimed it in between. Otherwise it is claimed above every epoch that is known, so that this process leads, and the
// first of them before the others. What another claims at the same moment is left to it.
func (l *Lease) claim(ctx context.Context, shards []protocol.ShardID, leads bool) {
	groups := l.groupsAbove(shards)
	if !leads {
		groups = []group{{groups[len(groups)-1].epoch, shards}}
		groups[0].epoch = max(groups[0].epoch, l.highest()+1)
	}
	for _, g := range groups {
		for _, id := range g.shards {
			l.shards[id].try(g.epoch, l.cfg.Owner)
		}
	}
	run, cancel := context.WithCancel(ctx)
	l.cancel = cancel
	l.calls.Go(func() {
		_ = l.presence.say(run, every) // who may claim without: mayFollow
		var err error
		for _, g := range groups {
			if err == nil {
				err = l.claimGroup(run, g, !leads)
			}
		}
		over := run.Err() != nil
		l.tellLoop(ctx, func() {
			cancel()
			l.cancel = nil
			if !over {
				l.failed = err
				l.tell()
			}
		})
	})
}

// patience is how long who leads has to be absent for a process to take over that cannot say itself that it is there.
const patience = 10 * length

// mayFollow reports whether this process may take over from who leads and is not there. It has said first that it is there itself. Where that
// fails, who leads may be there as well, and only not have been able to say so: then the two would take all shards from each other, for ever.
func (l *Lease) mayFollow(r *reading) bool {
	return r.sent.Sub(l.saidAt) < length || r.sent.Sub(l.leader.gone) >= patience
}

// beHeard says beside the loop that this process is there, and has the claims be read again then.
func (l *Lease) beHeard(ctx context.Context) {
	run, cancel := context.WithCancel(ctx)
	l.cancel = cancel
	l.calls.Go(func() {
		began := time.Now()
		err := l.presence.say(run, 0)
		l.tellLoop(ctx, func() {
			over := run.Err() != nil
			cancel()
			l.cancel = nil
			switch {
			case over: // another leads since
			case err != nil:
				l.failed = fmt.Errorf("who owns them (%s) is not there, and this process cannot say in the store that it is: %w", l.leader.owner, err)
				l.tell()
			default:
				l.saidAt, l.due = began, true
			}
		})
	})
}

// groupsAbove are shards by the epoch above all that is known of each, in order.
func (l *Lease) groupsAbove(shards []protocol.ShardID) (groups []group) {
	below := make([]protocol.Epoch, len(l.all))
	for _, s := range l.g.Shards() {
		below[s.ID] = s.Below
	}
	byEpoch := make(map[protocol.Epoch][]protocol.ShardID)
	for _, id := range shards {
		epoch := max(l.shards[id].highest+1, below[id])
		byEpoch[epoch] = append(byEpoch[epoch], id)
	}
	for epoch, ids := range byEpoch {
		groups = append(groups, group{epoch, ids})
	}
	slices.SortFunc(groups, func(a, b group) int { return int(a.epoch) - int(b.epoch) })
	return groups
}

// highest is the highest epoch that is known of any shard.
func (l *Lease) highest() (epoch protocol.Epoch) {
	epoch = l.leader.epoch
	for i := range l.shards {
		epoch = max(epoch, l.shards[i].highest)
	}
	return epoch
}

// try notes that the shard is about to be claimed at epoch, which is above all that is known of it.
func (s *shard) try(epoch protocol.Epoch, self string) {
	t := &s.taking
	if !t.tried || s.claim.Owner != self {
		t.before, t.exact = s.claim, true // else an earlier try may have been done, and whoever had it before may still act
	}
	next := epoch == s.claim.Epoch+1 || s.claim.Above > 0 && s.claim.Owner == self // of claims that are lost nobody can tell
	t.tried, t.exact, s.highest = true, t.exact && next, epoch
}

// isFree reports whether nobody but self can act on the shard, once it has been claimed.
func (t *taking) isFree(self string) bool {
	return t.exact && (t.before.Epoch == 0 || t.before.Owner == self || t.before.Owner == viewfile.Released)
}

// claimGroup claims the shards of a group, in parts; where it is to be so, the first before the others.
func (l *Lease) claimGroup(ctx context.Context, g group, firstAlone bool) error {
	shards := g.shards
	if firstAlone {
		if taken, err := l.claimSome(ctx, shards[:1], g.epoch); err != nil || taken == 0 {
			return err // another is faster: the next reading says who
		}
		shards = shards[1:]
	}
	var calls sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	free := make(chan struct{}, claimCalls)
	for some := range slices.Chunk(shards, claimMost) {
		free <- struct{}{}
		calls.Go(func() {
			defer func() { <-free }()
			_, err := l.claimSome(ctx, some, g.epoch)
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, err)
		})
	}
	calls.Wait()
	return errlist.Of(errs)
}

// claimSome claims shards by one call, and has the loop know of those that were. An error tells of those whose outcome is not known.
func (l *Lease) claimSome(ctx context.Context, shards []protocol.ShardID, epoch protocol.Epoch) (taken int, err error) {
	bounded, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	answers := l.cfg.Store.Claim(bounded, shards, epoch, l.cfg.Owner)
	now := time.Now()
	var claimed []protocol.ShardID
	var errs []error
	for i, id := range shards {
		switch {
		case answers == nil || answers[i] == nil:
			claimed = append(claimed, id)
		case !errors.Is(answers[i], store.ErrFenced):
			errs = append(errs, answers[i])
		}
	}
	if len(errs) > 0 {
		err = fmt.Errorf("claim %d shards at epoch %d: %w", len(errs), epoch, errlist.Of(errs))
	}
	l.tellLoop(ctx, func() { l.noteClaimed(ctx, shards, claimed, epoch, now, len(errs) == 0) })
	return len(claimed), err
}

// noteClaimed notes which of shards have been claimed. ctx is over where another leads since.
func (l *Lease) noteClaimed(ctx context.Context, shards, claimed []protocol.ShardID, epoch protocol.Epoch, now time.Time, clear bool) {
	if len(claimed) > 0 || clear {
		l.begins = false
	}
	for _, id := range shards {
		l.shards[id].taking.noted = l.readings // an earlier reading does not tell what has become of it
	}
	if ctx.Err() != nil {
		return
	}
	for _, id := range claimed {
		t := &l.shards[id].taking
		if t.claimed, t.from = epoch, now; !l.cfg.Store.Fences() && !t.isFree(l.cfg.Owner) {
			t.from = now.Add(length)
		}
		if !t.exact {
			t.before = store.Claimed{Epoch: epoch - 1, Owner: "unknown", Present: true} // whoever may have come in between
		}
	}
}
