package storetest

import (
	"errors"
	"testing"

	"ramen/protocol"
	"ramen/store"
)

func testFenced(t *testing.T, cfg Config) {
	if cfg.Unfenced {
		t.Skip("the store does not fence")
	}
	t.Run("OlderEpochChangesNothing", func(t *testing.T) {
		p := newPlace(t, cfg)
		p.claim(1, 1)
		a, d := entry("a", 1), fullDevice("d")
		p.append(step("u", a))
		p.save(true, store.DeviceSave{Owner: epoch1, User: "u", Device: d})
		p.claim(2, 1)
		wantAllFenced(t, p, epoch1, a)
		epoch2 := store.Owner{Shard: 1, Epoch: 2}
		m := p.load(epoch2, "u")
		if len(m.Entries) != 1 || len(m.Devices) != 1 || m.Devices[0].Expired != d.Expired {
			t.Fatalf("mailbox %+v", m)
		}
	})
	t.Run("EpochNeverClaimed", func(t *testing.T) {
		p := newPlace(t, cfg)
		p.claim(3, 1)
		wantAllFenced(t, p, store.Owner{Shard: 2, Epoch: 3}, entry("a", 1))
		wantAllFenced(t, p, store.Owner{Shard: 1, Epoch: 4}, entry("a", 1))
	})
	t.Run("ClaimAnswersEachShard", func(t *testing.T) {
		p := newPlace(t, cfg)
		p.claim(5, 2)
		errs := p.Claim(p.ctx, []protocol.ShardID{1, 2, 3}, 4, p.owner)
		if len(errs) != 3 || errs[0] != nil || errs[2] != nil {
			t.Fatalf("answers %v", errs)
		}
		wantFenced(t, errs[1], 5, p.owner)
		for _, at := range []store.Owner{{Shard: 1, Epoch: 4}, {Shard: 2, Epoch: 5}, {Shard: 3, Epoch: 4}} {
			p.append(store.Append{Owner: at, User: "u", Entries: []store.Entry{entry("a", 1)}})
		}
	})
	t.Run("ClaimAgainAtTheSameEpoch", func(t *testing.T) {
		p := newPlace(t, cfg)
		p.claim(2, 1)
		p.claim(2, 1)
		at := store.Owner{Shard: 1, Epoch: 2}
		p.append(store.Append{Owner: at, User: "u", Entries: []store.Entry{entry("a", 1)}})
	})
	t.Run("LastEpochIsTheHighest", func(t *testing.T) {
		p := newPlace(t, cfg)
		for _, want := range []protocol.Epoch{0, 4, 4} {
			if got, err := p.LastEpoch(p.ctx); err != nil || got != want {
				t.Fatalf("last epoch %d, %v; want %d", got, err, want)
			}
			if want == 0 {
				p.claim(4, 1)
			} else {
				p.claim(2, 2)
			}
		}
	})
}

// wantAllFenced tries every call at an epoch that is not the owner's.
func wantAllFenced(t *testing.T, p *place, at store.Owner, e store.Entry) {
	t.Helper()
	_, err := p.Load(p.ctx, at, "u")
	wantErr(t, "load", err, store.ErrFenced)
	late := store.Append{Owner: at, User: "u", Entries: []store.Entry{entry("late", 99)}, Kills: []store.Ref{ref(e)}}
	wantErr(t, "append", Append(p.ctx, p, []store.Append{late})[0], store.ErrFenced)
	changed := store.Device{ID: "d", Expired: 77}
	wantErr(t, "save", first(p.SaveDevices(p.ctx, []store.DeviceSave{{Owner: at, User: "u", Device: changed}}, true)), store.ErrFenced)
	removed := store.DeviceSave{Owner: at, User: "u", Remove: true, Device: changed}
	wantErr(t, "remove", first(p.SaveDevices(p.ctx, []store.DeviceSave{removed}, false)), store.ErrFenced)
	wantErr(t, "forget", first(p.Forget(p.ctx, []store.Forget{{Owner: at, User: "u", Refs: []store.Ref{ref(e)}}})), store.ErrFenced)
	if l, ok := p.Store.(store.ExpiryScanner); ok {
		_, err := l.ScanExpired(p.ctx, at, "", 0, 0, 10)
		wantErr(t, "scan", err, store.ErrFenced)
	}
}

// wantFenced wants the answer to a claim to say who has the shard.
func wantFenced(t *testing.T, err error, epoch protocol.Epoch, owner string) {
	t.Helper()
	var fenced *store.FencedError
	if !errors.Is(err, store.ErrFenced) || !errors.As(err, &fenced) || fenced.Epoch != epoch || fenced.Owner != owner {
		t.Fatalf("claim: %v, want a FencedError of epoch %d and owner %q", err, epoch, owner)
	}
}
