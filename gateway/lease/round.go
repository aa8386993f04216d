package lease

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"ramen/gateway"
	"ramen/protocol"
	"ramen/store"
)

// round reads the claims once, and does what they ask for.
func (l *Lease) round(ctx context.Context) {
	if l.other == "" {
		l.present(ctx)
	}
	sent := time.Now()
	claims, err := l.read(ctx)
	if err != nil {
		l.metrics.failed.Inc()
		if ctx.Err() == nil && l.g.Serving() != nil {
			l.tell(fmt.Errorf("lease: read the store's claims: %w", err))
		}
		return
	}
	l.highest = max(l.highest, highestOf(claims))
	if first := claims[0]; first.Owner != "" && first.Owner != l.cfg.Owner && !l.isOlder(first) {
		if !l.takesFirst(ctx, first) {
			return
		}
	} else {
		l.other = ""
	}
	l.metrics.standby.Set(0)
	l.keep(ctx, claims, sent)
	l.serve(ctx, claims, sent)
}

// isOlder reports whether the claim of another is from before this process's: the store was set back to it, as by the fail-over to a
// replica that lagged, and who made it has gone. Then what memory has is recovered, and not given up.
func (l *Lease) isOlder(first store.Claimed) bool {
	for _, s := range l.g.Shards() {
		if s.ID == 0 {
			return s.State == gateway.StateServing && first.Epoch < s.Epoch && !first.Present
		}
	}
	return false
}

// takesFirst acts on another owner of the first shard, and so of all. It reports whether that is to be taken from it.
func (l *Lease) takesFirst(ctx context.Context, first store.Claimed) bool {
	begins := l.good.IsZero() // a process that starts takes what there is
	l.loseAll(first)
	if first.Present && !begins {
		if l.other == "" {
			_ = l.call(ctx, func(ctx context.Context) error { return l.cfg.Store.Renew(ctx, l.cfg.Owner, 0) })
		}
		l.other = first.Owner
		l.metrics.standby.Set(1)
		l.tell(fmt.Errorf("lease: another process (%s) has claimed the store at epoch %d; this one serves nobody until that has gone", first.Owner, first.Epoch))
		return false
	}
	if l.other != "" || begins {
		l.present(ctx)
	}
	l.other = ""
	return true
}

func (l *Lease) loseAll(to store.Claimed) {
	l.pending = nil
	for _, s := range l.g.Shards() {
		if s.State == gateway.StateTaking || s.State == gateway.StateServing {
			l.g.Lose(s.ID, max(to.Epoch, s.Epoch+1))
		}
	}
}

// present says that this process is there for as long as its lease. Where it fails, others may take the shards: the next reading tells.
func (l *Lease) present(ctx context.Context) {
	if err := l.call(ctx, func(ctx context.Context) error { return l.cfg.Store.Renew(ctx, l.cfg.Owner, length) }); err != nil && ctx.Err() == nil {
		l.cfg.Log.Warn("this process could not say in the store that it is there", "error", err)
	}
}

func (l *Lease) read(ctx context.Context) (claims []store.Claimed, err error) {
	err = l.call(ctx, func(ctx context.Context) error {
		var errs []error
		claims, errs = l.cfg.Store.Claims(ctx, l.all)
		return errors.Join(errs...)
	})
	return claims, err
}

// call bounds a call of the store: one that hangs leaves time for another before the lease ends.
func (l *Lease) call(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, every)
	defer cancel()
	return f(ctx)
}

// keep renews the lease of what is still claimed, gives up what is not, and recovers what the store may have lost of it.
func (l *Lease) keep(ctx context.Context, claims []store.Claimed, sent time.Time) {
	var lost []protocol.ShardID
	for _, s := range l.g.Shards() {
		c := &claims[s.ID]
		switch {
		case s.State != gateway.StateServing:
		case c.Epoch > s.Epoch, c.Epoch == s.Epoch && c.Owner != l.cfg.Owner:
			l.g.Lose(s.ID, c.Epoch)
		case c.Epoch < s.Epoch, c.History != l.known[s.ID]:
			lost = append(lost, s.ID)
		}
	}
	l.g.Renew(sent.Add(length))
	if len(lost) > 0 {
		l.cfg.Log.Warn("the store is another copy, or has lost claims; claiming again and looking for what is lost", "shards", len(lost))
		l.metrics.recovered.Add(float64(len(lost)))
		if err := l.call(ctx, func(ctx context.Context) error { return l.g.Recover(ctx, lost, l.good) }); err != nil {
			l.cfg.Log.Warn("shards could not be claimed again; trying again", "error", err)
			return // what they were is known until that has happened
		}
	}
	l.good = sent
	for i := range claims {
		l.known[i] = claims[i].History
	}
}

// serve takes what is not served.
func (l *Lease) serve(ctx context.Context, claims []store.Claimed, sent time.Time) {
	if p := l.pending; p != nil {
		if !slices.ContainsFunc(p.shards, func(id protocol.ShardID) bool { return claims[id].Epoch != p.epoch || claims[id].Owner != l.cfg.Owner }) {
			l.takePending(ctx, sent)
			return
		}
		l.pending = nil // claimed by another meanwhile, or lost
	}
	missing := l.missing(claims)
	if len(missing) == 0 {
		if l.g.Serving() == nil {
			l.tell(nil)
		}
		return
	}
	if err := l.claim(ctx, missing, claims); err != nil && ctx.Err() == nil {
		l.tell(fmt.Errorf("lease: claim %d shards: %w", len(missing), err))
	}
}

