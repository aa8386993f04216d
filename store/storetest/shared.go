package storetest

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"ramen/protocol"
	"ramen/store"
)

// testShared is of a store that several processes may open: what one of them says and claims, the others read.
func testShared(t *testing.T, cfg Config) {
	shared := func(t *testing.T) (*place, *place) {
		p := newPlace(t, cfg)
		if _, is := p.Store.(store.Shared); !is {
			t.Skip("the store is open in one process at a time")
		}
		other := p.successor(cfg)
		return p, other
	}
	t.Run("ClaimsAreReadByOthers", func(t *testing.T) {
		p, other := shared(t)
		p.claim(3, 1, 2)
		other.claim(5, 2)
		want := []store.Claimed{{Epoch: 3, Owner: p.owner}, {}, {Epoch: 5, Owner: other.owner}}
		for _, who := range []*place{p, other} {
			got := who.claims(1, 7, 2)
			for i := range got {
				got[i].History = ""
			}
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("claims %+v, want %+v", got, want)
			}
		}
	})
	t.Run("PresentUntilItsTimeIsOver", func(t *testing.T) {
		p, other := shared(t)
		p.claim(3, 1)
		p.renew(p.owner, time.Minute)
		other.wantPresent(true, 1)
		p.renew(p.owner, 100*time.Millisecond) // the latest counts
		other.wantPresent(false, 1)
		p.renew(p.owner, time.Minute)
		other.wantPresent(true, 1)
		other.renew(other.owner, time.Minute)
		p.renew(p.owner, 0)
		other.wantPresent(false, 1)
		other.claim(4, 1)
		p.wantPresent(true, 1)
	})
	t.Run("HistoryStays", func(t *testing.T) {
		p, other := shared(t)
		before := p.claims(1, 2)
		p.claim(3, 1)
		p.append(store.Append{Owner: store.Owner{Shard: 1, Epoch: 3}, User: "u", Entries: []store.Entry{entry("a", 1)}})
		other.claim(4, 1)
		for i, c := range other.claims(1, 2) {
			if c.History != before[i].History {
				t.Fatalf("history of shard %d was %q, is %q", i+1, before[i].History, c.History)
			}
		}
	})
	t.Run("FencesAsItSays", func(t *testing.T) {
		p, _ := shared(t)
		if fences := p.Store.(store.Shared).Fences(); fences == cfg.Unfenced {
			t.Fatalf("the store says that it fences: %v, and is unfenced: %v", fences, cfg.Unfenced)
		}
	})
}

func (p *place) renew(owner string, ttl time.Duration) {
	p.t.Helper()
	if err := p.Store.(store.Shared).Renew(p.ctx, owner, ttl); err != nil {
		p.t.Fatalf("renew %q: %v", owner, err)
	}
}

func (p *place) claims(shards ...protocol.ShardID) []store.Claimed {
	p.t.Helper()
	all, errs := p.Store.(store.Shared).Claims(p.ctx, shards)
	if errs != nil || len(all) != len(shards) {
		p.t.Fatalf("claims of %v: %+v, %v", shards, all, errs)
	}
	return all
}

// wantPresent waits until the owner of a shard is there, or is not.
func (p *place) wantPresent(want bool, shard protocol.ShardID) {
	p.t.Helper()
	for p.claims(shard)[0].Present != want {
		select {
		case <-p.ctx.Done():
			p.t.Fatalf("the owner of shard %d is never present: %v", shard, want)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// replacer is p's store as one that takes back what it has lost.
func (p *place) replacer() store.Replacer {
	p.t.Helper()
	r, is := p.Store.(store.Replacer)
	if !is {
		p.t.Skip("the store does not lose what it has answered")
	}
	return r
}

// testLost has a replica take the place of what it is a copy of.
func testLost(t *testing.T, cfg Config) {
	if cfg.Lose == nil {
		t.Skip("the store cannot be made to lose")
	}
	begin := func(t *testing.T) (*place, func() func()) {
		open, replica := cfg.Lose(t)
		return placeOf(t, open), replica
	}
	a, b := entry("a", 1), entry("b", 2)
	t.Run("AppendTellsAndReplaceMends", func(t *testing.T) {
		p, replica := begin(t)
		r := p.replacer()
		p.claim(1, 1)
		p.append(step("u", a))
		promote := replica()
		p.append(step("u", b))
		before := p.claims(1)[0]
		promote()
		after := p.claims(1)[0]
		if after.History == "" || after.History == before.History || after.Epoch != 1 {
			t.Fatalf("claimed before %+v, and after %+v", before, after)
		}
		p.claim(1, 1)
		probe := store.Append{Owner: epoch1, User: "u", Last: b.Position}
		var other *store.LastError
		if err := Append(p.ctx, p, []store.Append{probe})[0]; !errors.As(err, &other) || other.Last != a.Position {
			t.Fatalf("probe: %v, want a LastError of %+v", err, a.Position)
		}
		p.wantEntries(epoch1, "u", a)
		if err := r.Replace(p.ctx, epoch1, "u", a.Position, store.Mailbox{Last: b.Position, Entries: []store.Entry{a, b}}); err != nil {
			t.Fatal(err)
		}
		p.append(probe)
		p.wantEntries(epoch1, "u", a, b)
		if again := p.claims(1)[0]; again.History != after.History {
			t.Fatalf("history was %q, is %q", after.History, again.History)
		}
	})
	t.Run("ALostClaimIsFencedUntilClaimedAgain", func(t *testing.T) {
		if cfg.Unfenced {
			t.Skip("the store does not fence")
		}
		p, replica := begin(t)
		promote := replica()
		p.claim(4, 1)
		at := store.Owner{Shard: 1, Epoch: 4}
		promote()
		if c := p.claims(1)[0]; c.Epoch != 0 || c.Owner != "" {
			t.Fatalf("claimed %+v", c)
		}
		wantAllFenced(t, p, at, a)
		p.claim(4, 1)
		p.append(store.Append{Owner: at, User: "u", Entries: []store.Entry{a}})
	})
}
