package storetest

import (
	"reflect"
	"testing"

	"ramen/protocol"
	"ramen/store"
)

func testDurable(t *testing.T, cfg Config) {
	if cfg.Volatile {
		t.Skip("the store does not outlive Close")
	}
	t.Run("AppendsOutliveClose", func(t *testing.T) { testAppendsOutliveClose(t, newPlace(t, cfg)) })
	t.Run("IdentityAndEpochsOutliveClose", func(t *testing.T) { testIdentityOutlivesClose(t, newPlace(t, cfg), cfg.Unfenced) })
	t.Run("LazySavesOutliveClose", func(t *testing.T) { testLazySavesOutliveClose(t, newPlace(t, cfg)) })
	t.Run("LazyWritesSurviveWhereALaterAppendDoes", func(t *testing.T) {
		if cfg.Crash == nil {
			t.Skip("the store cannot be crashed")
		}
		testOneOrder(t, cfg)
	})
	t.Run("TwoStoresDiffer", func(t *testing.T) {
		if a, b := newPlace(t, cfg).Identity(), newPlace(t, cfg).Identity(); a == b {
			t.Fatal("two stores have one identity")
		}
	})
}

func testAppendsOutliveClose(t *testing.T, p *place) {
	p.claim(1, 1)
	a, b, c := entry("a", 1), entry("b", 2), entry("c", 3)
	p.append(step("u", a, b), step("v", c))
	p.append(kill("u", ref(a)))
	p.reopen()
	p.claim(1, 1)
	p.wantEntries(epoch1, "u", b)
	p.wantEntries(epoch1, "v", c)
}

func testIdentityOutlivesClose(t *testing.T, p *place, unfenced bool) {
	id := p.Identity()
	if id.Key == ([16]byte{}) {
		t.Fatal("the identity's key is zero")
	}
	p.claim(7, 1, 2, 3)
	p.claim(9, 2)
	p.reopen()
	if got := p.Identity(); got != id {
		t.Fatal("the identity changed")
	}
	if last, err := p.LastEpoch(p.ctx); err != nil || last != 9 {
		t.Fatalf("last epoch %d, %v; want 9", last, err)
	}
	if !unfenced {
		wantErr(t, "claim below the last", first(p.Claim(p.ctx, []protocol.ShardID{2}, 8, p.owner)), store.ErrFenced)
	}
}

func testLazySavesOutliveClose(t *testing.T, p *place) {
	p.claim(1, 1)
	a, b := entry("a", 1), entry("b", 2)
	p.append(step("u", a, b))
	lazy, durable := fullDevice("lazy"), fullDevice("durable")
	p.save(false, store.DeviceSave{Owner: epoch1, User: "u", Device: lazy})
	p.save(true, store.DeviceSave{Owner: epoch1, User: "u", Device: durable})
	p.forget(store.Forget{Owner: epoch1, User: "u", Refs: []store.Ref{ref(a)}})
	p.reopen()
	p.claim(1, 1)
	m := p.load(epoch1, "u")
	if !reflect.DeepEqual(m.Devices, []store.Device{durable, lazy}) {
		t.Fatalf("devices %+v", m.Devices)
	}
	p.wantEntries(epoch1, "u", b)
}

// testOneOrder takes what a loss of power leaves right after an Append was answered, with lazy writes before it.
func testOneOrder(t *testing.T, cfg Config) {
	open, crash := cfg.Crash(t)
	p := placeOf(t, open)
	p.claim(1, 1)
	a, b, c := entry("a", 1), entry("b", 2), entry("c", 3)
	p.append(step("u", a, b))
	d := fullDevice("d")
	p.save(false, store.DeviceSave{Owner: epoch1, User: "u", Device: d})
	p.forget(store.Forget{Owner: epoch1, User: "u", Refs: []store.Ref{ref(a)}})
	p.append(step("u", c))
	left := placeOf(t, crash())
	left.claim(1, 1)
	left.wantEntries(epoch1, "u", b, c)
	if got := left.load(epoch1, "u").Devices; !reflect.DeepEqual(got, []store.Device{d}) {
		t.Fatalf("devices %+v", got)
	}
}

func testAtomic(t *testing.T, cfg Config) {
	t.Run("EntriesAndKillsAreOneStep", func(t *testing.T) {
		p := newPlace(t, cfg)
		p.claim(1, 1)
		a, b := entry("a", 1), withPriority(entry("b", 2), protocol.PriorityHigh)
		p.append(step("u", a))
		s := step("u", b)
		s.Kills = []store.Ref{ref(a)}
		p.append(s)
		p.wantEntries(epoch1, "u", b)
	})
	t.Run("ElementsFailAlone", func(t *testing.T) {
		if cfg.Unfenced {
			t.Skip("no element can be made to fail")
		}
		p := newPlace(t, cfg)
		p.claim(1, 1)
		foreign := step("u", entry("b", 2))
		foreign.Shard = 2
		errs := Append(p.ctx, p, []store.Append{step("u", entry("a", 1)), foreign, step("v", entry("c", 3))})
		if len(errs) != 3 || errs[0] != nil || errs[2] != nil {
			t.Fatalf("errors %v", errs)
		}
		wantErr(t, "append to a shard never claimed", errs[1], store.ErrFenced)
		if n := len(p.load(epoch1, "u").Entries) + len(p.load(epoch1, "v").Entries); n != 2 {
			t.Fatalf("%d entries, want 2", n)
		}
	})
	t.Run("LazyWritesFailAlone", func(t *testing.T) {
		if cfg.Unfenced {
			t.Skip("no element can be made to fail")
		}
		testFailAlone(t, newPlace(t, cfg))
	})
	t.Run("EmptyStepsSucceed", func(t *testing.T) {
		p := newPlace(t, cfg)
		p.claim(1, 1)
		p.append()
		p.append(step("u"))
		p.save(true)
		p.forget()
		p.wantEntries(epoch1, "u")
	})
}

// testFailAlone has one element of a save, and of a Forget, be of a shard that is not the caller's.
func testFailAlone(t *testing.T, p *place) {
	p.claim(1, 1)
	a, b := entry("a", 1), entry("b", 2)
	p.append(step("u", a), step("w", b))
	foreign := store.Owner{Shard: 2, Epoch: 1}
	want := func(what string, errs []error) {
		t.Helper()
		if len(errs) != 3 || errs[0] != nil || errs[2] != nil {
			t.Fatalf("%s: %v", what, errs)
		}
		wantErr(t, what+" of a shard never claimed", errs[1], store.ErrFenced)
	}
	d := store.Device{ID: "d"}
	want("save", p.SaveDevices(p.ctx, []store.DeviceSave{
		{Owner: epoch1, User: "u", Device: d}, {Owner: foreign, User: "v", Device: d}, {Owner: epoch1, User: "w", Device: d},
	}, true))
	want("forget", p.Forget(p.ctx, []store.Forget{
		{Owner: epoch1, User: "u", Refs: []store.Ref{ref(a)}}, {Owner: foreign, User: "v", Refs: []store.Ref{ref(a)}},
		{Owner: epoch1, User: "w", Refs: []store.Ref{ref(b)}},
	}))
	for _, u := range []protocol.UserID{"u", "w"} {
		if m := p.load(epoch1, u); len(m.Devices) != 1 || len(m.Entries) != 0 {
			t.Fatalf("user %q: %+v", u, m)
		}
	}
}
