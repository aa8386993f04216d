package cassandra

import (
	"context"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"

	"ramen/protocol"
	"ramen/store"
)

const (
	insertItem = "INSERT INTO users (shard, user, item, value) VALUES (?, ?, ?, ?) USING TTL ? AND TIMESTAMP ?"
	deleteItem = "DELETE FROM users USING TIMESTAMP ? WHERE shard = ? AND user = ? AND item = ?"
)

// item is one write to a user's partition.
type item struct {
	item, value []byte // value nil: it goes
	ttl         int    // s
	timestamp   int64
}

// putItems writes items of one user to one host, all or none.
func (s *Store) putItems(ctx context.Context, shard protocol.ShardID, user protocol.UserID, items []item) error {
	if len(items) == 1 && items[0].value != nil {
		x := &items[0]
		return s.session.Query(insertItem, int32(shard), string(user), x.item, x.value, x.ttl, x.timestamp).
			RoutingKey(usersKey(shard, user)).ExecContext(ctx)
	}
	b := s.session.Batch(gocql.UnloggedBatch)
	for i := range items {
		if x := &items[i]; x.value == nil {
			b.Query(deleteItem, x.timestamp, int32(shard), string(user), x.item)
		} else {
			b.Query(insertItem, int32(shard), string(user), x.item, x.value, x.ttl, x.timestamp)
		}
	}
	return b.ExecContext(ctx)
}

// putIndexed writes index items. Their time stamp is when they expire: of two that name one bucket the one that lives longer counts,
// whichever comes last.
func (s *Store) putIndexed(ctx context.Context, shard protocol.ShardID, user protocol.UserID, all []indexed, nowMS int64) error {
	items := make([]item, len(all))
	for i := range all {
		x := &all[i]
		items[i] = item{x.item(), x.value(), s.ttlOf(x.expiresMS, nowMS), x.expiresMS * 1000}
	}
	return s.putItems(ctx, shard, user, items)
}

// Records of devices carry the epoch in their time stamp, so that those of a newer owner count, whatever the clocks say: 24 bits of epoch,
// and 39 of a counter of the shard. That begins with the clock, in ticks of 1/512 s, and 2^28 higher each time that an owner has claimed
// the shard at its epoch once more: its process began anew, and may have counted faster than the clock before.
const (
	counterBits = 39
	againBits   = 28
	mostEpoch   = 1<<24 - 1
	tick        = time.Second / 512
)

// firstTick is where the counter's clock begins: its 39 bits last for 34 years.
var firstTick = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// timestamp is the next of the shard.
func (s *Store) timestamp(at store.Owner) int64 {
	shard := &s.shards[at.Shard]
	least := uint64(max(time.Since(firstTick)/tick, 1)) + shard.again.Load()<<againBits
	for {
		last := shard.counter.Load()
		next := max(last+1, least)
		if shard.counter.CompareAndSwap(last, next) {
			return int64(uint64(at.Epoch)<<counterBits | next&(1<<counterBits-1))
		}
	}
}

// SaveDevices implements store.Store. All of one user that stand together are one mutation. They are durable when it returns, whether
// they must be or not.
func (s *Store) SaveDevices(ctx context.Context, batch []store.DeviceSave, _ bool) []error {
	groups := make([][2]int, 0, len(batch))
	for from := 0; from < len(batch); {
		to := from + 1
		for to < len(batch) && batch[to].User == batch[from].User && batch[to].Owner == batch[from].Owner {
			to++
		}
		groups = append(groups, [2]int{from, to})
		from = to
	}
	failed := s.each(ctx, callSave, len(groups), func(i int) error {
		of := batch[groups[i][0]:groups[i][1]]
		return s.wrap("save devices", of[0].User, s.saveDevices(ctx, of))
	})
	if failed == nil {
		return nil
	}
	errs := make([]error, len(batch))
	for i, g := range groups {
		for at := g[0]; at < g[1]; at++ {
			errs[at] = failed[i]
		}
	}
	return errs
}

func (s *Store) saveDevices(ctx context.Context, saves []store.DeviceSave) error {
	at, user := saves[0].Owner, saves[0].User
	if err := s.fence(at); err != nil {
		return err
	}
	forgets, err := s.forgets.take(ctx, userKey{at.Shard, user})
	if err != nil {
		return err
	}
	items := s.forgetItems(forgets, time.Now().UnixMilli()) // before what counts them: all of it happens, or nothing
	for i := range saves {
		d := &saves[i].Device
		x := item{item: deviceItem(d.ID), ttl: int(s.cfg.deviceTTL / time.Second), timestamp: s.timestamp(at)}
		if !saves[i].Remove {
			x.value = encodeDevice(d)
		}
		items = append(items, x)
	}
	err = s.write(ctx, func(ctx context.Context) error { return s.putItems(ctx, at.Shard, user, items) })
	if forgets != nil {
		s.forgets.written(userKey{at.Shard, user}, err)
	}
	return err
}
