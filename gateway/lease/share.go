package lease

import (
	"context"
	"fmt"
	"time"

	"ramen/gateway"
	"ramen/protocol"
	"ramen/store"
	"ramen/topology"
	"ramen/topology/viewfile"
)

// The times of a share.
const (
	hurryEvery     = 200 * time.Millisecond // from reading to reading, while shards are on their way
	hurryFor       = time.Minute            // behind a change of the list: what others have longer than that comes in its time
	takeBack       = 3 * time.Second        // how long a shard that was offered waits for who is to have it, before it is served here again
	againFirst     = 30 * time.Second       // until it is offered again; each time twice as long
	againMost      = 10 * time.Minute
	releaseTimeout = 10 * time.Second // for what is being written
	offerMost      = 32               // shards at once, to one gateway that has taken one
)

// Share is what a lease needs, to own a part of the shards alone.
type Share struct {
	Name string // of this gateway; behind an @ Config.Owner has what tells its starts apart
	// Owners is the name of the gateway that is to have each shard, and a channel that is closed when that changes.
	Owners func() ([]string, <-chan struct{})
	// Read is called with the claims of all shards, and why each was not read, as they are read.
	Read func(claims []store.Claimed, errs []error)
}

// sharing is what the loop knows of its share.
type sharing struct {
	owners     []string
	changed    <-chan struct{}
	since      time.Time                 // when the list was read
	doubt      time.Time                 // when a reading was sent last in which something of the store could not be read
	releasing  bool                      // shards are being released
	busy       map[protocol.ShardID]bool // which
	offered    map[protocol.ShardID]offer
	successors map[string]*successor
}

// offer is a shard that was released for another gateway, which has not claimed it yet.
type offer struct {
	to    string
	epoch protocol.Epoch // of the claim in nobody's name
	at    time.Time
}

// successor is what has become of the shards that were offered to a gateway since the list has changed.
type successor struct {
	proven bool // it has taken one: it is there, and has the same list
	pause  time.Duration
	again  time.Time // not before
}

// roundShare does what a reading asks for, of a process that has a part of the shards.
func (l *Lease) roundShare(ctx context.Context, r *reading, unread int) {
	if l.cfg.Share.Read != nil {
		l.cfg.Share.Read(r.claims, r.errs)
	}
	if l.share.changed == nil || closed(l.share.changed) {
		l.share.owners, l.share.changed = l.cfg.Share.Owners()
		l.share.since = r.sent
		l.share.successors = make(map[string]*successor)
	}
	if unread == len(l.all) {
		l.share.doubt = r.sent
		l.tell()
		return
	}
	if unread > 0 || r.presenceUnread() {
		l.share.doubt = r.sent
	}
	l.presence.want(true)
	l.keep(ctx, r)
	l.serve(ctx, r)
	l.noteOffers(r)
	if take := l.toTake(r); len(take) > 0 && l.cancel == nil && !l.closed {
		l.claim(ctx, take, true)
	}
	l.offer(ctx, r)
	l.tell()
}

