package gateway

import (
	"context"
	"errors"
	"fmt"
	"time"

	"ramen/gateway/mailbox"
	"ramen/internal/tool/errlist"
	"ramen/link"
	"ramen/protocol"
	"ramen/store"
)

// Take owns shards from now on, at an epoch that they were not served at before: users are served once it has returned. Of those that
// it could not take the error tells; the others are owned. lease is until when the owner may act, and Renew has it go on; zero: there
// is none, where there is no other process. Of the shards that are owned already the earlier ownership ends.
func (g *Gateway) Take(ctx context.Context, shards []protocol.ShardID, epoch protocol.Epoch, lease time.Time) error {
	for _, id := range shards {
		if int(id) >= len(g.shards) || epoch == 0 {
			return fmt.Errorf("gateway: take shard %d at epoch %d: there are %d shards, and epochs begin with 1", id, epoch, len(g.shards))
		}
	}
	known, before, unread := g.claimsBefore(ctx, shards)
	err := g.take(ctx, known, epoch, lease, before, func(taken []protocol.ShardID) []error { return g.store.Claim(ctx, taken, epoch, g.owner) })
	if unread != nil {
		unread = fmt.Errorf("gateway: take %d shards at epoch %d: %w", len(shards)-len(known), epoch, unread)
	}
	return errlist.Of([]error{err, unread})
}

// Serve is Take of shards that the caller has claimed already, at epoch and in the name of Deps.Owner. before is the claims as they were
// before that.
func (g *Gateway) Serve(ctx context.Context, shards []protocol.ShardID, before []store.Claimed, epoch protocol.Epoch, lease time.Time) error {
	return g.take(ctx, shards, epoch, lease, before, func([]protocol.ShardID) []error { return nil })
}

// ErrClosed is the answer to a Take after Close.
var ErrClosed = errors.New("gateway: closed")

func (g *Gateway) take(ctx context.Context, shards []protocol.ShardID, epoch protocol.Epoch, lease time.Time, before []store.Claimed, claim func([]protocol.ShardID) []error) error {
	g.clearLost()
	if err := g.releaseShards(ctx, shards, protocol.ReasonRebalance, false); err != nil {
		g.log.Warn("acks of an earlier epoch could not be saved", "error", err)
	}
	var taken []protocol.ShardID
	var owns []*ownership
	var errs []error
	for i, id := range shards {
		own, err := g.beginTake(id, epoch, lease, before[i])
		if err != nil {
			errs = append(errs, err)
			continue
		}
		taken, owns = append(taken, id), append(owns, own)
	}
	if len(taken) > 0 {
		claims := claim(taken)
		for i, own := range owns {
			var err error
			if claims != nil {
				err = claims[i]
			}
			if err = own.claimed(err); err != nil {
				errs = append(errs, err)
			}
		}
	}
	if len(errs) > 0 {
		return fmt.Errorf("gateway: take %d shards at epoch %d: %w", len(shards), epoch, errlist.Of(errs))
	}
	return nil
}

// claimsBefore reads who had the shards before, and answers which of them it could read.
func (g *Gateway) claimsBefore(ctx context.Context, shards []protocol.ShardID) (read []protocol.ShardID, before []store.Claimed, unread error) {
	if g.mender.replacer == nil || g.mender.shared == nil {
		return shards, make([]store.Claimed, len(shards)), nil
	}
	claims, errs := g.mender.shared.Claims(ctx, shards)
	if errs == nil {
		return shards, claims, nil
	}
	for i, id := range shards {
		if errs[i] == nil {
			read, before = append(read, id), append(before, claims[i])
		}
	}
	return read, before, errlist.Of(errs)
}

// takeUp notes that the shard is about to be claimed at epoch, from whoever had it before.
func (l *lineage) takeUp(epoch protocol.Epoch, before store.Claimed, self string) {
	mine := before.Owner == self
	none := before.Epoch < l.epoch && (before.Owner == "" || !before.Present) // the store has lost the claim
	l.only = l.only && (mine || none)
	l.epoch = max(l.epoch, epoch)
}

