package storetest

import (
	"fmt"
	"sync"
	"testing"

	"ramen/protocol"
	"ramen/store"
)

// testTakeOver opens two stores on one place, each for an owner of its own.
func testTakeOver(t *testing.T, cfg Config) {
	if cfg.Unfenced {
		t.Skip("the store does not fence")
	}
	if cfg.Volatile && cfg.Exclusive {
		t.Skip("the store does not outlive Close")
	}
	t.Run("OlderOwnerChangesNothing", func(t *testing.T) {
		p := newPlace(t, cfg)
		p.claim(1, 1)
		a, d := entry("a", 1), fullDevice("d")
		p.append(step("u", a))
		p.save(true, store.DeviceSave{Owner: epoch1, User: "u", Device: d})
		next := p.successor(cfg)
		next.claim(2, 1)
		if !cfg.Exclusive {
			wantAllFenced(t, p, epoch1, a)
		}
		wantAllFenced(t, next, epoch1, a)
		next.wantEntries(epoch2, "u", a)
		b := entry("b", 2)
		next.append(store.Append{Owner: epoch2, User: "u", Entries: []store.Entry{b}})
		next.wantEntries(epoch2, "u", a, b)
	})
	t.Run("SameEpochOfAnotherOwner", func(t *testing.T) {
		p := newPlace(t, cfg)
		p.claim(3, 1, 2)
		next := p.successor(cfg)
		wantFenced(t, first(next.Claim(next.ctx, []protocol.ShardID{1}, 3, next.owner)), 3, p.owner)
		wantFenced(t, first(next.Claim(next.ctx, []protocol.ShardID{1}, 2, next.owner)), 3, p.owner)
		at := store.Owner{Shard: 1, Epoch: 3}
		if !cfg.Exclusive { // it has lost nothing
			p.claim(3, 1)
			p.append(store.Append{Owner: at, User: "u", Entries: []store.Entry{entry("a", 1)}})
		}
		next.claim(4, 1)
		wantFenced(t, first(next.Claim(next.ctx, []protocol.ShardID{1}, 4, p.owner)), 4, next.owner)
		if !cfg.Exclusive {
			wantFenced(t, first(p.Claim(p.ctx, []protocol.ShardID{1}, 3, p.owner)), 4, next.owner)
			wantAllFenced(t, p, at, entry("a", 1))
			p.append(store.Append{Owner: store.Owner{Shard: 2, Epoch: 3}, User: "u", Entries: []store.Entry{entry("a", 1)}})
		}
	})
	t.Run("ClaimsOutliveTheirOwner", func(t *testing.T) {
		if cfg.Volatile {
			t.Skip("the store does not outlive Close")
		}
		p := newPlace(t, cfg)
		p.claim(3, 1)
		p.reopen()
		p.reopen() // from where the first start has brought them
		wantFenced(t, first(p.Claim(p.ctx, []protocol.ShardID{1}, 3, "another")), 3, p.owner)
		p.claim(3, 1)
	})
	t.Run("UnderLoad", func(t *testing.T) { testTakeOverUnderLoad(t, newPlace(t, cfg), cfg) })
}

var epoch2 = store.Owner{Shard: 1, Epoch: 2}

// testTakeOverUnderLoad claims at a newer epoch under load: what the old owner was told is stored is there, and nothing else from
// the moment of the claim.
func testTakeOverUnderLoad(t *testing.T, p *place, cfg Config) {
	p.claim(1, 1)
	stored := make([]int, 8)
	var all sync.WaitGroup
	started := make(chan struct{}, len(stored))
	for i := range stored {
		all.Go(func() {
			for n := uint64(1); ; n++ {
				if Append(p.ctx, p, []store.Append{step(protocol.UserID(fmt.Sprint("user", i)), entry(fmt.Sprint(n), n))})[0] != nil {
					return
				}
				stored[i]++
				if n == 3 {
					started <- struct{}{}
				}
			}
		})
	}
	for range stored {
		<-started
	}
	next := p
	if !cfg.Exclusive {
		next = p.successor(cfg)
	}
	next.claim(2, 1)
	before := make([]int, len(stored))
	for i := range stored {
		before[i] = len(next.load(epoch2, protocol.UserID(fmt.Sprint("user", i))).Entries)
	}
	all.Wait()
	for i, n := range stored {
		after := len(next.load(epoch2, protocol.UserID(fmt.Sprint("user", i))).Entries)
		if n != after || before[i] != after {
			t.Errorf("user%d: %d stored, %d found after the claim, %d at the end", i, n, before[i], after)
		}
	}
}
