package redis

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"ramen/protocol"
	"ramen/store"
	"ramen/store/presence"
)

// Claims implements store.Shared: one round trip to each server for the claims, and one for each of their owners, whether it is there.
func (s *Store) Claims(ctx context.Context, shards []protocol.ShardID) ([]store.Claimed, []error) {
	r := &claimsReading{s: s, shards: shards, all: make([]store.Claimed, len(shards)), errs: make([]error, len(shards))}
	if err := s.enter(); err != nil {
		for i := range r.errs {
			r.errs[i] = wrap("read claims", err)
		}
		return r.all, r.errs
	}
	defer s.calls.Done()
	ctx, cancel := bounded(ctx)
	defer cancel()
	r.present = presence.New(func(owner string) (bool, error) {
		n, err := s.any().Exists(ctx, presenceKey(s.cfg.Prefix, owner)).Result()
		return n > 0, err
	})
	r.run(ctx)
	r.fillUnclaimed(ctx)
	r.present.Fill(r.all)
	failed := false
	for i, shard := range shards {
		if r.errs[i] != nil {
			failed = true
			r.all[i], r.errs[i] = store.Claimed{}, fmt.Errorf("store/redis: read the claim of shard %d: %w", shard, r.errs[i])
		}
	}
	if !failed {
		return r.all, nil
	}
	return r.all, r.errs
}

// claimsReading is one reading of claims. Each server is asked by itself, so that one that does not answer holds up its own shards alone.
type claimsReading struct {
	s       *Store
	shards  []protocol.ShardID
	present *presence.Reader

	// of each shard; written by whoever reads its claim
	all  []store.Claimed
	errs []error
}

func (r *claimsReading) run(ctx context.Context) {
	var left []int
	for i, shard := range r.shards {
		if int(shard) >= len(r.s.keys) {
			r.errs[i] = fmt.Errorf("there are %d shards", len(r.s.keys))
			continue
		}
		left = append(left, i)
	}
	r.read(ctx, left, time.Millisecond)
}

// read reads claims and histories of some of the shards. While their slots move between nodes it asks again, after a pause.
func (r *claimsReading) read(ctx context.Context, left []int, pause time.Duration) {
	byNode := make(map[*node][]int)
	for _, i := range left {
		var n *node
		if n, r.errs[i] = r.s.nodeOfShard(ctx, r.shards[i]); r.errs[i] == nil {
			byNode[n] = append(byNode[n], i)
		}
	}
	var reading sync.WaitGroup
	for n, of := range byNode {
		reading.Go(func() {
			again := r.readNode(ctx, n, of)
			if len(again) == 0 {
				return
			}
			select {
			case <-ctx.Done():
			case <-time.After(pause):
				r.read(ctx, again, min(2*pause, 50*time.Millisecond))
			}
		})
	}
	reading.Wait()
}

// readNode reads those of a node, and answers which are to be read again.
func (r *claimsReading) readNode(ctx context.Context, n *node, of []int) (again []int) {
	keys := make([]string, len(of))
	for j, i := range of {
		keys[j] = r.s.keys[r.shards[i]].claim
	}
	values, history, err := n.readClaims(ctx, keys, r.s.cluster == nil)
	trouble := err
	failed := func(i int, err error) {
		r.errs[i], trouble = err, err
		if verdict, _ := judge(err, true); verdict == verdictAgain || verdict == verdictAsk {
			again = append(again, i)
		}
	}
	var unsure []int
	texts := make(map[int]string)
	for j, i := range of {
		if r.errs[i] = err; err != nil {
			continue
		}
		switch v := r.s.followed(ctx, values[j], keys[j]).(type) {
		case string, nil:
			text, _ := v.(string)
			claim, err := parseClaim(text)
			if r.errs[i] = err; err != nil {
				continue
			}
			r.s.sawEpoch(claim.epoch())
			r.all[i] = store.Claimed{Epoch: claim.epoch(), Owner: claim.owner, History: historyOf(history, &claim)}
			known := text == "" || history == ""
			if !known {
				r.all[i].Above, known = r.s.seenAbove(r.shards[i], text, history)
			}
			if !known {
				unsure, texts[i] = append(unsure, i), text
			}
			r.present.Ask(r.all[i])
		case error:
			failed(i, v)
		}
	}
	r.readCopies(ctx, n, unsure, texts, history, failed)
	if trouble != nil {
		r.s.noteTrouble(n, trouble)
	}
	return again
}

// readCopies reads which copy has taken the claims that were not read before as they are now, in the copy that they were read from.
func (r *claimsReading) readCopies(ctx context.Context, n *node, of []int, texts map[int]string, history string, failed func(i int, err error)) {
	if len(of) == 0 {
		return
	}
	pipe := n.client.Pipeline()
	takenBy := make([]*goredis.StringCmd, len(of))
	for j, i := range of {
		takenBy[j] = pipe.Get(ctx, r.s.keys[r.shards[i]].copy)
	}
	_, _ = pipe.Exec(ctx)
	for j, i := range of {
		var value any
		if v, err := takenBy[j].Result(); err == nil {
			value = v
		} else if !errors.Is(err, goredis.Nil) {
			value = r.s.followed(ctx, err, r.s.keys[r.shards[i]].copy)
		}
		if err, is := value.(error); is {
			failed(i, err)
			continue
		}
		text, _ := value.(string)
		claim, _ := parseClaim(texts[i]) // it was parsed before
		r.all[i].Above = r.s.sawClaim(r.shards[i], claim, texts[i], history, text)
	}
}

// fillUnclaimed tells of the shards without a claim whether they had one.
func (r *claimsReading) fillUnclaimed(ctx context.Context) {
	read, above := false, protocol.Epoch(0)
	var err error
	for i := range r.all {
		if r.errs[i] != nil || r.all[i].Epoch > 0 {
			continue
		}
		if !read {
			above, err = r.s.lostUnclaimed(ctx)
			read = true
		}
		r.all[i].Above, r.errs[i] = above, err
	}
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
