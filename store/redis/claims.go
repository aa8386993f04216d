package redis

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"ramen/protocol"
	"ramen/store"
)

// claimTTL is how long a claim and the identity stay without a gateway, at least.
const claimTTL = 40 * 24 * time.Hour

// claimTTL is how long they stay: longer than all that has positions of their epochs. That are the cursors of devices in mailboxes.
func (c *Config) claimTTL() time.Duration {
	return max(claimTTL, min(c.DeviceTTL, mostTTL)+10*24*time.Hour)
}

// heldClaim is a claim of this opening of the store. Immutable.
type heldClaim struct {
	token
	owner string
}

// held is the claim of a shard that this opening has; nil: none.
func (s *Store) held(shard protocol.ShardID) *heldClaim {
	if int(shard) >= len(s.holds) {
		return nil
	}
	return s.holds[shard].Load()
}

// hold notes a claim that the server has, unless a newer one is known.
func (s *Store) hold(shard protocol.ShardID, h *heldClaim) {
	at := &s.holds[shard]
	for {
		old := at.Load()
		if old != nil && (old.epoch() > h.epoch() || old.epoch() == h.epoch() && old.number() >= h.number()) {
			return
		}
		if at.CompareAndSwap(old, h) {
			return
		}
	}
}

// Claim implements store.Store.
func (s *Store) Claim(ctx context.Context, shards []protocol.ShardID, epoch protocol.Epoch, owner string) []error {
	s.sawEpoch(epoch)
	if err := s.mayClaim(ctx); err != nil {
		return slices.Repeat([]error{fmt.Errorf("store/redis: claim at epoch %d: %w", epoch, err)}, len(shards))
	}
	g := newGroup(len(shards))
	all := make([]*call, len(shards))
	again := make(map[protocol.ShardID]bool)
	for i, shard := range shards {
		var number uint32
		if h := s.held(shard); h != nil && h.epoch() == epoch {
			number = h.number()
			again[shard] = true
		}
		all[i] = s.claimCall(ctx, store.Owner{Shard: shard, Epoch: epoch}, owner, number)
		all[i].answer, all[i].i = g.answer, i
	}
	s.submitAll(all)
	g.wait()
	for i, c := range all {
		if g.errs[i] == nil {
			g.errs[i] = s.claimed(c, owner)
		}
		if g.errs[i] != nil {
			delete(again, shards[i])
		}
	}
	failed := s.killAgain(ctx, again, epoch)
	var lost error
	if slices.Contains(g.errs, nil) {
		lost = s.hasClaimed(ctx)
	}
	for i, c := range all {
		if err := cmp.Or(lost, failed[shards[i]]); err != nil && g.errs[i] == nil {
			g.errs[i] = err
		}
		if h := s.held(shards[i]); lost != nil && h != nil {
			s.holds[shards[i]].CompareAndSwap(h, nil)
		}
		if g.errs[i] != nil {
			g.errs[i] = fmt.Errorf("store/redis: claim shard %d at epoch %d: %w", shards[i], epoch, g.errs[i])
		}
		c.free()
	}
	return g.result()
}

// claimCall is the claim of one shard, by an owner who has written the number last; 0: none.
func (s *Store) claimCall(ctx context.Context, at store.Owner, owner string, number uint32) *call {
	c := newCall(ctx, kindClaim, at)
	c.durable, c.keep = true, true
	if int(at.Shard) < len(s.keys) {
		add(c, s.keys[at.Shard].claim)
		add(c, s.keys[at.Shard].copy)
	}
	t := newToken(at.Epoch, s.nonce, number)
	add(c, t[:8])
	add(c, t[8:16])
	c.addInt(int64(number))
	add(c, owner)
	c.addInt(s.cfg.claimTTL().Milliseconds())
	c.run(claimScript, "2")
	return c
}

