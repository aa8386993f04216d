package cassandra

import (
	"cmp"
	"context"
	"hash/maphash"
	"math"
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
	recent   generation // guarded by mu
	previous generation // guarded by mu
	lost     uint64     // guarded by mu: the highest slot of what was forgotten
}

// generation is items that were remembered at about the same time.
type generation struct {
	of   map[[2]uint64]bucketLife
	slot uint64 // the highest of them
}

// bucketLife is what is known of an item.
type bucketLife struct {
	untilMS int64 // Unix ms
	lagS    int32 // s, the most: how much later than their positions say steps are written
	part    bool  // an item of it may have been forgotten before, which may have said that the bucket lives longer
}

// indexMost is how many items a generation has: 48 bytes each.
const indexMost = 1 << 17

func (x *index) init() {
	x.seeds = [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}
	x.recent.of = make(map[[2]uint64]bucketLife)
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

// life is what is known of the bucket; zero: nothing.
func (x *index) life(k indexKey) bucketLife {
	h := x.hash(k)
	x.mu.Lock()
	defer x.mu.Unlock()
	l, ok := x.recent.of[h]
	if !ok {
		if l, ok = x.previous.of[h]; ok {
			x.putLocked(h, k.bucket.slot, l)
		}
	}
	return l
}

// put notes that an item was written.
func (x *index) put(k indexKey, ms int64, lagS int32) {
	h := x.hash(k)
	x.mu.Lock()
	defer x.mu.Unlock()
	l, ok := x.recent.of[h]
	if !ok {
		l, ok = x.previous.of[h]
	}
	if !ok {
		l.lagS, l.part = lagS, k.bucket.slot <= x.lost
	}
	l.untilMS, l.lagS = max(ms, l.untilMS), max(lagS, l.lagS)
	x.putLocked(h, k.bucket.slot, l)
}

func (x *index) putLocked(h [2]uint64, slot uint64, l bucketLife) {
	if len(x.recent.of) >= indexMost {
		x.lost = max(x.lost, x.previous.slot)
		x.previous, x.recent = x.recent, generation{of: make(map[[2]uint64]bucketLife)}
	}
	x.recent.of[h], x.recent.slot = l, max(slot, x.recent.slot)
}

// defaultSlack is how long a row outlives what is in it: the clocks of gateways and servers may differ by as much.
const defaultSlack = time.Minute

// ensureIndexed has the index say that the buckets have something of each priority that the step is of, and that they live until
// expiresMS, before the step is written.
func (s *Store) ensureIndexed(ctx context.Context, w *stepWrite, nowMS int64) error {
	missing := s.notIndexed(nil, w, w.bucket, w.lanes, w.micros, nowMS)
	for _, o := range w.others {
		missing = s.notIndexed(missing, w, o.bucket, o.lanes, o.micros, nowMS)
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
		x := &missing[i]
		s.index.put(indexKey{w.shard, w.user, x.bucket, x.priority}, x.expiresMS, x.lagS())
	}
	return nil
}

// notIndexed appends the items of a bucket that are not there yet, or say that it lives shorter than the step, or that its steps are written
// earlier: a step that was in doubt during a long outage is written behind it, at its old position, and its ids are remembered from then on.
func (s *Store) notIndexed(missing []indexed, w *stepWrite, b bucket, lanes uint8, micros uint64, nowMS int64) []indexed {
	for lane := range protocol.Lanes {
		if lanes&(1<<lane) == 0 {
			continue
		}
		p := protocol.LanePriority(lane)
		x := indexed{
			bucket: b, priority: p, firstMS: nowMS, firstMicros: micros,
			expiresMS: w.expiresMS + s.slotMS(), // so that what follows in this slot need not write it again
		}
		l := s.index.life(indexKey{w.shard, w.user, b, p})
		late := time.Duration(x.lagS()-l.lagS)*time.Second > s.slack
		switch {
		case l.untilMS >= w.expiresMS && !late:
			continue
		case !late:
		case l.untilMS != 0 && !l.part:
			x.expiresMS = max(x.expiresMS, l.untilMS+1) // or the one before would count
		default: // there may be one that is not known here
			x.expiresMS = max(x.expiresMS, nowMS+s.longestMS()+2*s.slotMS())
		}
		missing = append(missing, x)
	}
	return missing
}

// lagS is how much later than its position says the first step was written, in s, as far as its owner's clock went with positions.
func (x *indexed) lagS() int32 {
	lag := x.firstMS/1000 - int64(min(x.firstMicros, math.MaxInt64))/1_000_000
	return int32(max(math.MinInt32/2, min(lag, math.MaxInt32/2)))
}

// lifeLeft is how long a mark must live for ref: as long as the bucket of what it marks, or the longest life of a message where that is not
// known here for sure: another owner has written to it, or what was known of it was forgotten.
func (s *Store) lifeLeft(at store.Owner, user protocol.UserID, ref store.Ref, nowMS int64) (untilMS int64) {
	if s.shards[at.Shard].again.Load() == 0 { // else an earlier process may have written at this epoch
		k := indexKey{at.Shard, user, s.bucketOf(ref.Position), ref.Priority}
		if l := s.index.life(k); l.untilMS != 0 && !l.part {
			return l.untilMS
		}
	}
	return nowMS + s.longestMS()
}

// longestMS is how long a row may have an entry at most, as far as is known here, without slack.
func (s *Store) longestMS() int64 {
	return max(s.maxTTLMS.Load(), s.retention.Milliseconds()) + killsApart.Milliseconds()
}

// lifeOf is the longest of what refs need.
func (s *Store) lifeOf(at store.Owner, user protocol.UserID, refs []store.Ref, nowMS int64) (untilMS int64) {
	for _, ref := range refs {
		untilMS = max(untilMS, s.lifeLeft(at, user, ref, nowMS))
	}
	return untilMS
}

// bucketsOf sorts refs by their bucket, each once.
func (s *Store) bucketsOf(refs []store.Ref) map[bucket][]store.Ref {
	refs = slices.Clone(refs)
	slices.SortFunc(refs, func(a, b store.Ref) int {
		return cmp.Or(a.Position.Compare(b.Position), cmp.Compare(a.Priority, b.Priority))
	})
	m := make(map[bucket][]store.Ref, 1)
	for _, ref := range slices.Compact(refs) {
		b := s.bucketOf(ref.Position)
		m[b] = append(m[b], ref)
	}
	return m
}

func (s *Store) bucketOf(p protocol.Position) bucket {
	return bucket{p.Epoch, p.Micros / uint64(s.slot.Microseconds())}
}

func (s *Store) slotMS() int64 { return s.slot.Milliseconds() }