// missing are the shards that are not served, but for those of another that is there.
func (l *Lease) missing(claims []store.Claimed) (list []protocol.ShardID) {
	served := make([]bool, len(l.all))
	for _, s := range l.g.Shards() {
		served[s.ID] = s.State == gateway.StateServing
	}
	for _, id := range l.all {
		c := &claims[id]
		theirs := c.Owner != "" && c.Owner != l.cfg.Owner && c.Present && claims[0].Owner == l.cfg.Owner
		if !served[id] && !theirs {
			list = append(list, id)
		}
	}
	return list
}

// claim claims shards above every epoch that is known: the first before the others. What another claims at the same moment is left to it.
func (l *Lease) claim(ctx context.Context, shards []protocol.ShardID, before []store.Claimed) error {
	var last protocol.Epoch
	err := l.call(ctx, func(ctx context.Context) (err error) {
		last, err = l.cfg.Store.LastEpoch(ctx)
		return err
	})
	if err != nil {
		return err
	}
	epoch := max(last, l.highest) + 1
	l.highest = epoch
	p := &claim{epoch: epoch, before: slices.Clone(before)}
	if last != highestOf(before) { // somebody has claimed since that was read
		for i := range p.before {
			p.before[i].Owner, p.before[i].Epoch, p.before[i].Present = "unknown", last, true
		}
	}
	unclear := l.unclear
	l.unclear = true // what fails from here on may have been claimed
	if shards[0] == 0 {
		if err := l.claimSome(ctx, shards[:1], p); err != nil || len(p.shards) == 0 {
			return err // another is faster: the next reading says who
		}
		shards = shards[1:]
	}
	if err := l.claimSome(ctx, shards, p); err != nil {
		return err
	}
	p.from = time.Now()
	if !l.mayServeAtOnce(p, unclear, last, before) {
		p.from = p.from.Add(length)
	}
	l.pending = p
	return nil
}

// mayServeAtOnce reports whether nobody else can act on the shards that were claimed: the store refuses it, or there was nobody. At epoch 1 claims
// exclude each other, whoever else begins on a new store. Where an earlier claim of this process had no clear answer, the store may name
// this process already, and the one before still act.
func (l *Lease) mayServeAtOnce(p *claim, unclear bool, last protocol.Epoch, before []store.Claimed) bool {
	return l.cfg.Store.Fences() || p.epoch == 1 || !unclear && !theirs(p.shards, before, l.cfg.Owner) && last == highestOf(before)
}

// theirs reports whether anybody but self had one of shards.
func theirs(shards []protocol.ShardID, before []store.Claimed, self string) bool {
	return slices.ContainsFunc(shards, func(id protocol.ShardID) bool { return before[id].Epoch != 0 && before[id].Owner != self })
}

func highestOf(claims []store.Claimed) (epoch protocol.Epoch) {
	for i := range claims {
		epoch = max(epoch, claims[i].Epoch)
	}
	return epoch
}

func (l *Lease) claimSome(ctx context.Context, shards []protocol.ShardID, p *claim) error {
	for some := range slices.Chunk(shards, claimMost) {
		l.present(ctx) // it takes its time where each is a transaction
		var answers []error
		err := l.call(ctx, func(ctx context.Context) error {
			answers = l.cfg.Store.Claim(ctx, some, p.epoch, l.cfg.Owner)
			return ctx.Err()
		})
		for i, id := range some {
			switch {
			case answers == nil || answers[i] == nil:
				p.shards = append(p.shards, id)
			case !errors.Is(answers[i], store.ErrFenced):
				err = fmt.Errorf("shard %d: %w", id, answers[i])
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// claimMost is how many shards are claimed by one call.
const claimMost = 128

// of is the claims of its shards as they were before.
func (p *claim) of() []store.Claimed {
	list := make([]store.Claimed, len(p.shards))
	for i, id := range p.shards {
		list[i] = p.before[id]
	}
	return list
}

// takePending has the gateway serve what was claimed, once nobody else can act on it any more. The reading that was sent then says that it
// is still this process's.
func (l *Lease) takePending(ctx context.Context, sent time.Time) {
	p := l.pending
	if wait := time.Until(p.from); wait > 0 {
		l.tell(fmt.Errorf("lease: the shards are claimed at epoch %d, and whoever had them may act until %s", p.epoch, p.from.UTC().Format(time.RFC3339Nano)))
		return
	}
	l.pending, l.unclear = nil, false
	err := l.call(ctx, func(ctx context.Context) error { return l.g.Serve(ctx, p.shards, p.of(), p.epoch, sent.Add(length)) })
	switch {
	case err != nil && !errors.Is(err, gateway.ErrClosed) && ctx.Err() == nil:
		l.tell(err)
	case l.g.Serving() == nil:
		l.tell(nil)
	}
}
