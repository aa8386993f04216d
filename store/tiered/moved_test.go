package tiered

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"ramen/protocol"
	"ramen/store"
	"ramen/store/memory"
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

// TestATimeThatIsOverSaysNothingOfTheCache: a read whose caller has no time left, since it has waited elsewhere, takes the cache from nobody.
func TestATimeThatIsOverSaysNothingOfTheCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace()
		a := trusted(t, p)
		load(t, a, 1)
		a.cache.Script(func(ctx context.Context, op memory.Op) memory.Fault {
			if op.Kind == memory.OpLoad {
				select {
				case <-time.After(20 * time.Millisecond): // as a busy network may take
				case <-ctx.Done():
					return memory.Fault{Err: ctx.Err()}
				}
			}
			return memory.Fault{}
		})
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		defer cancel()
		if _, err := a.Load(ctx, store.Owner{Shard: inShard, Epoch: 1}, user); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("load: %v", err)
		}
		synctest.Wait()
		if _, ok := a.tiered().shards[inShard].trusted(store.Owner{Shard: inShard, Epoch: 1}); !ok || a.tiered().cacheOff.is() {
			t.Error("the cache is left alone")
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestAReadThatASaveOvertookIsNotCached: a device's record that was saved while its user's mailbox was read from the truth is in what is
// loaded next, by a later owner too.
func TestAReadThatASaveOvertookIsNotCached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace()
		a := p.open(t)
		claim(t, a, 1, "a")
		at := store.Owner{Shard: inShard, Epoch: 1}
		if _, err := a.Load(t.Context(), at, "other"); err != nil {
			t.Fatal(err)
		}
		await(t, a, stateTrusted)
		held := make(chan struct{})
		a.truth.Script(func(_ context.Context, op memory.Op) memory.Fault {
			if op.Kind == memory.OpLoad {
				return memory.Fault{Answer: func() { <-held }}
			}
			return memory.Fault{}
		})
		loaded := make(chan error, 1)
		go func() {
			_, err := a.Load(t.Context(), at, user)
			loaded <- err
		}()
		synctest.Wait()
		if errs := a.SaveDevices(t.Context(), []store.DeviceSave{{Owner: at, User: user, Device: store.Device{ID: "d", Expired: 7}}}, true); errs != nil {
			t.Fatal(errs)
		}
		close(held)
		if err := <-loaded; err != nil {
			t.Fatal(err)
		}
		b := p.open(t)
		claim(t, b, 2, "b")
		if m := load(t, b, 2); len(m.Devices) != 1 || m.Devices[0].Expired != 7 {
			t.Errorf("loaded devices %+v, one was saved", m.Devices)
		}
		if err := errors.Join(a.Close(), b.Close()); err != nil {
			t.Error(err)
		}
	})
}
