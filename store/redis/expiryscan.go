package redis

import (
	"context"
	"fmt"
	"slices"

	"ramen/protocol"
	"ramen/store"
)

var _ store.ExpiryScanner = (*Store)(nil)

// scanMost is how many users of a shard are looked at in one call, of each index: those that have waited for longest. The others come once
// these have been forgotten.
const scanMost = 10_000

// ScanExpired implements store.ExpiryScanner. The indexes name who may have something that time has ended; a script looks into each
// of these mailboxes, and corrects them.
func (s *Store) ScanExpired(ctx context.Context, at store.Owner, after protocol.UserID, beforeMS, unseenMS int64, limit int) ([]protocol.UserID, error) {
	users, err := s.scanExpired(ctx, at, after, beforeMS, unseenMS, limit)
	if err != nil {
		return nil, fmt.Errorf("store/redis: scan shard %d for expired messages: %w", at.Shard, err)
	}
	return users, nil
}

func (s *Store) scanExpired(ctx context.Context, at store.Owner, after protocol.UserID, beforeMS, unseenMS int64, limit int) (users []protocol.UserID, err error) {
	maybe, err := s.indexed(ctx, at, beforeMS, unseenMS)
	if err != nil {
		return nil, err
	}
	from, found := slices.BinarySearch(maybe, after)
	if found {
		from++
	}
	for batch := range slices.Chunk(maybe[from:], pipelineCalls) {
		over, err := s.areExpired(ctx, at, batch, beforeMS, unseenMS)
		if err != nil {
			return nil, err
		}
		for i, is := range over {
			if is && len(users) < limit {
				users = append(users, batch[i])
			}
		}
		if len(users) >= limit {
			break
		}
	}
	return users, nil
}

// indexed reads who may have something that time has ended, in order.
func (s *Store) indexed(ctx context.Context, at store.Owner, beforeMS, unseenMS int64) ([]protocol.UserID, error) {
	g := newGroup(2)
	all := make([]*call, 2)
	for i, ms := range [...]int64{beforeMS, unseenMS} {
		c := newCall(ctx, kindScan, at)
		c.keep, c.read, c.answer, c.i = true, true, g.answer, i
		if int(at.Shard) < len(s.keys) {
			add(c, [...]string{s.keys[at.Shard].expiry, s.keys[at.Shard].unseen}[i])
		}
		add(c, "-inf")
		c.arena = append(c.arena, '(')
		c.addInt(ms)
		add(c, "LIMIT")
		c.addInt(0)
		c.addInt(scanMost)
		c.command("zrangebyscore")
		all[i] = c
	}
	s.submitAll(all)
	g.wait()
	var users []protocol.UserID
	for _, c := range all {
		members, _ := c.reply.([]any)
		for _, m := range members {
			if user, is := m.(string); is {
				users = append(users, protocol.UserID(user))
			}
		}
		c.free()
	}
	slices.Sort(users)
	return slices.Compact(users), g.first()
}

// areExpired looks into mailboxes.
func (s *Store) areExpired(ctx context.Context, at store.Owner, users []protocol.UserID, beforeMS, unseenMS int64) ([]bool, error) {
	g := newGroup(len(users))
	all := make([]*call, len(users))
	k := &s.keys[at.Shard]
	for i, user := range users {
		c := newCall(ctx, kindScan, at)
		c.keep, c.answer, c.i = true, g.answer, i
		add(c, k.claim)
		s.addMailbox(c, k, user)
		add(c, k.expiry)
		add(c, k.unseen)
		c.addToken()
		add(c, user)
		c.addInt(beforeMS)
		c.addInt(unseenMS)
		c.run(expiredScript, "4")
		all[i] = c
	}
	s.submitAll(all)
	g.wait()
	over := make([]bool, len(users))
	for i, c := range all {
		n, _ := c.reply.(int64)
		over[i] = n == 1
		c.free()
	}
	return over, g.first()
}
