package pebble

import (
	"encoding/binary"
	"slices"
	"sync"
	"time"

	engine "github.com/cockroachdb/pebble/v2"
)

const (
	bucketsKept = 5           // an id's retention is spread over so many buckets
	minBucket   = time.Second // the shortest bucket
)

// buckets is which buckets of ids there are, by their ends. An id is written into the one that is open, and goes with
// its whole bucket, by one range deletion, once the last id in it is older than the retention.
type buckets struct {
	retention, width int64 // ms, immutable

	mu   sync.Mutex
	ends []int64 // Unix ms, ascending
}

// load finds the buckets by one seek each.
func (b *buckets) load(db *engine.DB, retention time.Duration) error {
	b.retention = retention.Milliseconds()
	b.width = max(retention/bucketsKept, minBucket).Milliseconds()
	it, err := db.NewIter(&engine.IterOptions{LowerBound: []byte{spaceID}, UpperBound: []byte{spaceID + 1}})
	if err != nil {
		return err
	}
	for ok := it.First(); ok; {
		var raw [bucketSize]byte
		copy(raw[:], it.Key()[1:])
		end := int64(binary.BigEndian.Uint64(raw[:]))
		b.ends = append(b.ends, end)
		ok = it.SeekGE(appendBucketPrefix(nil, end+1))
	}
	return it.Close()
}

// at is the end of the bucket for ids of which the last was accepted at ms.
func (b *buckets) at(ms int64) int64 {
	end := (ms/b.width + 1) * b.width
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := len(b.ends); n == 0 || b.ends[n-1] < end {
		b.ends = append(b.ends, end)
	} else if i, ok := slices.BinarySearch(b.ends, end); !ok { // the clock went back
		b.ends = slices.Insert(b.ends, i, end)
	}
	return end
}

// live is the buckets with an id in them that counts at nowMS.
func (b *buckets) live(nowMS int64) []int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	i, _ := slices.BinarySearch(b.ends, nowMS-b.retention)
	return slices.Clone(b.ends[i:])
}

// drop deletes the buckets with no such id, a bucket's width later than it might: a load may be reading them.
func (b *buckets) drop(batch *engine.Batch, nowMS int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	i, _ := slices.BinarySearch(b.ends, nowMS-b.retention-b.width)
	for _, end := range b.ends[:i] {
		_ = batch.DeleteRange(appendBucketPrefix(nil, end), appendBucketPrefix(nil, end+1), nil) // a batch in memory does not fail
	}
	b.ends = slices.Delete(b.ends, 0, i)
}