// shareChanged is closed where the list has changed, and no reading is on the way that acts upon it.
func (l *Lease) shareChanged() <-chan struct{} {
	if l.reading || l.due {
		return nil
	}
	return l.share.changed
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func (r *reading) presenceUnread() bool {
	for i := range r.claims {
		if r.err(protocol.ShardID(i)) == nil && r.claims[i].PresenceUnread {
			return true
		}
	}
	return false
}

// wants reports whether this process is to have the shard.
func (l *Lease) wants(id protocol.ShardID) bool {
	return l.cfg.Share == nil || int(id) < len(l.share.owners) && l.share.owners[id] == l.cfg.Share.Name
}

// noteOffers notes what has become of the shards that were offered.
func (l *Lease) noteOffers(r *reading) {
	for id, o := range l.share.offered {
		c := &r.claims[id]
		switch {
		case r.err(id) != nil:
		case c.Epoch <= o.epoch:
			if r.sent.Sub(o.at) > 3*takeBack { // the store has lost the claim
				delete(l.share.offered, id)
			}
		case topology.MemberID(c.Owner).Name() == o.to:
			l.successor(o.to).proven = true
			delete(l.share.offered, id)
		default: // taken back, or another is to have it meanwhile
			delete(l.share.offered, id)
		}
	}
}

func (l *Lease) successor(name string) *successor {
	t := l.share.successors[name]
	if t == nil {
		t = &successor{pause: againFirst}
		l.share.successors[name] = t
	}
	return t
}

// toTake are the shards to claim: what this process is to have and nobody who is there has, and what was offered and nobody has taken.
func (l *Lease) toTake(r *reading) (list []protocol.ShardID) {
	served := l.served()
	for _, id := range l.all {
		t := &l.shards[id].taking
		if served[id] || l.share.busy[id] || t.claimed != 0 || r.err(id) != nil || r.number <= t.noted {
			continue
		}
		c := &r.claims[id]
		o, offered := l.share.offered[id]
		switch {
		case offered && c.Epoch == o.epoch && c.Owner == viewfile.Released:
			if l.wants(id) {
				list = append(list, id)
			} else if r.sent.Sub(o.at) >= takeBack {
				list = append(list, id)
				l.refused(o.to, id)
			}
		case c.Owner == l.cfg.Owner: // it was claimed here, or could not be given up
			list = append(list, id)
		case l.wants(id) && l.mayTake(r, c):
			list = append(list, id)
		}
	}
	return list
}

// mayTake reports whether nobody who is there has a claim: also an earlier start of this process, where this one has just begun.
func (l *Lease) mayTake(r *reading, c *store.Claimed) bool {
	switch {
	case c.Epoch == 0 || c.Owner == viewfile.Released:
		return true
	case !c.Present:
		return r.sent.Sub(l.share.doubt) >= length
	}
	return l.begins && topology.MemberID(c.Owner).Name() == l.cfg.Share.Name
}

// refused notes that who is to have a shard has not taken it.
func (l *Lease) refused(name string, id protocol.ShardID) {
	t := l.successor(name)
	if time.Now().Before(t.again) {
		return
	}
	t.proven, t.again = false, time.Now().Add(t.pause)
	l.cfg.Log.Warn("the gateway that is to have a shard has not taken it, and it is served here again: does it run, with the same file?", "member", name, "shard", id, "again", t.pause)
	t.pause = min(2*t.pause, againMost)
}

func (l *Lease) served() []bool {
	served := make([]bool, len(l.all))
	for _, s := range l.g.Shards() {
		served[s.ID] = s.State == gateway.StateServing
	}
	return served
}

// offer releases shards that others are to have, a few at a time: in order first, and then by a claim in nobody's name, which tells the other that it
// may take the shard at once.
func (l *Lease) offer(ctx context.Context, r *reading) {
	if l.share.releasing || l.closed {
		return
	}
	out := make(map[string]int)
	for _, o := range l.share.offered {
		out[o.to]++
	}
	var all []store.Owner
	for _, s := range l.g.Shards() {
		c := &r.claims[s.ID]
		if s.State != gateway.StateServing || l.wants(s.ID) || r.err(s.ID) != nil || c.Epoch != s.Epoch || c.Owner != l.cfg.Owner || int(s.ID) >= len(l.share.owners) {
			continue
		}
		to := l.share.owners[s.ID]
		t := l.successor(to)
		most := 1
		if t.proven {
			most = offerMost
		}
		if out[to] < most && !time.Now().Before(t.again) {
			out[to]++
			all = append(all, store.Owner{Shard: s.ID, Epoch: s.Epoch})
		}
	}
	if len(all) == 0 {
		return
	}
	l.share.releasing = true
	for _, o := range all {
		l.share.busy[o.Shard] = true
	}
	l.call(ctx, releaseTimeout, func(bounded context.Context) func() {
		released := l.release(bounded, all)
		return func() { l.noteReleased(all, released) }
	})
}

// release releases shards, and answers which of them have been claimed in nobody's name.
func (l *Lease) release(ctx context.Context, all []store.Owner) (released []store.Owner) {
	ids := make([]protocol.ShardID, len(all))
	byEpoch := make(map[protocol.Epoch][]protocol.ShardID)
	for i, o := range all {
		ids[i] = o.Shard
		byEpoch[o.Epoch] = append(byEpoch[o.Epoch], o.Shard)
	}
	if err := l.g.Release(ctx, ids); err != nil {
		l.cfg.Log.Warn("shards were not released in order", "first", ids[0], "shards", len(ids), "error", err)
		return nil // what was being written may still come: they are taken back, or left to the lease
	}
	for epoch, ids := range byEpoch {
		answers := l.cfg.Store.Claim(ctx, ids, epoch+1, viewfile.Released)
		for i, id := range ids {
			if answers == nil || answers[i] == nil {
				released = append(released, store.Owner{Shard: id, Epoch: epoch + 1})
			} else {
				l.cfg.Log.Warn("a shard was released, and that could not be said in the store", "shard", id, "error", answers[i])
			}
		}
	}
	return released
}

func (l *Lease) noteReleased(all, released []store.Owner) {
	l.share.releasing, l.due = false, true
	clear(l.share.busy)
	for _, o := range all {
		l.shards[o.Shard].taking.noted = l.readings // an earlier reading does not tell what has become of it
		l.shards[o.Shard].highest = max(l.shards[o.Shard].highest, o.Epoch+1)
	}
	for _, o := range released {
		l.share.offered[o.Shard] = offer{l.share.owners[o.Shard], o.Epoch, time.Now()}
	}
}

// hurries reports whether shards are on their way: who waits for them is to know soon.
func (l *Lease) hurries() bool {
	if l.cfg.Share == nil || l.share.owners == nil {
		return false
	}
	if len(l.share.offered) > 0 || l.share.releasing {
		return true
	}
	if time.Since(l.share.since) > hurryFor {
		return false
	}
	served := l.served()
	for _, id := range l.all {
		if l.wants(id) && !served[id] {
			return true
		}
	}
	return false
}

// heldByOthers says which gateways have what this one is to have.
func (l *Lease) heldByOthers(served []bool) error {
	held := make(map[string]int)
	for i := range l.shards {
		s := &l.shards[i]
		if !served[i] && l.wants(protocol.ShardID(i)) && s.unread == nil && s.taking.claimed == 0 && s.claim.Owner != l.cfg.Owner && s.claim.Owner != viewfile.Released && s.claim.Owner != "" {
			held[s.claim.Owner]++
		}
	}
	var list reasons
	for owner, n := range held {
		list = append(list, fmt.Errorf("%d are served by %s, which has not given them up", n, owner))
	}
	if len(list) == 0 {
		return nil
	}
	return list
}
