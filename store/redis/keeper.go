package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"ramen/protocol"
	"ramen/store"
)

const (
	keepEvery    = time.Second
	inspectEvery = 10 // times of keepEvery, while nothing is wrong; with durability=fsync each time
	touchEvery   = 3600
	nodeIdle     = 10 * time.Minute
)

// keep is the keeper's goroutine: once a second it sees that the servers answer, and that they have the store's identity; now and then
// it looks whether they still hold what is promised, and has the keys that it uses live on.
func (s *Store) keep(ctx context.Context) {
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		call, cancel := context.WithTimeout(ctx, keepEvery)
		err := s.keepIdentity(call)
		if err == nil && (s.inspectNow.Swap(false) || n%inspectEvery == 0 || s.cfg.Durability == Fsync || s.broken.Load() != nil) {
			err = s.inspect(call)
		}
		if err == nil {
			err = s.readMemory(call)
		}
		cancel()
		s.noteHealth(err)
		if err == nil && n%touchEvery == 0 {
			s.touch(ctx)
		}
		s.closeIdleNodes()
	}
}

// keepIdentity writes the identity back where the servers have lost it, with the highest epoch that is known: every cursor that is out depends
// on it, and is of an epoch that is no higher.
func (s *Store) keepIdentity(ctx context.Context) error {
	if err := s.beginIdentity(ctx); err != nil {
		return err
	}
	defer s.endIdentity()
	found, err := s.readIdentity(ctx)
	if err != nil {
		return err
	}
	written, err := s.writeIdentity(ctx, s.any(), found, appendIdentity(nil, s.Identity(), s.cfg.Shards), false)
	switch {
	case written:
		s.log.Warn("the Redis server had lost the store's identity, which was written back", "key", identityKey(s.cfg.Prefix))
		s.metrics.identityLost.Inc()
	case err != nil && (found.value != "" || strings.HasPrefix(err.Error(), "OOM")):
		err = nil // a second later again; until then the claims have the epoch
	}
	if err != nil || found.value == "" {
		return err
	}
	id, _, _ := parseIdentity(found.value) // what cannot be read is another one, too
	if id == s.Identity() {
		s.replaced.Store(false)
	} else {
		s.otherIdentity(id)
	}
	return nil
}

// health is what the keeper has seen last.
type health struct {
	since time.Time // when it began
	err   error     // why the servers cannot be used; nil: they can
}

// noteHealth notes whether the servers have answered the keeper.
func (s *Store) noteHealth(err error) {
	before := s.health.Load()
	now := &health{err: err, since: time.Now()}
	if before != nil && (before.err == nil) == (err == nil) {
		now.since = before.since
	}
	s.health.Store(now)
	if before == nil || (before.err == nil) == (err == nil) {
		return
	}
	if err != nil {
		s.log.Warn("the Redis server does not answer", "error", err)
		return
	}
	s.log.Info("the Redis server answers again", "after", now.since.Sub(before.since).Round(time.Millisecond))
	s.inspectNow.Store(true)
}

// masters are the nodes that take writes now.
func (s *Store) masters(ctx context.Context) (all []*node, err error) {
	if s.single != nil {
		return []*node{s.single}, nil
	}
	for i := range s.keys {
		n, err := s.nodeOfShard(ctx, protocol.ShardID(i))
		if err != nil {
			return nil, err
		}
		if !slices.Contains(all, n) {
			all = append(all, n)
		}
	}
	return all, nil
}

// inspect looks at what the servers promise, and tells what has changed.
func (s *Store) inspect(ctx context.Context) error {
	nodes, err := s.masters(ctx)
	if err != nil {
		return err
	}
	var all []finding
	weighed, waitAOF := s.beginInspection(), false
	for _, n := range nodes {
		srv, err := ask(ctx, n.addr, n.client)
		if err != nil {
			return fmt.Errorf("%s: %w", n.addr, err)
		}
		all = append(all, s.cfg.findings(srv)...)
		waitAOF = waitAOF || !srv.syncsBeforeReply()
	}
	s.endInspection(weighed, s.tell(all), waitAOF)
	return nil
}

// tell logs the findings that are new, and answers why the configured durability does not hold; nil: it does.
func (s *Store) tell(all []finding) (broken error) {
	for _, f := range all {
		if f.fatal && broken == nil {
			broken = errors.New(f.text)
		}
		if !slices.Contains(s.told, f) {
			s.log.Warn("the Redis server is not as the store needs it", "problem", f.text)
		}
	}
	s.told = all
	return broken
}

// touch has the keys of the shards that this opening holds, and the identity, live on.
func (s *Store) touch(ctx context.Context) {
	ms := s.cfg.claimTTL().Milliseconds()
	ctx, cancel := context.WithTimeout(ctx, noDeadline)
	defer cancel()
	s.any().Do(ctx, "pexpire", identityKey(s.cfg.Prefix), ms)
	s.any().Do(ctx, "pexpire", epochKey(s.cfg.Prefix), ms)
	s.any().Do(ctx, "pexpire", identityCopyKey(s.cfg.Prefix), ms)
	for i := range s.holds {
		if s.holds[i].Load() == nil {
			continue
		}
		for _, key := range []string{s.keys[i].claim, s.keys[i].copy, s.keys[i].expiry, s.keys[i].unseen} {
			c := newCall(ctx, kindScan, store.Owner{Shard: protocol.ShardID(i)})
			add(c, key)
			c.addInt(ms)
			c.command("pexpire")
			if err := s.do(c); err != nil {
				return // an hour later again
			}
		}
	}
}

// closeIdleNodes closes the clients of nodes that have left the cluster.
func (s *Store) closeIdleNodes() {
	before := time.Now().Add(-nodeIdle).UnixMilli()
	s.nodesMu.Lock()
	var idle []*node
	for addr, n := range s.nodes {
		if n.usedMS.Load() < before && n.isIdle() {
			delete(s.nodes, addr)
			idle = append(idle, n)
		}
	}
	s.nodesMu.Unlock()
	for _, n := range idle {
		_ = n.client.Close()
	}
}

func (n *node) isIdle() bool {
	for i := range n.queues {
		q := &n.queues[i]
		q.mu.Lock()
		count := q.count
		q.mu.Unlock()
		if count > 0 {
			return false
		}
	}
	return true
}
