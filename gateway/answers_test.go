package gateway

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ramen/link"
	"ramen/protocol"
	"ramen/store"
	"ramen/store/memory"
)

// holdAppends has the appends of a user wait until release.
func holdAppends(w *fixture, user protocol.UserID) (release func()) {
	released := make(chan struct{})
	w.store.Script(func(ctx context.Context, op memory.Op) memory.Fault {
		if op.Kind == memory.OpAppend && op.User == user {
			select {
			case <-released:
			case <-ctx.Done():
				return memory.Fault{Err: store.ErrUnknown}
			}
		}
		return memory.Fault{}
	})
	return func() { close(released); synctest.Wait() }
}

// TestSlowUserHoldsUpNobody: while the store is slow for one user, others are published to, those of the same call included.
func TestSlowUserHoldsUpNobody(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		d, slow := w.open("d"), w.open("d", ofUser("slow"))
		release := holdAppends(w, "slow")
		var results []link.Result
		go func() {
			results = w.publish(w.message("s1", medium, user("slow")), w.message("m1", medium))
		}()
		synctest.Wait()
		d.got("m1")
		w.accept("m2", medium)
		var later link.Result
		go func() { later = w.publish(w.message("s2", medium, user("slow")))[0] }()
		w.accept("m3", medium)
		synctest.Wait()
		d.got("m1", "m2", "m3")
		slow.got()
		if results != nil || later.Status != link.StatusUnspecified {
			t.Fatalf("answered before the store has: %v, %v", results, later)
		}
		release()
		slow.got("s1", "s2")
		for _, r := range append(results, later) {
			if r.Status != link.StatusAccepted {
				t.Errorf("result %+v", r)
			}
		}
	})
}

// TestWhatWaitsForAStepIsOneStep: publishes to a user with a write under way wait for it, share the next write, and keep their order.
func TestWhatWaitsForAStepIsOneStep(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		d := w.open("d")
		appends := 0
		released := make(chan struct{})
		w.store.Script(func(_ context.Context, op memory.Op) memory.Fault {
			if op.Kind == memory.OpAppend {
				if appends++; appends == 1 {
					<-released
				}
			}
			return memory.Fault{}
		})
		var all sync.WaitGroup
		for i := range 5 {
			all.Go(func() { w.accept(fmt.Sprint("m", i), medium) })
			synctest.Wait()
		}
		close(released)
		all.Wait()
		d.got("m0", "m1", "m2", "m3", "m4")
		if appends != 2 {
			t.Errorf("%d appends, want 2", appends)
		}
	})
}

// TestLateWriteChangesNothing: a write that was answered unknown, was written again, and then arrives: nothing is lost, doubled or
// brought back.
func TestLateWriteChangesNothing(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		d := w.open("d")
		late := new(memory.Delayed)
		w.store.Script(func(_ context.Context, op memory.Op) memory.Fault {
			if op.Kind == memory.OpAppend {
				return memory.Fault{Err: store.ErrUnknown, Late: late}
			}
			return memory.Fault{}
		})
		w.refuse(protocol.CodeUnavailable, "m1", medium, key("k"))
		w.store.Script(nil)
		d.got()
		w.accept("m2", medium, key("k"))
		w.duplicate("m1", medium, key("k"))
		late.Arrive()
		d.got("m2")
		d.ackAll()
		w.sleep(3 * w.cfg.SaveInterval)
		w.crash()
		w.wantWaiting()
	})
}

// TestSaveThatFailsHoldsUpNobody: what one user's devices have acked is not saved, and what others' have is.
func TestSaveThatFailsHoldsUpNobody(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		w.store.Script(func(_ context.Context, op memory.Op) memory.Fault {
			if (op.Kind == memory.OpForget || op.Kind == memory.OpSaveDevices && !op.Durable) && op.User == "slow" {
				return memory.Fault{Err: errors.New("scripted")}
			}
			return memory.Fault{}
		})
		for _, u := range []string{"slow", string(alice)} {
			d := w.open("d", ofUser(u))
			w.accept("m1", medium, user(u))
			d.ackAll()
		}
		w.sleep(3 * w.cfg.SaveInterval)
		for u, want := range map[protocol.UserID]int{"slow": 1, alice: 0} {
			r := w.route(u)
			m, err := w.store.Load(context.Background(), store.Owner{Shard: r.Shard, Epoch: r.Epoch}, u)
			if err != nil || len(m.Entries) != want || len(m.Devices) != 1 || (m.Devices[0].Acked.Seq == 1) != (want == 0) {
				t.Errorf("the store has of %s: %+v, %v", u, m, err)
			}
		}
		w.store.Script(nil)
		w.sleep(3 * w.cfg.SaveInterval)
	})
}

