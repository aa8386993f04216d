package redis

import (
	"errors"
	"fmt"
	"testing"

	"ramen/internal/testserver/redistest"
	"ramen/protocol"
	"ramen/store"
)

// TestCachedMailboxThatGrowsIsDropped by the append with which it has grown too large: whole, so that it is absent for whoever comes next.
// What a mailbox costs the cache, and whoever loads it, is bounded however much is appended.
func TestCachedMailboxThatGrowsIsDropped(t *testing.T) {
	const limit = 256 << 10
	for _, payload := range []int{16, 1 << 10, 64 << 10} {
		t.Run(fmt.Sprint(payload), func(t *testing.T) {
			f := newFixture(t, redistest.Options{}, func(c *Config) { c.Cache, c.CacheMailboxBytes = true, limit })
			seed := entry("seed", 1)
			m := store.Mailbox{Last: seed.Position, Entries: []store.Entry{seed}, Seen: []store.Seen{{ID: "seed", AcceptedMS: nowMS()}}}
			if err := f.Replace(within(t), at1, "u", protocol.Position{}, m); err != nil {
				t.Fatal(err)
			}
			var held int64
			for n := uint64(1); ; n++ {
				e := entry(fmt.Sprint("m", n), n+1)
				e.Message.Payload = make([]byte, payload)
				err := f.append(soon*100, step(n, e))
				var gone *store.LastError
				if errors.As(err, &gone) && gone.Last.IsZero() {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				if n > 64 && n%64 != 0 {
					continue // the server counts all of it each time
				}
				held = max(held, f.server.Client(t).MemoryUsage(t.Context(), f.keys[1].mailbox+"u", 0).Val())
				if held > 8*limit {
					t.Fatalf("it holds %d bytes after %d appends of %d bytes, and the limit is %d", held, n, payload, limit)
				}
			}
			if held < limit/2 {
				t.Errorf("it was dropped at %d bytes, and the limit is %d", held, limit)
			}
			if n := f.server.Client(t).Exists(t.Context(), f.keys[1].mailbox+"u").Val(); n != 0 {
				t.Error("something of it is left")
			}
			if m := f.load(); !m.Last.IsZero() || len(m.Entries) != 0 {
				t.Errorf("%d entries are loaded, last %v", len(m.Entries), m.Last)
			}
			t.Logf("dropped at %d bytes of the server's memory", held)
		})
	}
}

// TestMailboxOfAStoreIsNotDropped: only a cache has another copy.
func TestMailboxOfAStoreIsNotDropped(t *testing.T) {
	f := newFixture(t, redistest.Options{}, func(c *Config) { c.CacheMailboxBytes = 1 })
	for n := range uint64(100) {
		f.mustAppend(step(n, entry(fmt.Sprint("m", n), n+1)))
	}
	if m := f.load(); len(m.Entries) != 100 {
		t.Errorf("%d entries of 100", len(m.Entries))
	}
}
