package gateway

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ramen/protocol"
	"ramen/store"
	"ramen/store/memory"
)

// TestTakeAfterCloseIsRefused: nothing is owned by a gateway that nobody ends any more.
func TestTakeAfterCloseIsRefused(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		if err := w.g.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		if err := w.g.Take(context.Background(), allShards, w.epoch+1, time.Time{}); !errors.Is(err, ErrClosed) {
			t.Errorf("take after close: %v", err)
		}
		for _, s := range w.g.Shards() {
			if s.State != StateNone {
				t.Errorf("%+v", s)
			}
		}
	})
}

// TestPanicUnderAWriteEndsTheProcess: whoever serves the request may recover from it; the step would stay under way for ever.
func TestPanicUnderAWriteEndsTheProcess(t *testing.T) {
	if os.Getenv("RAMEN_TEST_PANIC") != "" {
		w := newFixture(t, nil)
		w.store.Script(func(context.Context, memory.Op) memory.Fault { return memory.Fault{} })
		j := w.g.newJob()
		j.add(op{}) // no mailbox
		defer func() {
			_ = recover()
			os.Exit(0)
		}()
		w.g.do(j)
		return
	}
	c := exec.Command(os.Args[0], "-test.run=^TestPanicUnderAWriteEndsTheProcess$")
	c.Env = append(os.Environ(), "RAMEN_TEST_PANIC=1")
	out, err := c.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "panic while a write is under way") {
		t.Errorf("%v: %s", err, out)
	}
}

// TestSlowSaveHoldsUpNobody: while a device of one user is being saved at once, what is saved lazily goes on, and others open streams.
func TestSlowSaveHoldsUpNobody(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		d := w.open("d")
		slow := w.open("s", ofUser("slow"))
		w.accept("m1", medium)
		w.accept("s1", medium, user("slow"))
		released := make(chan struct{})
		w.store.Script(func(_ context.Context, op memory.Op) memory.Fault {
			if op.Kind == memory.OpSaveDevices && op.Durable && op.User == "slow" {
				<-released
			}
			return memory.Fault{}
		})
		var opens sync.WaitGroup
		opens.Go(func() { w.open("s2", ofUser("slow")) })
		synctest.Wait()
		d.ack(1)
		slow.ack(1)
		w.sleep(3 * w.cfg.SaveInterval)
		began := time.Now()
		w.open("d2")
		if took := time.Since(began); took != 0 {
			t.Errorf("another user's open took %v", took)
		}
		kept, err := w.store.Load(context.Background(), storeOwner(w, alice), alice)
		if err != nil || len(kept.Entries) != 0 && len(kept.Devices) != 2 || kept.Devices[0].Acked.Seq != 1 {
			t.Errorf("%+v, %v; want what was acked to be saved", kept, err)
		}
		close(released)
		opens.Wait()
		w.sleep(3 * w.cfg.SaveInterval)
		kept, err = w.store.Load(context.Background(), storeOwner(w, "slow"), "slow")
		if err != nil || len(kept.Devices) != 2 || kept.Devices[0].Acked.Seq != 1 {
			t.Errorf("%+v, %v; want the slow user's ack to be saved, too", kept, err)
		}
	})
}

func storeOwner(w *fixture, user protocol.UserID) store.Owner {
	at := w.route(user)
	return store.Owner{Shard: at.Shard, Epoch: at.Epoch}
}