// TestAnswersInAnyOrder has a store that answers each user at another time, late, never and out of order: every accepted message is
// pushed once, in order of acceptance, and what was refused as unknown at most once.
func TestAnswersInAnyOrder(t *testing.T) {
	for range 5 {
		seed := uint64(time.Now().UnixNano())
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			inSyncTest(t, func(c *Config) { c.PublishesPerSecond = 0 }, func(t *testing.T, w *fixture) { answerInAnyOrder(t, w, seed) })
		})
	}
}

func answerInAnyOrder(t *testing.T, w *fixture, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 1))
	var mu sync.Mutex // guards rng, late
	var late []*memory.Delayed
	chance := func(n int) int { mu.Lock(); defer mu.Unlock(); return rng.IntN(n) }
	w.store.Script(func(ctx context.Context, op memory.Op) memory.Fault {
		if op.Kind != memory.OpAppend {
			return memory.Fault{}
		}
		select {
		case <-time.After(time.Duration(chance(600)) * time.Millisecond):
		case <-ctx.Done():
			return memory.Fault{Err: store.ErrUnknown, Lost: chance(2) == 0}
		}
		switch chance(10) {
		case 0:
			return memory.Fault{Err: store.ErrUnknown, Lost: chance(2) == 0}
		case 1:
			d := new(memory.Delayed)
			mu.Lock()
			late = append(late, d)
			mu.Unlock()
			return memory.Fault{Err: store.ErrUnknown, Late: d}
		case 2:
			return memory.Fault{Err: errors.New("scripted")}
		}
		return memory.Fault{}
	})
	users := []string{"u", "v", "w", string(alice)}
	devices := make(map[string]*recorder)
	for _, u := range users {
		devices[u] = w.open("d", ofUser(u), window(1000))
	}
	accepted := make(map[string][]string)
	var calls sync.WaitGroup
	for c := range 40 {
		calls.Go(func() {
			time.Sleep(time.Duration(chance(5000)) * time.Millisecond)
			var batch []link.Publish
			for i := range 1 + chance(4) {
				batch = append(batch, w.message(fmt.Sprintf("m%d.%d", c, i), medium, user(users[chance(len(users))])))
			}
			for i, r := range w.publish(batch...) {
				if r.Status == link.StatusAccepted {
					mu.Lock()
					accepted[string(batch[i].User)] = append(accepted[string(batch[i].User)], string(batch[i].Message.ID))
					mu.Unlock()
				}
			}
			mu.Lock()
			arriving := late
			late = nil
			mu.Unlock()
			for _, d := range arriving {
				d.Arrive()
			}
		})
	}
	calls.Wait()
	w.store.Script(nil)
	w.sleep(5 * time.Second) // what is in doubt is written again
	for _, u := range users {
		got := devices[u].ids()
		if once := slices.Compact(slices.Sorted(slices.Values(got))); len(once) != len(got) {
			t.Errorf("user %s got a message twice: %v", u, got)
		}
		for _, id := range accepted[u] {
			if !slices.Contains(got, id) {
				t.Errorf("user %s never got %s, which was accepted", u, id)
			}
		}
		r := w.route(protocol.UserID(u))
		m, err := w.store.Load(context.Background(), store.Owner{Shard: r.Shard, Epoch: r.Epoch}, protocol.UserID(u))
		if err != nil || len(m.Entries) != len(got) {
			t.Errorf("the store has %d messages of user %s, error %v; %d were pushed", len(m.Entries), u, err, len(got))
			continue
		}
		for i := range got {
			if string(m.Entries[i].Message.ID) != got[i] {
				t.Errorf("message %d of user %s is %s in the store, %s was pushed", i, u, m.Entries[i].Message.ID, got[i])
			}
		}
	}
}
