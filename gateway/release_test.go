package gateway

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ramen/link"
	"ramen/protocol"
	"ramen/store"
	"ramen/store/memory"
)

// TestReleaseAnswersWhatIsUnderWay: an append that is being written when its shard is released is waited for and accepted; what comes
// then is told that the shard moves, and changes nothing; and what a device has acked is saved before the release returns.
func TestReleaseAnswersWhatIsUnderWay(t *testing.T) {
	test := func(t *testing.T, w *fixture) {
		d, e := w.open("d"), w.open("e")
		w.accept("m1", medium)
		d.ack(1)
		w.store.Script(func(_ context.Context, op memory.Op) memory.Fault {
			if op.Kind == memory.OpAppend {
				time.Sleep(100 * time.Millisecond)
			}
			return memory.Fault{}
		})
		var calls sync.WaitGroup
		calls.Go(func() { w.accept("m2", medium) })
		synctest.Wait()
		began, shard := time.Now(), w.route(alice).Shard
		calls.Go(func() {
			if err := w.g.Release(context.Background(), []protocol.ShardID{shard}); err != nil {
				t.Error(err)
			}
			if took := time.Since(began); took != 100*time.Millisecond {
				t.Errorf("release took %v; want as long as the append", took)
			}
		})
		synctest.Wait()
		e.ack(1)
		_, open := w.tryOpen("f")
		_, list := w.g.Devices(context.Background(), w.route(alice), alice)
		for what, err := range map[string]error{
			"publish": w.publish(w.message("m3", medium))[0].Err, "open": open, "list": list, "ack": w.ackBeside("e", byCursor(e.last())),
		} {
			var not *link.NotOwnerError
			if !errors.As(err, &not) || not.Reason != protocol.ReasonRebalance || not.Below != w.epoch+1 {
				t.Errorf("%s while releasing: %v; want rebalance, below %d", what, err, w.epoch+1)
			}
		}
		calls.Wait()
		if !d.lost {
			t.Error("the stream was not told")
		}
		w.check()
		d.got("m1")
		w.crash()
		w.open("d").got("m2")
		w.open("e").got("m1", "m2")
	}
	inSyncTest(t, nil, test)
}

// TestEndSavesAgainWhatTheStoreDidNotTake: acks are saved at the end of the gateway also where the store fails for a while, and it ends all
// the same where the store does not come back.
func TestEndSavesAgainWhatTheStoreDidNotTake(t *testing.T) {
	for _, c := range []struct {
		failures int
		saved    bool
	}{{2, true}, {1000, false}} {
		inSyncTest(t, nil, func(t *testing.T, w *fixture) {
			d := w.open("d")
			w.open("e") // for which the messages wait, so that d's record alone says what d has acked
			w.accept("m1", medium)
			w.accept("m2", medium)
			w.sleep(2 * w.cfg.SaveInterval)
			d.ack(1)
			left := c.failures
			w.store.Script(func(_ context.Context, op memory.Op) memory.Fault {
				if op.Kind != memory.OpSaveDevices || left == 0 {
					return memory.Fault{}
				}
				left--
				return memory.Fault{Err: store.ErrUnknown, Lost: true}
			})
			if err := w.g.Close(context.Background()); (err == nil) != c.saved {
				t.Errorf("after %d failures: close: %v", c.failures, err)
			}
			w.store.Close()
			w.start()
			want := []string{"m2"}
			if !c.saved {
				want = []string{"m1", "m2"}
			}
			w.open("d").got(want...)
		})
	}
}

// TestLeaseThatEndsWhileTheStoreWrites: what was written is not answered accepted, and is the next owner's to see.
func TestLeaseThatEndsWhileTheStoreWrites(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		epoch := w.epoch + 1
		all := []protocol.ShardID{0, 1, 2, 3}
		if err := w.g.Take(context.Background(), all, epoch, time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		w.epoch = epoch
		d := w.open("d")
		w.accept("m1", medium)
		w.sleep(900 * time.Millisecond)
		w.g.Renew(time.Now().Add(time.Second))
		w.sleep(900 * time.Millisecond)
		w.store.Script(func(_ context.Context, op memory.Op) memory.Fault {
			if op.Kind == memory.OpAppend {
				time.Sleep(200 * time.Millisecond)
			}
			return memory.Fault{}
		})
		if r := w.publish(w.message("m2", medium))[0]; !errors.Is(r.Err, link.ErrLost) {
			t.Errorf("publish: %+v; want the outcome to be unknown", r)
		}
		w.store.Script(nil)
		d.got("m1")
		if err := w.g.Serving(); !d.lost || !errors.Is(err, ErrNotServing) {
			t.Errorf("lost %v, serving %v", d.lost, err)
		}
		w.g.Renew(time.Now().Add(time.Hour))
		if err := w.g.Serving(); !errors.Is(err, ErrNotServing) {
			t.Errorf("a lease that had ended was renewed: %v", err)
		}
		w.take(epoch + 1)
		w.open("d").got("m1", "m2")
	})
}

// TestLeaseThatEndsUnseen: the lease ends while the store writes, and nothing has noticed when the store answers, as where the process
// was stopped meanwhile. The answer itself finds it: the publish is not accepted, and nothing is pushed.
func TestLeaseThatEndsUnseen(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		epoch, own := w.epoch+1, (*ownership)(nil)
		if err := w.g.Take(context.Background(), []protocol.ShardID{0, 1, 2, 3}, epoch, time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		w.epoch = epoch
		d := w.open("d")
		own = w.g.shards[w.route(alice).Shard].own.Load()
		w.store.Script(func(_ context.Context, op memory.Op) memory.Fault {
			if op.Kind == memory.OpAppend {
				own.lease.Store(w.g.sinceStart())
			}
			return memory.Fault{}
		})
		if r := w.publish(w.message("m1", medium))[0]; !errors.Is(r.Err, link.ErrLost) {
			t.Errorf("publish: %+v; want the outcome to be unknown", r)
		}
		synctest.Wait()
		d.got()
		if state := own.stateNow(); !d.lost || state != StateNone {
			t.Errorf("the stream is lost: %v, the shard is %v", d.lost, state)
		}
		w.store.Script(nil)
		w.take(epoch + 1)
		w.open("d").got("m1")
	})
}
