package gateway

import (
	"context"
	"testing"
	"time"

	"ramen/store/memory"
)

// TestDeviceThatComesWhileItsMailboxIsMended: the contents that the store is given are from before it came. Its record, told durable, must
// not be lost with them: the next owner would not know that messages wait for it.
func TestDeviceThatComesWhileItsMailboxIsMended(t *testing.T) {
	lossy(t, func(t *testing.T, w *world) {
		w.open("d")
		w.accept("m1", medium)
		replica := w.disk.Replica()
		w.accept("m2", medium)
		w.sleep(2 * w.cfg.SaveInterval)
		replica.Promote(w.route(alice).Shard)
		w.store.Script(func(_ context.Context, op memory.Op) memory.Fault {
			if op.Kind == memory.OpReplace {
				time.Sleep(100 * time.Millisecond)
			}
			return memory.Fault{}
		})
		done := make(chan struct{})
		go func() { defer close(done); w.publish(w.message("m3", medium)) }()
		w.sleep(50 * time.Millisecond)
		w.open("e")
		<-done
		w.crash()
		w.wantWaiting("m1", "m2", "m3")
		if n := len(w.look().Devices); n != 2 {
			t.Errorf("%d devices are known; want d and e", n)
		}
	})
}
