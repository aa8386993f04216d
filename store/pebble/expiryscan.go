package pebble

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"

	engine "github.com/cockroachdb/pebble/v2"

	"ramen/protocol"
	"ramen/store"
	"ramen/store/codec"
)

// maxScan bounds the rows that one ScanExpired reads, so that a sweep of a large shard is many short calls.
const maxScan = 20_000

// scans remembers, for each shard, where a ScanExpired stopped after maxScan rows: the next call with the same after continues there.
type scans struct {
	mu      sync.Mutex
	stopped map[protocol.ShardID]scan
}

type scan struct {
	after protocol.UserID // as the caller gave it
	next  []byte          // the first key that was not read
}

func (s *scans) resume(shard protocol.ShardID, after protocol.UserID) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if stop, ok := s.stopped[shard]; ok && stop.after == after {
		return stop.next
	}
	return nil
}

// stop remembers that the scan of the shard continues at next; nil: it is complete.
func (s *scans) stop(shard protocol.ShardID, after protocol.UserID, next []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if next == nil {
		delete(s.stopped, shard)
		return
	}
	if s.stopped == nil {
		s.stopped = make(map[protocol.ShardID]scan)
	}
	s.stopped[shard] = scan{after, next}
}

// ScanExpired implements store.ExpiryScanner. It reads at most maxScan rows. Fewer users than limit may mean that it stopped there;
// the next call with the same after continues behind them. It names users with unreadable rows, too: their Load returns the error.
func (s *Store) ScanExpired(ctx context.Context, at store.Owner, after protocol.UserID, beforeMS, unseenMS int64, limit int) ([]protocol.UserID, error) {
	err := s.epochs.check(at)
	var users []protocol.UserID
	if err == nil && limit > 0 {
		users, err = offload(ctx, &s.reads, func() ([]protocol.UserID, error) {
			return s.scan(at.Shard, after, beforeMS, unseenMS, limit)
		})
	}
	if err != nil {
		return nil, fmt.Errorf("store/pebble: scan for expired messages of shard %d: %w", at.Shard, err)
	}
	return users, nil
}

func (s *Store) scan(shard protocol.ShardID, after protocol.UserID, beforeMS, unseenMS int64, limit int) ([]protocol.UserID, error) {
	newer := s.overlay.expired(shard, after, beforeMS, unseenMS) // first: rows that leave the overlay meanwhile are in the engine then
	lower := appendShardPrefix(nil, shard)
	upper := prefixEnd(nil, lower)
	start := s.scans.resume(shard, after)
	if start == nil {
		start = lower
		if after != "" {
			start = prefixEnd(nil, appendUserPrefix(nil, shard, after))
		}
	}
	it, err := s.db.NewIter(&engine.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return nil, err
	}
	var users []protocol.UserID
	var next []byte
	rows, ok := 0, it.SeekGE(start)
	for ; ok && len(users) < limit; rows++ {
		if rows == s.maxScan {
			next = bytes.Clone(it.Key())
			break
		}
		user, isExpired := s.expired(it, shard, beforeMS, unseenMS)
		if !isExpired {
			ok = it.Next()
			continue
		}
		users = append(users, protocol.UserID(user))
		ok = it.SeekGE(prefixEnd(nil, appendUserPrefix(nil, shard, users[len(users)-1])))
	}
	s.scans.stop(shard, after, next)
	if err := it.Close(); err != nil {
		return nil, err
	}
	return merge(users, newer, next, limit), nil
}

// merge returns the first limit users of both lists, in order. If the rows were read only up to next, users behind it are left to the
// next call.
func merge(users, newer []protocol.UserID, next []byte, limit int) []protocol.UserID {
	for _, u := range newer {
		if next == nil || string(u) < string(userOf(next)) {
			users = append(users, u)
		}
	}
	slices.Sort(users)
	users = slices.Compact(users)
	return users[:min(limit, len(users))]
}

// userOf returns the user in a key under 'u', or the rest of the key if it has none.
func userOf(key []byte) []byte {
	user := key[1+shardSize:]
	if end := bytes.IndexByte(user, userEnd); end >= 0 {
		return user[:end]
	}
	return user
}

// expired names the users of the shard behind after who have something expired in the overlay.
func (o *overlay) expired(shard protocol.ShardID, after protocol.UserID, beforeMS, unseenMS int64) (users []protocol.UserID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := 0
	for _, b := range o.shards[shard] {
		if n++; n%portion == 0 { // so that a large shard does not block the others
			o.mu.Unlock()
			runtime.Gosched()
			o.mu.Lock()
		}
		if b.user > after && b.expired(beforeMS, unseenMS) {
			users = append(users, b.user)
		}
	}
	return users
}

func (b *overlayMailbox) expired(beforeMS, unseenMS int64) bool {
	for i := int(b.first); i < len(b.entries); i++ {
		if ms, ok := codec.EntryExpiry(b.entries[i].value); !ok || ms < beforeMS {
			return true
		}
	}
	for i := range b.devices {
		if ms, ok := codec.DeviceSeen(b.devices[i].value); !b.devices[i].removed() && (!ok || ms < unseenMS) {
			return true
		}
	}
	return false
}

// hides reports whether the overlay has a newer version of the row, or a tombstone for it.
func (o *overlay) hides(shard protocol.ShardID, row *userRow) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	b := o.shards[shard][string(row.user)]
	return b != nil && b.hides(row)
}

// expired reads the time of the iterator's row. A row that the overlay hides counts as not expired: overlay.expired has looked at its
// newer version.
func (s *Store) expired(it *engine.Iterator, shard protocol.ShardID, beforeMS, unseenMS int64) (user []byte, yes bool) {
	row, err := parseUserRow(it.Key())
	if err != nil {
		key := it.Key()[1+shardSize:]
		if end := bytes.IndexByte(key, userEnd); end > 0 {
			return key[:end], true
		}
		return nil, false // a key without a user: no Load finds it, but Check does
	}
	value, err := it.ValueAndErr()
	if err != nil {
		return row.user, true
	}
	if row.kind == kindDevice {
		ms, ok := codec.DeviceSeen(value)
		yes = !ok || ms < unseenMS
	} else {
		ms, ok := codec.EntryExpiry(value)
		yes = !ok || ms < beforeMS
	}
	return row.user, yes && !s.overlay.hides(shard, &row)
}
