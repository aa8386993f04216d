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

// claimTTL is how long a claim stays without a gateway: longer than what is in a mailbox.
const claimTTL = 40 * 24 * time.Hour

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
	g := newGroup(len(shards))
	all := make([]*call, len(shards))
	for i, shard := range shards {
		var number uint32
		if h := s.held(shard); h != nil && h.epoch() == epoch {
			number = h.number()
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
	}
	t := newToken(at.Epoch, s.nonce, number)
	add(c, t[:8])
	add(c, t[8:16])
	c.addInt(int64(number))
	add(c, owner)
	c.addInt(claimTTL.Milliseconds())
	c.run(claimScript, "1")
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

// mismatch acts on a call that has found another claim than its own. Where the shard is somebody else's, it is fenced. Where the
// server has lost the claim (by FLUSHALL, eviction, or the fail-over to a replica that did not have it), it is claimed again under
// another number, and the call tried again: what it expects of the mailbox is compared then.
func (s *Store) mismatch(c *call, value string) {
	found, err := parseClaim(value)
	if err != nil {
		s.fail(c, reasonReply, err)
		return
	}
	h := c.held
	if h == nil || found.epoch() > h.epoch() || found.epoch() == h.epoch() && (found.owner != h.owner || found.nonce() != h.nonce()) {
		if h != nil {
			s.holds[c.Shard].CompareAndSwap(h, nil)
		}
		s.fail(c, reasonFenced, found.fenced())
		return
	}
	if now := s.held(c.Shard); now != nil && now != h {
		s.retry(c, 0, found.fenced()) // it was claimed again meanwhile
		return
	}
	s.reclaim(c, h)
}

// reclaims are the shards that are being claimed again, with the calls that wait for that.
type reclaims struct {
	mu     sync.Mutex
	shards map[protocol.ShardID][]*call
}

// reclaim has c wait until its shard was claimed again.
func (s *Store) reclaim(c *call, h *heldClaim) {
	r := &s.reclaims
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.shards == nil {
		r.shards = make(map[protocol.ShardID][]*call)
	}
	waiting, running := r.shards[c.Shard]
	r.shards[c.Shard] = append(waiting, c)
	if !running {
		shard, deadline := c.Shard, c.deadline
		s.running.Go(func() { s.claimAgain(shard, h, deadline) })
	}
}

// claimAgain claims a shard again that the server has lost the claim of, and has those go on that wait for it.
func (s *Store) claimAgain(shard protocol.ShardID, h *heldClaim, deadline time.Time) {
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()
	g := newGroup(1)
	c := s.claimCall(ctx, store.Owner{Shard: shard, Epoch: h.epoch()}, h.owner, h.number())
	c.answer = g.answer
	s.resubmit(c)
	g.wait()
	err := g.errs[0]
	if err == nil {
		err = s.claimed(c, h.owner)
	}
	c.free()
	if errors.Is(err, store.ErrFenced) {
		s.holds[shard].CompareAndSwap(h, nil)
	}
	s.metrics.reclaims.Inc()
	s.log.Warn("the Redis server had lost the claim of a shard, which was claimed again", "shard", shard, "epoch", h.epoch(), "error", err)
	r := &s.reclaims
	r.mu.Lock()
	waiting := r.shards[shard]
	delete(r.shards, shard)
	r.mu.Unlock()
	for _, c := range waiting {
		if err != nil {
			s.fail(c, reasonOf(err), fmt.Errorf("claim the shard again: %w", err))
			continue
		}
		s.retry(c, 0, errLate)
	}
}

func reasonOf(err error) string {
	if errors.Is(err, store.ErrFenced) {
		return reasonFenced
	}
	return reasonServer
}

// LastEpoch implements store.Store.
func (s *Store) LastEpoch(ctx context.Context) (last protocol.Epoch, err error) {
	all := make([]protocol.ShardID, s.cfg.Shards)
	for i := range all {
		all[i] = protocol.ShardID(i)
	}
	claims, err := s.readClaims(ctx, all)
	if err != nil {
		return 0, wrap("read the last epoch", err)
	}
	return slices.MaxFunc(claims, func(a, b claimValue) int {
		if a.epoch() < b.epoch() {
			return -1
		}
		return 1
	}).epoch(), nil
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