// beginTake begins to take one shard.
func (g *Gateway) beginTake(id protocol.ShardID, epoch protocol.Epoch, lease time.Time, before store.Claimed) (*ownership, error) {
	s := &g.shards[id]
	own := &ownership{
		Scope: mailbox.Scope{Common: &g.common, Owner: store.Owner{Shard: id, Epoch: epoch}},
		g:     g, shard: s, noWrite: make(chan struct{}, 1),
	}
	own.lease.Store(g.leaseEnd(lease))
	g.closeMu.RLock() // Close ends what is being taken when it has been here
	defer g.closeMu.RUnlock()
	if g.closed {
		return nil, ErrClosed
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if epoch < s.below {
		return nil, fmt.Errorf("shard %d was served at an epoch up to %d", id, s.below-1)
	}
	known := s.known
	known.takeUp(epoch, before, g.owner)
	if own.unbroken, own.history = known.only, before.History; !own.unbroken {
		g.evicted.forgetContents(id, true)
	}
	if !s.moveLocked(own, change{to: StateTaking}) {
		return nil, fmt.Errorf("shard %d is %s", id, s.stateNow())
	}
	s.known = known
	return own, nil
}

// claimed goes on with the answer to the claim.
func (o *ownership) claimed(err error) error {
	switch {
	case err == nil && o.leaseEnded():
		err = errLeaseEnded
		o.lose(leaseLoss(o.Owner.Epoch), err)
	case err == nil:
		err = o.serve()
	case errors.Is(err, store.ErrFenced):
		o.loseTo(err)
	default:
		o.shard.move(o, change{to: StateNone, cause: err})
	}
	if o.stateNow() == StateLost {
		o.clear()
	}
	return err
}

// serve begins to serve the shard. What is kept of its mailboxes is written again where the store has lost it meanwhile.
func (o *ownership) serve() error {
	if !o.shard.move(o, change{to: StateServing}) {
		return o.refusal()
	}
	s := o.shard
	s.mu.Lock()
	same := s.known.history == o.history
	s.known.only, s.known.history = true, o.history
	if o.unbroken && !same {
		o.probes, o.copy = o.probes+1, o.history
		s.known.history = historyUnknown
	}
	s.mu.Unlock()
	switch {
	case !o.unbroken:
	case same:
		o.g.evicted.forgetContents(s.id, false)
	default:
		o.g.unlessClosed(func() { o.g.loadEvicted(o) })
	}
	return nil
}

// Release gives shards up, so that another gateway may take them. New calls are answered that the shard moves; appends and saves
// under way are waited for; then streams are told to open at the new owner, and what was saved lazily is durable when it returns.
// It waits for writes of these shards alone, whatever else the process holds. Where ctx ends before they have, the shards are lost.
func (g *Gateway) Release(ctx context.Context, shards []protocol.ShardID) error {
	g.endTaking(shards)
	return g.releaseShards(ctx, shards, protocol.ReasonRebalance, true)
}

// endTaking has shards that are being taken not be served once the store has answered: the Take of them answers link.ErrNotOwner.
func (g *Gateway) endTaking(shards []protocol.ShardID) {
	for _, id := range shards {
		s := &g.shards[id]
		s.mu.Lock()
		if own := s.own.Load(); own != nil && own.stateNow() == StateTaking && s.moveLocked(own, change{to: StateNone}) {
			s.below = max(s.below, own.Owner.Epoch+1) // as that of one that was served
		}
		s.mu.Unlock()
	}
}

func (g *Gateway) releaseShards(ctx context.Context, shards []protocol.ShardID, reason protocol.Reason, durable bool) error {
	var owns []*ownership
	for _, id := range shards {
		s := &g.shards[id]
		if own := s.own.Load(); own != nil && s.move(own, change{to: StateReleasing, loss: link.Loss{Reason: reason}}) {
			owns = append(owns, own)
		}
	}
	var errs []error
	var all []write
	for _, own := range owns {
		if err := own.awaitWrites(ctx); err != nil {
			own.lose(own.lossNow(), err)
			errs = append(errs, fmt.Errorf("gateway: release shard %d: wait for its writes: %w", own.Owner.Shard, err))
		}
		all = append(all, own.disownAll()...)
	}
	errs = append(errs, g.writeBehind.writeReleased(ctx, all, durable))
	for _, own := range owns {
		own.shard.move(own, change{to: StateNone})
	}
	return errors.Join(errs...)
}

// Lose gives a shard up at once, without a write: another gateway owns it. below is the epoch below which nobody serves it; 0: none is
// known beyond that of its ownership here. Of one that is not served it drops what was kept to be written again.
func (g *Gateway) Lose(id protocol.ShardID, below protocol.Epoch) {
	if int(id) >= len(g.shards) {
		return
	}
	if own := g.shards[id].own.Load(); own != nil {
		own.lose(link.Loss{Reason: protocol.ReasonRebalance, Below: below}, nil)
		own.clear()
	}
	g.shards[id].takenByAnother(below)
}

// takenByAnother notes that another owner has claimed the shard at epoch: where that is behind what was claimed here, what memory had of it is
// not written again. A claim from before is that of a store that was set back.
func (s *shard) takenByAnother(epoch protocol.Epoch) {
	s.mu.Lock()
	taken := epoch > s.known.epoch
	if taken {
		s.known.only = false
	}
	s.mu.Unlock()
	if taken {
		s.g.evicted.forgetContents(s.id, true)
	}
}

// Renew has the leases of all shards last until then. A lease that has ended meanwhile is not renewed: its shard is lost.
func (g *Gateway) Renew(until time.Time) {
	g.loseWhereSlept()
	end := g.leaseEnd(until)
	for i := range g.shards {
		if own := g.shards[i].own.Load(); own != nil {
			own.renewOrLose(end)
		}
	}
}

// RenewShards is Renew of some shards, where they are owned at these epochs.
func (g *Gateway) RenewShards(at []store.Owner, until time.Time) {
	g.loseWhereSlept()
	end := g.leaseEnd(until)
	for _, o := range at {
		if own := g.shards[o.Shard].own.Load(); own != nil && own.Owner.Epoch == o.Epoch {
			own.renewOrLose(end)
		}
	}
}

func (o *ownership) renewOrLose(until int64) {
	if !o.renew(until) {
		o.lose(leaseLoss(o.Owner.Epoch), errLeaseEnded)
	}
}

// leaseEnd is a lease as an ownership has it.
func (g *Gateway) leaseEnd(t time.Time) int64 {
	if t.IsZero() {
		return forever
	}
	return int64(t.Sub(g.started))
}

// clearLost clears away the shards that are lost.
func (g *Gateway) clearLost() {
	for i := range g.shards {
		if own := g.shards[i].own.Load(); own != nil && own.stateNow() == StateLost {
			own.clear()
		}
	}
}

// clear takes the mailboxes of a lost shard out of memory. Nothing of them is saved.
func (o *ownership) clear() {
	if o.stateNow() != StateLost {
		return
	}
	o.disownAll()
	o.shard.move(o, change{to: StateNone})
}

// disownAll takes the mailboxes out of memory whoever holds them, tells their streams, and answers what is to be saved of them.
// The shard is releasing or lost: no mailbox comes in meanwhile.
func (o *ownership) disownAll() (all []write) {
	s := o.shard
	s.mu.Lock()
	boxes := s.boxes
	if s.own.Load() != o {
		boxes = nil // another ownership has begun: o's are gone
	} else {
		s.boxes = nil
	}
	s.mu.Unlock()
	for _, b := range boxes {
		if w := b.disown(); w.dirty != nil {
			all = append(all, w)
		}
	}
	if o.stateNow() == StateLost {
		return nil
	}
	return all
}

// Shard is where one shard stands.
type Shard struct {
	ID        protocol.ShardID
	State     State
	Epoch     protocol.Epoch // of the ownership; 0: there is none
	Below     protocol.Epoch // nobody serves it at an epoch below, as far as is known here
	Mailboxes int            // in memory
	Writes    int            // appends and saves under way
	Served    bool           // what asks for the shard's mailboxes is let through: its state is serving, and its lease holds
}

// Shards says where the shards stand, those left out that were never owned here.
func (g *Gateway) Shards() []Shard {
	var list []Shard
	for i := range g.shards {
		if s := g.shards[i].describe(); s.State != StateNone || s.Below != 0 {
			list = append(list, s)
		}
	}
	return list
}

func (s *shard) describe() Shard {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := Shard{ID: s.id, Below: s.below, Mailboxes: len(s.boxes)}
	if own := s.own.Load(); own != nil {
		d.State, d.Epoch, d.Writes = own.stateNow(), own.Owner.Epoch, int(own.writes.Load())
		d.Served = d.State == StateServing && !own.leaseEnded()
	}
	return d
}
