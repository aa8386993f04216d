package pebble

import (
	"context"
	"fmt"
	"runtime"
	"testing"

	"ramen/protocol"
	"ramen/store"
	"ramen/store/storetest"
)

// Whatever is appended, the store's rows in memory stay within what it says it takes: tiny messages, a user each, cost the most
// beside their bytes.
func TestFix17StoreTakesNoMoreMemoryThanItSays(t *testing.T) {
	cfg := Default()
	cfg.Dir, cfg.MemoryBytes, cfg.CacheBytes = t.TempDir(), 64*miB, 0
	all, outside := cfg.MostMemory()
	if all > 64*miB || all-outside < 16*miB {
		t.Fatalf("of 64 MiB, the store says it takes %d MiB, %d outside of the heap", all/miB, outside/miB)
	}
	for _, c := range []struct {
		name           string
		users, payload int
		messages       int
	}{{"tiny", 1000, 2, 150_000}, {"a user each", 1 << 30, 2, 100_000}, {"plain", 100, 2000, 30_000}} {
		t.Run(c.name, func(t *testing.T) {
			cfg := cfg
			cfg.Dir = t.TempDir()
			s := open(t, cfg)
			before, most := liveHeap(), int64(0)
			payload := make([]byte, c.payload)
			for from := 0; from < c.messages; {
				var batch []store.Append
				for i := from; i < from+1000; i++ {
					e := entry(fmt.Sprint("m", i), protocol.PriorityMedium, uint64(i+1))
					e.Message.Payload = payload
					batch = append(batch, store.Append{Owner: owner, User: protocol.UserID(fmt.Sprint("u", i%c.users)), Entries: []store.Entry{e}})
				}
				for _, err := range storetest.Append(context.Background(), s, batch) {
					if err != nil {
						t.Fatal(err)
					}
				}
				if from += 1000; from%5000 == 0 {
					most = max(most, liveHeap()-before)
				}
			}
			t.Logf("at most %d MiB of the %d that it says; %d MiB counted", most/miB, (all-outside)/miB, s.overlay.size()/miB)
			if most > all-outside {
				t.Errorf("the store took %d MiB of heap, and says %d", most/miB, (all-outside)/miB)
			}
		})
	}
}

func liveHeap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
