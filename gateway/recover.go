package gateway

import (
	"context"
	"errors"
	"fmt"
	"time"

	"ramen/internal/tool/errlist"
	"ramen/link"
	"ramen/protocol"
	"ramen/store"
)

// claimLost reports whether err is a fence by a claim that is older than o's: the store has lost that one. Nobody else owns the shard.
func (o *ownership) claimLost(err error) bool {
	e, is := errors.AsType[*store.FencedError](err)
	return is && o.g.mender.shared != nil && e.Epoch < o.Owner.Epoch
}

// fenced acts on a fence, and reports whether somebody else owns the shard. Else the store has lost its claim, and it is claimed again.
func (o *ownership) fenced(err error) bool {
	if o.claimLost(err) {
		o.g.unlessClosed(func() {
			ctx, cancel := context.WithTimeout(context.Background(), o.g.cfg.LoadTimeout)
			defer cancel()
			_ = o.claimAgain(ctx) // the next call tells
		})
		return false
	}
	o.loseTo(err)
	return true
}

// loseTo gives the shard up to whoever owns it by what the store says.
func (o *ownership) loseTo(err error) {
	l := link.Loss{Reason: protocol.ReasonRebalance}
	if e, is := errors.AsType[*store.FencedError](err); is {
		l.Below = e.Epoch
	}
	o.lose(l, err)
	o.shard.takenByAnother(l.Below)
}

// claimAgain claims the shard at the epoch at which it is owned, whose claim the store has lost, and has its mailboxes probed. Calls at
// the same time are one.
func (o *ownership) claimAgain(ctx context.Context) error {
	_, err, _ := o.g.mender.claims.Do(fmt.Sprint(o.Owner), func() (any, error) {
		return nil, errors.Join(o.g.recoverShards(ctx, []*ownership{o}, 0)...)
	})
	return err
}

// Recover is for a store that may have lost what it had answered of shards: those that are served are claimed again at their epochs, and
// each mailbox of them in memory is probed, and written again where the store has lost some of it, at a pace. It had lost nothing at
// since; zero: nobody knows when. Recover returns once the shards are claimed. Other shards are left alone.
func (g *Gateway) Recover(ctx context.Context, shards []protocol.ShardID, since time.Time) error {
	byEpoch := make(map[protocol.Epoch][]*ownership)
	for _, id := range shards {
		if own := g.shards[id].own.Load(); own != nil && own.gate() == nil {
			byEpoch[own.Owner.Epoch] = append(byEpoch[own.Owner.Epoch], own)
		}
	}
	var errs []error
	for _, owns := range byEpoch {
		errs = append(errs, g.recoverShards(ctx, owns, g.microsAt(since))...)
	}
	return errlist.Of(errs)
}

// microsAt is t as positions have it; 0 for zero.
func (g *Gateway) microsAt(t time.Time) uint64 {
	if t.IsZero() {
		return 0
	}
	return uint64(g.started.UnixMicro() + t.Sub(g.started).Microseconds())
}

// recoverShards is Recover of shards that are owned at one epoch.
func (g *Gateway) recoverShards(ctx context.Context, owns []*ownership, since uint64) (errs []error) {
	ids := make([]protocol.ShardID, len(owns))
	for i, o := range owns {
		ids[i] = o.Owner.Shard
	}
	claims, unread := g.mender.shared.Claims(ctx, ids)
	var again []*ownership
	var histories []string
	ids = ids[:0]
	for i, o := range owns {
		if unread != nil && unread[i] != nil {
			errs = append(errs, fmt.Errorf("gateway: read the claim of shard %d: %w", o.Owner.Shard, unread[i]))
			continue
		}
		if c := &claims[i]; c.Epoch < o.Owner.Epoch && c.Present && c.Owner != g.owner {
			// Set back to before o's claim: the owner of then believes that it has the shard, and may have written since.
			o.lose(link.Loss{Reason: protocol.ReasonRebalance}, fmt.Errorf("gateway: shard %d: the store has lost the claim at epoch %d, and %s is there", o.Owner.Shard, o.Owner.Epoch, c.Owner))
			continue
		}
		again, ids, histories = append(again, o), append(ids, o.Owner.Shard), append(histories, claims[i].History)
	}
	if len(again) == 0 {
		return errs
	}
	answers := g.store.Claim(ctx, ids, again[0].Owner.Epoch, g.owner)
	for i, o := range again {
		if answers != nil && answers[i] != nil {
			if errors.Is(answers[i], store.ErrFenced) {
				o.loseTo(answers[i])
			}
			errs = append(errs, fmt.Errorf("gateway: claim shard %d again at epoch %d: %w", o.Owner.Shard, o.Owner.Epoch, answers[i]))
			continue
		}
		boxes := o.shard.pinAll()
		o.beginProbes(len(boxes), histories[i])
		g.writeAgain(boxes, probe{true, since})
	}
	return errs
}

// beginProbes notes that n more mailboxes are probed, in the store's copy of that history. Until all have been, something may be missing
// from it that memory has.
func (o *ownership) beginProbes(n int, history string) {
	o.shard.mu.Lock()
	o.probes, o.copy = o.probes+n, history
	o.shard.known.history = historyUnknown
	o.shard.mu.Unlock()
	o.endProbes(0)
}

// endProbes notes that n mailboxes have been probed: the store has all of them.
func (o *ownership) endProbes(n int) {
	s := o.shard
	s.mu.Lock()
	defer s.mu.Unlock()
	if o.probes -= n; o.probes == 0 && s.own.Load() == o {
		s.known.history = o.copy
	}
}

// unlessClosed runs f beside the caller. Close waits for it, and after it nothing is run.
func (g *Gateway) unlessClosed(f func()) {
	g.closeMu.RLock()
	defer g.closeMu.RUnlock()
	if !g.closed {
		g.commits.Go(f)
	}
}
