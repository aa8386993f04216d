package gateway

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"ramen/link"
	"ramen/store"
	"ramen/store/memory"
)

// TestPublishesToAUserWhoseStoreIsDown: however many there are, each is answered within a few deadlines of an append.
func TestPublishesToAUserWhoseStoreIsDown(t *testing.T) {
	inSyncTest(t, func(c *Config) { c.PublishesPerSecond = 0 }, func(t *testing.T, w *fixture) {
		w.store.Script(func(ctx context.Context, op memory.Op) memory.Fault {
			if op.Kind == memory.OpAppend {
				<-ctx.Done()
				return memory.Fault{Err: store.ErrUnknown, Lost: true}
			}
			return memory.Fault{}
		})
		var all sync.WaitGroup
		var mu sync.Mutex
		var longest time.Duration
		for i := range 3_500 {
			all.Go(func() {
				began := time.Now()
				if r := w.publish(w.message(fmt.Sprint("m", i), high, payload(12<<10)))[0]; r.Status != link.StatusRejected {
					t.Errorf("result %+v", r)
				}
				mu.Lock()
				longest = max(longest, time.Since(began))
				mu.Unlock()
			})
		}
		all.Wait()
		if longest > 5*time.Second {
			t.Errorf("the longest took %v", longest)
		}
		w.store.Script(nil)
		w.sleep(3 * time.Second)
	})
}
