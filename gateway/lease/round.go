package lease

import (
	"context"
	"errors"
	"fmt"
	"time"

	"ramen/gateway"
	"ramen/protocol"
	"ramen/store"
)

// round does what a reading of the claims asks for.
func (l *Lease) round(ctx context.Context, r reading) {
	unread := l.note(&r)
	if unread > 0 {
		l.metrics.failed.Inc()
	}
	if unread < len(l.all) {
		l.heard.Store(r.sent.UnixNano())
	}
	if l.cfg.Share != nil {
		l.roundShare(ctx, &r, unread)
		return
	}
	l.leader.follow(&r, unread, l.own(), l.cfg.Owner)
	if unread == len(l.all) {
		l.tell()
		return
	}
	leads := l.leader.owner == "" || l.leader.owner == l.cfg.Owner
	if !leads && !l.begins && l.leader.isThere(&r) {
		l.standBy()
		return
	}
	l.metrics.standby.Set(0)
	l.presence.want(true)
	l.keep(ctx, &r)
	l.serve(ctx, &r)
	missing := l.missing(&r)
	switch {
	case len(missing) == 0 || l.cancel != nil || l.closed:
	case !leads && !l.begins && !l.mayFollow(&r):
		l.beHeard(ctx)
	default:
		l.claim(ctx, missing, leads && l.leader.owner != "")
	}
	l.tell()
}

// note keeps what was read of each shard, and answers of how many nothing was.
func (l *Lease) note(r *reading) (unread int) {
	for i := range l.shards {
		s := &l.shards[i]
		if s.unread = r.err(protocol.ShardID(i)); s.unread != nil {
			unread++
			continue
		}
		s.claim = r.claims[i]
		s.highest = max(s.highest, s.claim.Epoch, s.claim.Above)
	}
	return unread
}

// own is at which epoch each shard is served, or was claimed since; 0: neither.
func (l *Lease) own() []protocol.Epoch {
	own := make([]protocol.Epoch, len(l.all))
	for _, s := range l.g.Shards() {
		if s.State == gateway.StateServing {
			own[s.ID] = s.Epoch
		}
	}
	for i := range own {
		own[i] = max(own[i], l.shards[i].taking.claimed)
	}
	return own
}

// standBy serves nothing, since another process leads.
func (l *Lease) standBy() {
	if l.cancel != nil {
		l.cancel()
	}
	for i := range l.shards {
		l.shards[i].taking.claimed = 0
	}
	l.saidAt = time.Time{}
	for _, s := range l.g.Shards() {
		epoch := l.leader.epoch
		if s.State == gateway.StateTaking || s.State == gateway.StateServing {
			epoch = max(epoch, s.Epoch+1)
		}
		l.g.Lose(s.ID, epoch) // also where the lease has ended: what was in memory is kept until another is known to have the shard
	}
	l.presence.want(false)
	l.metrics.standby.Set(1)
	l.say(fmt.Errorf("lease: another process (%s) has claimed the store at epoch %d; this one serves nobody until that has gone", l.leader.owner, l.leader.epoch), nil)
}

// keep renews the leases of what is still claimed, gives up what is not, and recovers what the store may have lost of it.
func (l *Lease) keep(ctx context.Context, r *reading) {
	var kept []store.Owner
	var lost []protocol.ShardID
	since := r.sent
	for _, s := range l.g.Shards() {
		if s.State != gateway.StateServing || r.err(s.ID) != nil {
			continue
		}
		c, known := &r.claims[s.ID], &l.shards[s.ID]
		at := store.Owner{Shard: s.ID, Epoch: s.Epoch}
		switch {
		case c.Epoch > s.Epoch, c.Epoch == s.Epoch && c.Owner != l.cfg.Owner:
			l.g.Lose(s.ID, c.Epoch)
		case c.Epoch < s.Epoch, c.History != known.history:
			kept, lost = append(kept, at), append(lost, s.ID)
			if known.good.Before(since) {
				since = known.good
			}
		default:
			kept, known.good = append(kept, at), r.sent
		}
	}
	l.g.RenewShards(kept, r.sent.Add(length))
	if len(lost) > 0 && !l.recovering && r.number > l.recovered {
		l.recover(ctx, r, lost, since)
	}
}

// recover claims shards again that the store may have lost something of, and has the gateway look for that.
func (l *Lease) recover(ctx context.Context, r *reading, lost []protocol.ShardID, since time.Time) {
	l.cfg.Log.Warn("the store is another copy, or has lost claims; claiming again and looking for what is lost", "shards", len(lost))
	l.metrics.recovered.Add(float64(len(lost)))
	l.recovering = true
	l.call(ctx, every, func(bounded context.Context) func() {
		err := l.g.Recover(bounded, lost, since)
		return func() {
			l.recovering, l.recovered = false, l.readings
			if err != nil {
				if ctx.Err() == nil {
					l.cfg.Log.Warn("shards could not be claimed again; trying again", "error", err)
				}
				return // what they were is known until that has happened
			}
			for _, id := range lost {
				l.shards[id].history, l.shards[id].good = r.claims[id].History, r.sent
			}
		}
	})
}

// serve has the gateway serve what was claimed, once nobody else can act on it any more, and the reading says that it is still this process's.
func (l *Lease) serve(ctx context.Context, r *reading) {
	byEpoch := make(map[protocol.Epoch][]protocol.ShardID)
	for i := range l.shards {
		id, t := protocol.ShardID(i), &l.shards[i].taking
		if t.claimed == 0 || r.number <= t.noted || r.err(id) != nil {
			continue
		}
		switch c := &r.claims[i]; {
		case c.Epoch != t.claimed || c.Owner != l.cfg.Owner:
			t.claimed, t.noted = 0, l.readings // claimed by another meanwhile, or lost: the next reading in its turn tells
		case !r.sent.Before(t.from):
			byEpoch[t.claimed] = append(byEpoch[t.claimed], id)
		}
	}
	for epoch, ids := range byEpoch {
		before := make([]store.Claimed, len(ids))
		for n, id := range ids {
			s := &l.shards[id]
			before[n] = s.taking.before
			before[n].History = r.claims[id].History // the copy that has the claim
			s.history, s.good, s.taking = before[n].History, r.sent, taking{}
		}
		if err := l.g.Serve(ctx, ids, before, epoch, r.sent.Add(length)); err != nil {
			l.notServed(ids, err)
		}
	}
}

// notServed notes that the gateway does not serve what was claimed, or some of it. That is tried again with the next reading in its turn,
// unless the gateway is closed.
func (l *Lease) notServed(ids []protocol.ShardID, err error) {
	if errors.Is(err, gateway.ErrClosed) {
		l.closed = true
	}
	l.failed = err
	for _, id := range ids {
		l.shards[id].taking.noted = l.readings
	}
}

// missing are the shards that were read, and are neither served nor claimed.
func (l *Lease) missing(r *reading) (list []protocol.ShardID) {
	served := make([]bool, len(l.all))
	for _, s := range l.g.Shards() {
		served[s.ID] = s.State == gateway.StateServing
	}
	for _, id := range l.all {
		if t := &l.shards[id].taking; !served[id] && t.claimed == 0 && r.err(id) == nil && r.number > t.noted {
			list = append(list, id)
		}
	}
	return list
}
