package cassandra

import (
	"context"
	"hash/maphash"
	"slices"
	"sync"
	"time"

	"ramen/protocol"
	"ramen/store"
)

// index remembers which index items this process has written durably, and until when they say that their bucket lives. What it has
// forgotten is written once more. It holds two generations: the older one goes once the newer is full.
type index struct {
	seeds [2]maphash.Seed // immutable; two hashes, so that no two buckets are taken for one

	mu       sync.Mutex
	recent   map[[2]uint64]int64 // guarded by mu: Unix ms
	previous map[[2]uint64]int64 // guarded by mu
}

// indexMost is how many items a generation has: 40 bytes each.
const indexMost = 1 << 17

func (x *index) init() {
	x.seeds = [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}
	x.recent = make(map[[2]uint64]int64)
}

// indexKey is what tells items apart.
type indexKey struct {
	shard    protocol.ShardID
	user     protocol.UserID
	bucket   bucket
	priority protocol.Priority
}

func (x *index) hash(k indexKey) [2]uint64 {
	return [2]uint64{maphash.Comparable(x.seeds[0], k), maphash.Comparable(x.seeds[1], k)}
}

// expiry is until when the bucket lives at most; 0: not known.
func (x *index) expiry(k indexKey) int64 {
	h := x.hash(k)
	x.mu.Lock()
	defer x.mu.Unlock()
	ms, ok := x.recent[h]
	if !ok {
		if ms, ok = x.previous[h]; ok {
			x.putLocked(h, ms)
		}
	}
	return ms
}

func (x *index) put(k indexKey, ms int64) {
	h := x.hash(k)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.putLocked(h, max(ms, x.recent[h]))
}

func (x *index) putLocked(h [2]uint64, ms int64) {
	if len(x.recent) >= indexMost {
		x.previous, x.recent = x.recent, make(map[[2]uint64]int64)
	}
	x.recent[h] = ms
}

// defaultSlack is how long a row outlives what is in it: the clocks of gateways and servers may differ by as much.
const defaultSlack = time.Minute

// ensureIndexed has the index say that the bucket has something of each priority that the step is of, and that it lives until expiresMS,
// before the step is written.
func (s *Store) ensureIndexed(ctx context.Context, w *stepWrite, nowMS int64) error {
	var missing []indexed
	for lane := range protocol.Lanes {
		if w.lanes&(1<<lane) == 0 {
			continue
		}
		p := protocol.LanePriority(lane)
		if s.index.expiry(w.indexKey(p)) >= w.expiresMS {
			continue
		}
		missing = append(missing, indexed{
			bucket: w.bucket, priority: p, firstMS: nowMS, firstMicros: w.micros,
			expiresMS: w.expiresMS + s.slotMS(), // so that what follows in this slot need not write it again
		})
	}
	if len(missing) == 0 {
		return nil
	}
	err := s.write(ctx, func(ctx context.Context) error {
		return s.putIndexed(ctx, w.shard, w.user, missing, nowMS)
	})
	if err != nil {
		return err
	}
	for i := range missing {
		s.index.put(w.indexKey(missing[i].priority), missing[i].expiresMS)
	}
	return nil
}

// lifeLeft is how long a mark must live for ref: as long as the bucket of what it marks, or the longest life of a message where that is not
// known here.
func (s *Store) lifeLeft(at store.Owner, user protocol.UserID, ref store.Ref, nowMS int64) (untilMS int64) {
	k := indexKey{at.Shard, user, s.bucketOf(ref.Position), ref.Priority}
	if ms := s.index.expiry(k); ms != 0 {
		return ms
	}
	return nowMS + s.maxTTLMS.Load()
}

// lifeOf is the longest of what refs need.
func (s *Store) lifeOf(at store.Owner, user protocol.UserID, refs []store.Ref, nowMS int64) (untilMS int64) {
	for _, ref := range refs {
		untilMS = max(untilMS, s.lifeLeft(at, user, ref, nowMS))
	}
	return untilMS
}

// bucketsOf sorts refs by their bucket.
func (s *Store) bucketsOf(refs []store.Ref) map[bucket][]store.Ref {
	m := make(map[bucket][]store.Ref, 1)
	for _, ref := range refs {
		b := s.bucketOf(ref.Position)
		if !slices.Contains(m[b], ref) {
			m[b] = append(m[b], ref)
		}
	}
	return m
}

func (s *Store) bucketOf(p protocol.Position) bucket {
	return bucket{p.Epoch, p.Micros / uint64(s.slot.Microseconds())}
}

func (s *Store) slotMS() int64 { return s.slot.Milliseconds() }
