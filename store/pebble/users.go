package pebble

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"runtime"
	"slices"

	engine "github.com/cockroachdb/pebble/v2"

	"ramen/protocol"
	"ramen/store"
)

// Users implements store.Enumerator: by shard and user. A page is the place of the last user before it.
func (s *Store) Users(ctx context.Context, page string, limit int) (users []store.ShardUser, next string, err error) {
	limit = max(limit, 1)
	users, err = offload(ctx, &s.reads, func() ([]store.ShardUser, error) { return s.users(page, limit) })
	if err != nil {
		return nil, "", fmt.Errorf("store/pebble: list users: %w", err)
	}
	if len(users) < limit {
		return users, "", nil
	}
	users = users[:limit]
	return users, placeOfUser(users[limit-1]), nil
}

// placeOfUser is what a user's rows begin with, in each space; their order is that of the places.
func placeOfUser(u store.ShardUser) string {
	return string(append(binary.BigEndian.AppendUint32(nil, uint32(u.Shard)), u.User...))
}

func compareUsers(a, b store.ShardUser) int {
	return cmp.Or(cmp.Compare(a.Shard, b.Shard), cmp.Compare(a.User, b.User))
}

// users is at least the first limit users behind a place, in order, if there are so many: those of the overlay first, since what leaves it
// meanwhile is in the rows then, and the first of each space.
func (s *Store) users(after string, limit int) ([]store.ShardUser, error) {
	users := s.overlay.users(after)
	it, err := s.db.NewIter(&engine.IterOptions{LowerBound: []byte{spaceID}, UpperBound: []byte{spaceUser + 1}})
	if err != nil {
		return nil, err
	}
	users, err = appendUsers(users, it, []byte{spaceUser}, after, limit)
	for _, end := range s.buckets.live(s.nowMS()) {
		if err == nil {
			users, err = appendUsers(users, it, appendBucketPrefix(nil, end), after, limit)
		}
	}
	if closing := it.Close(); err == nil {
		err = closing
	}
	slices.SortFunc(users, compareUsers)
	return slices.Compact(users), err
}

// appendUsers adds the first users behind a place whose rows begin with space, in which a shard and a user follow.
func appendUsers(users []store.ShardUser, it *engine.Iterator, space []byte, after string, limit int) ([]store.ShardUser, error) {
	seek := func(place string) bool {
		return it.SeekGE(prefixEnd(nil, append(append(bytes.Clone(space), place...), userEnd)))
	}
	ok := it.SeekGE(space)
	if after != "" {
		ok = seek(after)
	}
	for n := 0; ok && n < limit && bytes.HasPrefix(it.Key(), space); n++ {
		key := it.Key()[len(space):]
		if len(key) < shardSize {
			return users, fmt.Errorf("key %x has no shard", it.Key())
		}
		end := bytes.IndexByte(key[shardSize:], userEnd)
		if end < 0 {
			return users, fmt.Errorf("key %x has no end of its user", it.Key())
		}
		u := store.ShardUser{Shard: protocol.ShardID(binary.BigEndian.Uint32(key)), User: protocol.UserID(key[shardSize : shardSize+end])}
		users = append(users, u)
		ok = seek(placeOfUser(u))
	}
	return users, it.Error()
}

// users names those behind a place, in no order.
func (o *overlay) users(after string) (users []store.ShardUser) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := 0
	for shard, boxes := range o.shards {
		for _, b := range boxes {
			if n++; n%portion == 0 { // others must not wait for all of it
				o.mu.Unlock()
				runtime.Gosched()
				o.mu.Lock()
			}
			if u := (store.ShardUser{Shard: shard, User: b.user}); placeOfUser(u) > after {
				users = append(users, u)
			}
		}
	}
	return users
}
