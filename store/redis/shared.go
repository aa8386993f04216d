package redis

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"ramen/protocol"
	"ramen/store"
)

var _ store.Shared = (*Store)(nil)

// Fences implements store.Shared.
func (s *Store) Fences() bool { return true }

// Renew implements store.Shared.
func (s *Store) Renew(ctx context.Context, owner string, ttl time.Duration) error {
	if err := s.enter(); err != nil {
		return wrap("renew", err)
	}
	defer s.calls.Done()
	ctx, cancel := bounded(ctx)
	defer cancel()
	key := presenceKey(s.cfg.Prefix, owner)
	if ttl <= 0 {
		return wrap("renew", s.any().Do(ctx, "del", key).Err())
	}
	return wrap("renew", s.any().Do(ctx, "set", key, 1, "px", max(1, ttl.Milliseconds())).Err())
}

// bounded is ctx with a deadline where it has none.
func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, noDeadline)
}

// enter counts a call that asks the servers by itself; s.calls.Done follows where it answers nil.
func (s *Store) enter() error {
	s.closeMu.RLock()
	defer s.closeMu.RUnlock()
	if s.closed {
		return store.ErrClosed
	}
	s.calls.Add(1)
	return nil
}

// any is the server, or the cluster, for commands of one key.
func (s *Store) any() goredis.UniversalClient {
	if s.cluster != nil {
		return s.cluster
	}
	return s.single.client
}

// Claims implements store.Shared, in two round trips a server: claims, and whose owners are there.
func (s *Store) Claims(ctx context.Context, shards []protocol.ShardID) ([]store.Claimed, error) {
	if err := s.enter(); err != nil {
		return nil, wrap("read claims", err)
	}
	defer s.calls.Done()
	ctx, cancel := bounded(ctx)
	defer cancel()
	all := make([]store.Claimed, len(shards))
	err := s.readClaimed(ctx, shards, all)
	if err == nil {
		err = s.readPresence(ctx, all)
	}
	if err != nil {
		return nil, wrap("read claims", err)
	}
	return all, nil
}

// readClaimed reads claims and histories. While slots move between nodes it asks again.
func (s *Store) readClaimed(ctx context.Context, shards []protocol.ShardID, all []store.Claimed) error {
	var left []int // in shards
	for i, shard := range shards {
		if int(shard) >= len(s.keys) {
			return fmt.Errorf("shard %d: there are %d", shard, len(s.keys))
		}
		left = append(left, i)
	}
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		again, err := s.tryClaimed(ctx, shards, left, all)
		if len(again) == 0 {
			return err
		}
		left = again
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d shards: %w", len(left), err)
		case <-time.After(wait):
		}
	}
}

// tryClaimed reads those of left, and answers which are to be read again, with the reason.
func (s *Store) tryClaimed(ctx context.Context, shards []protocol.ShardID, left []int, all []store.Claimed) (again []int, err error) {
	byNode := make(map[*node][]int)
	for _, i := range left {
		n, err := s.nodeOfShard(ctx, shards[i])
		if err != nil {
			return nil, err
		}
		byNode[n] = append(byNode[n], i)
	}
	for n, of := range byNode {
		keys := make([]string, len(of))
		for j, i := range of {
			keys[j] = s.keys[shards[i]].claim
		}
		values, history, e := n.readClaims(ctx, keys, s.cluster == nil)
		var fatal error
		for j, i := range of {
			switch v := s.followed(ctx, values[j], keys[j]).(type) {
			case string, nil:
				text, _ := v.(string)
				claim, e := parseClaim(text)
				if e != nil {
					fatal = e
					continue
				}
				all[i] = store.Claimed{Epoch: claim.epoch(), Owner: claim.owner, History: historyOf(history, &claim)}
			case error:
				if verdict, _ := judge(v, true); verdict != verdictAgain && verdict != verdictAsk {
					fatal = v
				}
				again, err = append(again, i), v
			}
		}
		if e = errors.Join(e, fatal); e != nil {
			s.noteTrouble(n, e)
			return nil, e
		}
	}
	if len(again) > 0 {
		s.noteTrouble(nil, err)
	}
	return again, err
}

