package redis

import (
	"testing"
	"time"

	"ramen/internal/testserver/redistest"
	"ramen/protocol"
	"ramen/store"
)

// TestEpochsGoOnBehindAFlush: the server is emptied, the owner gives it its identity again, and is killed before it has claimed again. Cursors
// are good for whoever starts then: it must not begin at an epoch that they have passed.
func TestEpochsGoOnBehindAFlush(t *testing.T) {
	next := func(t *testing.T, cfg Config, before store.Identity, above protocol.Epoch) protocol.Epoch {
		t.Helper()
		s := open(t, cfg)
		last, err := s.LastEpoch(within(t))
		if err != nil {
			t.Fatal(err)
		}
		if s.Identity() == before && last < above {
			t.Errorf("the identity is that of before, and the last epoch %d, not %d", last, above)
		}
		return last
	}
	start := func(t *testing.T) *fixture {
		t.Helper()
		f := newFixture(t, redistest.Options{}, nil)
		claim(t, f.Store, 7, "first", 1, 2, 3)
		return f
	}
	t.Run("WrittenBackByTheOwner", func(t *testing.T) {
		f := start(t)
		f.flush()
		awaitSo(t, "the identity is back", func() error { return f.server.Client(t).Get(t.Context(), identityKey(f.cfg.Prefix)).Err() })
		next(t, f.cfg, f.Identity(), 7)
	})
	t.Run("WrittenBackByOneThatHasReadTheClaims", func(t *testing.T) {
		f := start(t)
		other := open(t, f.cfg)
		if _, errs := other.Claims(within(t), []protocol.ShardID{1}); errs != nil {
			t.Fatal(errs)
		}
		if err := f.Store.Close(); err != nil {
			t.Fatal(err)
		}
		f.flush()
		awaitSo(t, "the identity is back", func() error { return f.server.Client(t).Get(t.Context(), identityKey(f.cfg.Prefix)).Err() })
		next(t, f.cfg, f.Identity(), 7)
	})
	t.Run("WrittenBackByOneThatHasReadNothing", func(t *testing.T) {
		f := start(t)
		open(t, f.cfg)
		if err := f.Store.Close(); err != nil {
			t.Fatal(err)
		}
		f.flush()
		awaitSo(t, "the identity is back", func() error { return f.server.Client(t).Get(t.Context(), identityKey(f.cfg.Prefix)).Err() })
		next(t, f.cfg, f.Identity(), 7)
	})
	t.Run("NobodyIsThere", func(t *testing.T) {
		f := start(t)
		if err := f.Store.Close(); err != nil {
			t.Fatal(err)
		}
		f.flush()
		if last := next(t, f.cfg, f.Identity(), 7); last != 0 {
			t.Errorf("the last epoch of an empty server is %d", last)
		}
	})
	t.Run("AClaimAloneIsLost", func(t *testing.T) { // as by a node of a cluster that comes back empty
		f := start(t)
		if err := f.Store.Close(); err != nil {
			t.Fatal(err)
		}
		f.flush(f.keys[1].claim, f.keys[2].claim, f.keys[3].claim)
		next(t, f.cfg, f.Identity(), 7)
	})
	t.Run("AllButTheIdentityIsLost", func(t *testing.T) { // as by an eviction, or of a version that kept no epoch
		f := start(t)
		if err := f.Store.Close(); err != nil {
			t.Fatal(err)
		}
		f.flush(f.keys[1].claim, f.keys[2].claim, f.keys[3].claim, epochKey(f.cfg.Prefix))
		next(t, f.cfg, f.Identity(), 7)
	})
}

// TestClaimsOutliveDevices: a device's cursor is of an epoch, and must not be there where the epochs may begin again.
func TestClaimsOutliveDevices(t *testing.T) {
	const month = 30 * 24 * time.Hour
	f := newFixture(t, redistest.Options{}, func(c *Config) { c.DeviceTTL = 3 * month })
	if err := f.save(store.Device{ID: "d", LastSeenMS: time.Now().UnixMilli()}); err != nil {
		t.Fatal(err)
	}
	k, c := &f.keys[1], f.server.Client(t)
	ttl := func(key string) time.Duration { return c.PTTL(t.Context(), key).Val() }
	box := ttl(k.mailbox + "u")
	if box < 3*month {
		t.Fatalf("the mailbox lives for %v", box)
	}
	touch := func(key string) {
		if d := ttl(key); d < box {
			t.Errorf("key %s lives for %v, and a device for %v", key, d, box)
		}
	}
	all := []string{k.claim, identityKey(f.cfg.Prefix), epochKey(f.cfg.Prefix)}
	for _, key := range all {
		touch(key)
		c.PExpire(t.Context(), key, time.Hour)
	}
	if d := ttl(k.unseen); d < 3*month {
		t.Errorf("the index of devices lives for %v", d)
	}
	f.touch(t.Context())
	for _, key := range all {
		touch(key)
	}
}

// flush empties the server, or deletes keys of it.
func (f *fixture) flush(keys ...string) {
	f.t.Helper()
	c := f.server.Client(f.t)
	if len(keys) == 0 {
		keys = c.Keys(f.t.Context(), "*").Val()
	}
	if err := c.Del(f.t.Context(), keys...).Err(); err != nil {
		f.t.Fatal(err)
	}
}
