package tiered

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"ramen/protocol"
	"ramen/store"
)

// TestAShardThatHasMovedLeavesTheCacheToOthers: a process that has lost a shard, whose cache was off then, or that still writes for it, goes on
// with the cache for its other shards.
func TestAShardThatHasMovedLeavesTheCacheToOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace()
		a := p.open(t)
		const other = inShard + 1
		if err := errors.Join(a.Claim(t.Context(), []protocol.ShardID{inShard, other}, 1, "a")...); err != nil {
			t.Fatal(err)
		}
		last := load(t, a, 1).Last
		await(t, a, stateTrusted)
		b := p.open(t)
		claim(t, b, 2, "b")
		load(t, b, 2)
		if _, err := publish(t, a, 1, last); err != nil { // late: the cache refuses it
			t.Fatal(err)
		}
		await(t, a, stateOff)
		time.Sleep(time.Minute)
		if a.tiered().cacheOff.is() {
			t.Error("the cache is left alone by the process that has lost a shard")
		}
		if _, err := a.Load(t.Context(), store.Owner{Shard: other, Epoch: 1}, user); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if _, ok := a.tiered().shards[other].trusted(store.Owner{Shard: other, Epoch: 1}); !ok {
			t.Error("another shard of it goes without the cache")
		}
		claim(t, a, 3, "a") // it comes back
		load(t, a, 3)
		await(t, a, stateTrusted)
		if err := errors.Join(a.Close(), b.Close()); err != nil {
			t.Error(err)
		}
	})
}
