package gateway

import (
	"context"
	"fmt"
	"testing"
	"time"

	"ramen/link"
	"ramen/protocol"
	"ramen/store"
	"ramen/store/memory"
)

// TestOutageWithManyInDoubt: a store that is down takes longer for what is in doubt than the sweeper to find it again: no mailbox waits
// twice to be written.
func TestOutageWithManyInDoubt(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		w.store.Script(func(ctx context.Context, op memory.Op) memory.Fault {
			if op.Kind != memory.OpAppend {
				return memory.Fault{}
			}
			<-ctx.Done()
			return memory.Fault{Err: store.ErrUnknown}
		})
		const users = 60
		name := func(i int) func(*link.Publish) { return user(fmt.Sprint("u", i)) }
		for i := range users {
			w.refuse(protocol.CodeUnavailable, fmt.Sprint("m", i), high, name(i), payload(200<<10))
		}
		w.sleep(time.Minute)
		w.g.again.mu.Lock()
		n := len(w.g.again.boxes)
		w.g.again.mu.Unlock()
		if n > users {
			t.Errorf("%d mailboxes of %d users wait to be written again", n, users)
		}
		w.store.Script(nil)
		w.sleep(time.Minute)
		for i := range users {
			w.duplicate(fmt.Sprint("m", i), high, name(i))
		}
	})
}