// followed is the value of a key that was read, or what the node has that the reply names where the key has moved before its slot.
func (s *Store) followed(ctx context.Context, value any, key string) any {
	reply, is := value.(error)
	if !is {
		return value
	}
	addr := movedTo(reply)
	if v, _ := judge(reply, true); v != verdictAsk || addr == "" {
		return value
	}
	n := s.nodeAt(addr)
	n.usedMS.Store(nowMS())
	pipe := n.client.Pipeline()
	_ = pipe.Process(ctx, goredis.NewStatusCmd(ctx, "asking"))
	get := pipe.Get(ctx, key)
	_, _ = pipe.Exec(ctx)
	switch v, err := get.Result(); {
	case err == nil:
		return v
	case errors.Is(err, goredis.Nil):
		return nil
	case errors.As(err, new(goredis.Error)):
		return err
	}
	return reply // the node does not answer: asked again
}

// historyOf names the copy of a shard's data that has answered: the server's history, and how often the claim was found to be lost in
// it. A claim that is first tells nothing.
func historyOf(server string, claim *claimValue) string {
	if n := claim.number(); server != "" && n > 1 {
		return fmt.Sprintf("%s+%d", server, n)
	}
	return server
}

// readClaims reads the claims of a node, each a string, nil or an error, and what names the node's data.
func (n *node) readClaims(ctx context.Context, keys []string, together bool) (values []any, history string, err error) {
	n.usedMS.Store(nowMS())
	values = make([]any, len(keys))
	pipe := n.client.Pipeline()
	info := pipe.Info(ctx, "server", "replication")
	var each []*goredis.StringCmd
	var all *goredis.SliceCmd
	if together {
		all = pipe.MGet(ctx, keys...)
	} else {
		for _, k := range keys {
			each = append(each, pipe.Get(ctx, k))
		}
	}
	_, failed := pipe.Exec(ctx)
	if together {
		if err := all.Err(); err != nil {
			return values, "", err
		}
		copy(values, all.Val())
	}
	for i, c := range each {
		switch v, err := c.Result(); {
		case err == nil:
			values[i] = v
		case !errors.Is(err, goredis.Nil):
			values[i] = err
		}
	}
	var reply goredis.Error
	if failed != nil && !errors.As(failed, &reply) {
		return values, "", failed
	}
	if info.Err() == nil { // else it may not be asked for: the contract has an answer for that
		history = parseInfo(info.Val()).history()
	}
	return values, history, nil
}

// readPresence reads which owners are there.
func (s *Store) readPresence(ctx context.Context, all []store.Claimed) error {
	present := make(map[string]*goredis.IntCmd)
	pipe := s.any().Pipeline()
	for i := range all {
		if o := all[i].Owner; o != "" && present[o] == nil {
			present[o] = pipe.Exists(ctx, presenceKey(s.cfg.Prefix, o))
		}
	}
	if len(present) == 0 {
		return nil
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("read who is there: %w", err)
	}
	for i := range all {
		if c := present[all[i].Owner]; c != nil {
			all[i].Present = c.Val() > 0
		}
	}
	return nil
}

// info is what INFO answers, by name.
type info map[string]string

func parseInfo(text string) info {
	all := make(info)
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimRight(line, "\r\n"), ":"); ok {
			all[name] = value
		}
	}
	return all
}

// history names the data of a server: it changes where a replica is promoted, and where a server starts, since what it has then is what
// was on its disk, or nothing.
func (i info) history() string {
	if i["master_replid"] == "" || i["run_id"] == "" {
		return ""
	}
	return i["master_replid"][:min(16, len(i["master_replid"]))] + "/" + i["run_id"][:min(16, len(i["run_id"]))]
}

// int is a number; 0 where there is none.
func (i info) int(name string) int64 {
	n, _ := strconv.ParseInt(i[name], 10, 64)
	return n
}
