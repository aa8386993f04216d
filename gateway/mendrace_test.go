package gateway

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"time"

	"ramen/link"
	"ramen/protocol"
	"ramen/store/memory"
)

// TestDeviceThatComesWhileItsMailboxIsMended: the contents that the store is given are from before it came. Its record, told durable, must
// not be lost with them: the next owner would not know that messages wait for it.
func TestDeviceThatComesWhileItsMailboxIsMended(t *testing.T) {
	lossy(t, func(t *testing.T, w *fixture) {
		w.open("d")
		w.accept("m1", medium)
		replica := w.disk.Replica()
		w.accept("m2", medium)
		w.sleep(2 * w.cfg.SaveInterval)
		replica.Promote(w.route(alice).Shard)
		hold := make(chan struct{}) // no time: an open that waits for a lock would keep it from passing
		w.store.Script(func(_ context.Context, op memory.Op) memory.Fault {
			if op.Kind == memory.OpReplace {
				<-hold
			}
			return memory.Fault{}
		})
		var both sync.WaitGroup
		both.Go(func() { w.publish(w.message("m3", medium)) })
		w.sleep(50 * time.Millisecond)
		both.Go(func() { w.open("e") })
		for range 100 {
			runtime.Gosched() // the open gets as far as it can
		}
		close(hold)
		both.Wait()
		w.crash()
		w.wantWaiting("m1", "m2", "m3")
		if n := len(w.look().Devices); n != 2 {
			t.Errorf("%d devices are known; want d and e", n)
		}
	})
}

// TestOpenWaitsNoLongerThanItsDeadline: the mailbox of a device that comes is being written again, and the store does not answer.
func TestOpenWaitsNoLongerThanItsDeadline(t *testing.T) {
	lossy(t, func(t *testing.T, w *fixture) {
		w.open("d")
		w.accept("m1", medium)
		replica := w.disk.Replica()
		w.accept("m2", medium)
		w.sleep(2 * w.cfg.SaveInterval)
		replica.Promote(w.route(alice).Shard)
		hold := make(chan struct{})
		w.store.Script(func(_ context.Context, op memory.Op) memory.Fault {
			if op.Kind == memory.OpReplace {
				<-hold
			}
			return memory.Fault{}
		})
		var publishing sync.WaitGroup
		publishing.Go(func() { w.publish(w.message("m3", medium)) })
		w.sleep(50 * time.Millisecond)
		open := func(within time.Duration) (time.Duration, error) {
			ctx, cancel := context.WithTimeout(context.Background(), within)
			defer cancel()
			began := time.Now()
			r := &recorder{t: w.t, w: w, device: "e"}
			var err error
			r.stream, r.opened, err = w.g.Open(ctx, link.Open{
				Route: w.route(alice), User: alice, Device: "e", Transport: protocol.TransportWS, Context: &protocol.DeviceContext{OS: "ios"},
			}, r)
			return time.Since(began), err
		}
		if took, err := open(300 * time.Millisecond); !errors.Is(err, context.DeadlineExceeded) || took != 300*time.Millisecond {
			t.Errorf("answered %v after %v", err, took)
		}
		time.AfterFunc(100*time.Millisecond, func() { close(hold) })
		if took, err := open(time.Second); err != nil || took < 100*time.Millisecond {
			t.Errorf("answered %v after %v; the mailbox was written after 100 ms", err, took)
		}
		publishing.Wait()
		if n := len(w.g.saves.of); n != 0 {
			t.Errorf("%d are still waited for", n)
		}
	})
}

// TestLeaseEndsWhileSomethingIsMissing: the store has lost something, its claims are those of this process again, and before each mailbox
// was probed, or loaded again, the lease ends once more. What memory had is not taken for written.
func TestLeaseEndsWhileSomethingIsMissing(t *testing.T) {
	lossy(t, func(t *testing.T, w *fixture) {
		w.leased()
		w.accept("m1", medium)
		replica := w.disk.Replica()
		w.accept("m2", medium)
		replica.Promote()
		fail := func(kind memory.Kind) {
			w.store.Script(func(_ context.Context, op memory.Op) memory.Fault {
				if op.Kind == kind {
					return memory.Fault{Err: errors.New("it is busy")}
				}
				return memory.Fault{}
			})
		}
		fail(memory.OpAppend)
		if err := w.g.Recover(context.Background(), allShards, time.Time{}); err != nil {
			t.Fatal(err)
		}
		w.sleep(3 * time.Second)
		fail(memory.OpLoad)
		w.leased()
		w.sleep(3 * time.Second)
		if w.g.Serving() == nil {
			t.Fatal("the lease has not ended")
		}
		w.store.Script(nil)
		w.leased()
		w.sleep(time.Second)
		w.wantWaiting("m1", "m2")
		if n := w.metric("ramen_gateway_lost_mailboxes_total"); n != 0 {
			t.Errorf("%v mailboxes are lost", n)
		}
		w.sleep(3 * time.Second)
		n := w.replaces()
		w.take(w.epoch + 1) // nothing is missing now
		w.sleep(time.Second)
		w.store.Script(nil)
		w.wantWaiting("m1", "m2")
		if *n != 0 {
			t.Errorf("%d mailboxes were written again", *n)
		}
	})
}