// claimed reads the answer to a claim, and notes the claim.
func (s *Store) claimed(c *call, owner string) error {
	switch v := c.reply.(type) {
	case int64:
		s.hold(c.Shard, &heldClaim{newToken(c.Epoch, s.nonce, uint32(v)), owner})
		return nil
	case string:
		claim, err := parseClaim(v)
		if err != nil {
			return err
		}
		return claim.fenced()
	}
	return fmt.Errorf("%w: %T to a claim", errReply, c.reply)
}

var errReply = errors.New("unexpected reply")

// mismatch acts on a call that has found another claim than its own. Where the shard is somebody else's, it is fenced, and what this
// opening holds is dropped. Where the server has lost the claim (by FLUSHALL, eviction, or the fail-over to a replica that did not have
// it), it is fenced until its owner has claimed it again: under another number, so that what is late changes nothing.
func (s *Store) mismatch(c *call, value string) {
	found, err := parseClaim(value)
	if err != nil {
		s.fail(c, reasonReply, err)
		return
	}
	h := c.held
	ours := h != nil && found.epoch() == h.epoch() && found.owner == h.owner && found.nonce() == h.nonce()
	switch {
	case ours && found.number() > h.number(): // it is being claimed again; or was, and the answer did not come: then it is to be claimed once more
		s.retry(c, 2*time.Millisecond, &store.FencedError{})
	case ours:
		s.fail(c, reasonFenced, &store.FencedError{}) // what is there is a claim from before one that was lost
	default:
		if h != nil && found.epoch() >= h.epoch() {
			s.holds[c.Shard].CompareAndSwap(h, nil)
		}
		s.fail(c, reasonFenced, found.fenced())
	}
}

// LastEpoch implements store.Store. It is not below what is kept beside the identity, nor below claims that may be lost.
func (s *Store) LastEpoch(ctx context.Context) (last protocol.Epoch, err error) {
	all := make([]protocol.ShardID, s.cfg.Shards)
	for i := range all {
		all[i] = protocol.ShardID(i)
	}
	claims, errs := s.Claims(ctx, all)
	if err := cmp.Or(errs...); err != nil {
		return 0, wrap("read the last epoch", err)
	}
	id, err := s.readIdentity(ctx)
	if err != nil {
		return 0, wrap("read the last epoch", err)
	}
	s.sawEpoch(id.epoch)
	last = protocol.Epoch(s.epoch.Load()) // that of all claims that were read, and the identity's
	for i := range claims {
		last = max(last, claims[i].Above)
	}
	return last, nil
}

// unclaimed is nil where no shard was ever claimed, as far as the servers know.
func (s *Store) unclaimed(ctx context.Context) error {
	all := make([]protocol.ShardID, s.cfg.Shards)
	for i := range all {
		all[i] = protocol.ShardID(i)
	}
	claims, err := s.readClaims(ctx, all)
	for i := range claims {
		if n := claims[i].epoch(); err == nil && n > 0 {
			err = fmt.Errorf("the store at prefix %s was used before, up to epoch %d: name another prefix, or empty servers", s.cfg.Prefix, n)
		}
	}
	return err
}

// readClaims reads the claims of shards, in order.
func (s *Store) readClaims(ctx context.Context, shards []protocol.ShardID) ([]claimValue, error) {
	g := newGroup(len(shards))
	all := make([]*call, len(shards))
	for i, shard := range shards {
		c := newCall(ctx, kindScan, store.Owner{Shard: shard})
		c.keep, c.answer, c.i = true, g.answer, i
		if int(shard) < len(s.keys) {
			add(c, s.keys[shard].claim)
		}
		c.command("get")
		all[i] = c
	}
	s.submitAll(all)
	g.wait()
	claims := make([]claimValue, len(shards))
	err := g.first()
	for i, c := range all {
		if v, ok := c.reply.(string); ok && err == nil {
			claims[i], err = parseClaim(v)
		}
		c.free()
	}
	return claims, err
}
