package gateway

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"ramen/store/memory"
)

// Devices that are new at the same time are saved at the same time: the store can make one write of them all.
func TestFirstOpensAreSavedSideBySide(t *testing.T) {
	const users = 200
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		var under atomic.Int32
		all := make(chan struct{})
		w.store.Script(func(ctx context.Context, op memory.Op) memory.Fault {
			if op.Kind == memory.OpSaveDevices && op.Durable {
				if under.Add(1) == users {
					close(all)
				}
				select {
				case <-all:
				case <-ctx.Done():
					return memory.Fault{Err: ctx.Err()}
				}
			}
			return memory.Fault{}
		})
		var opens sync.WaitGroup
		for i := range users {
			opens.Go(func() {
				if _, err := w.tryOpen("d", ofUser("u"+strconv.Itoa(i))); err != nil {
					t.Errorf("%d of %d saves were under way at once: %v", under.Load(), users, err)
				}
			})
		}
		opens.Wait()
		w.store.Script(nil)
	})
}
