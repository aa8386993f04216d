package gateway

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"ramen/link"
	"ramen/protocol"
	"ramen/store"
	"ramen/store/memory"
)

func TestSameIDInOneBatchIsDuplicate(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		d := w.open("d")
		r := w.publish(w.message("m1", medium), w.message("m1", high), w.message("m2", medium), w.message("m1", medium, user("bob")))
		for i, want := range []link.Status{link.StatusAccepted, link.StatusDuplicate, link.StatusAccepted, link.StatusAccepted} {
			if r[i].Status != want {
				t.Errorf("result %d is %+v; want %d", i, r[i], want)
			}
		}
		d.got("m1", "m2")
	})
}

func TestDuplicateWithinRetentionWhateverBecame(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		d := w.open("d")
		w.accept("acked", medium)
		d.ackAll()
		w.accept("expired", medium, ttl(time.Second))
		w.accept("recalled", medium)
		w.recall("recalled")
		w.accept("collapsed", medium, key("k"))
		w.accept("waits", medium, key("k"))
		w.sleep(3 * time.Second)
		all := []string{"acked", "expired", "recalled", "collapsed", "waits"}
		for _, id := range all {
			w.duplicate(id, high)
		}
		w.restart()
		for _, id := range all {
			w.duplicate(id, high)
		}
		w.crash()
		for _, id := range all {
			w.duplicate(id, high)
		}
		w.sleep(w.cfg.IDRetention - 4*time.Second) // within a second of the end
		for _, id := range all {
			w.duplicate(id, high)
		}
		w.sleep(2 * time.Second)
		w.duplicate("waits", high) // as long as it waits
		for _, id := range all[:4] {
			w.accept(id, high)
		}
	})
}

func TestDuplicateAsLongAsItWaitsAcrossUnloading(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		w.accept("m1", medium, ttl(30*time.Minute))
		w.sleep(10 * time.Minute)
		w.unloadAll()
		w.duplicate("m1", medium)
		w.recall("m1")
		w.accept("m1", medium)
	})
}

// TestDuplicateFromAcceptanceOn: a step that was in doubt for longer than ids are remembered is accepted when the store answers. From then on
// its id is a duplicate for the whole time, whether the store had done the first write or not, and whoever is asked.
func TestDuplicateFromAcceptanceOn(t *testing.T) {
	for _, lost := range []bool{false, true} {
		for name, then := range map[string]func(w *fixture){
			"InMemory": func(*fixture) {}, "Unloaded": (*fixture).unloadAll, "Restarted": (*fixture).restart, "Crashed": (*fixture).crash,
		} {
			t.Run(fmt.Sprintf("%s/lost=%v", name, lost), func(t *testing.T) {
				inSyncTest(t, nil, func(t *testing.T, w *fixture) {
					d := w.open("d")
					w.store.Script(func(_ context.Context, op memory.Op) memory.Fault {
						if op.Kind == memory.OpAppend {
							return memory.Fault{Err: store.ErrUnknown, Lost: lost}
						}
						return memory.Fault{}
					})
					all := []string{"acked", "expired", "killed"}
					w.publish(w.message("acked", medium, ttl(time.Hour)), w.message("expired", medium, ttl(time.Minute)), w.message("killed", medium, ttl(time.Hour), key("k")))
					w.sleep(w.cfg.IDRetention + time.Minute)
					w.store.Script(nil)
					accepted := time.Now()
					w.sleep(2 * time.Second) // it is written again
					d.ackAll()
					w.accept("kills", medium, key("k"))
					w.sleep(2 * time.Second)
					d.close()
					then(w)
					for _, id := range all {
						w.duplicate(id, high)
					}
					w.sleep(time.Until(accepted.Add(w.cfg.IDRetention - time.Second)))
					for _, id := range all {
						w.duplicate(id, high)
					}
					w.sleep(4 * time.Second)
					for _, id := range all {
						w.accept(id, high)
					}
				})
			})
		}
	}
}

// TestDuplicateIsSaidOnlyOnceTheFirstIsDurable: a second publish under way with the first shares its fate.
func TestDuplicateIsSaidOnlyOnceTheFirstIsDurable(t *testing.T) {
	for _, fails := range []bool{false, true} {
		inSyncTest(t, nil, func(t *testing.T, w *fixture) {
			open := make(chan struct{})
			w.store.Script(func(_ context.Context, op memory.Op) memory.Fault {
				if op.Kind != memory.OpAppend {
					return memory.Fault{}
				}
				<-open
				if fails {
					return memory.Fault{Err: errors.New("scripted")}
				}
				return memory.Fault{}
			})
			answers := make(chan link.Result, 3)
			go func() { answers <- w.publish(w.message("m1", medium))[0] }()
			synctest.Wait()
			go func() { answers <- w.publish(w.message("m1", medium))[0] }()
			synctest.Wait()
			select {
			case r := <-answers:
				t.Fatalf("answered %+v before the write was done", r)
			default:
			}
			close(open)
			first, second := <-answers, <-answers
			switch {
			case fails && (first.Status != link.StatusRejected || second.Status != link.StatusRejected):
				t.Errorf("%+v and %+v; want both rejected", first, second)
			case !fails && first.Status+second.Status != link.StatusAccepted+link.StatusDuplicate:
				t.Errorf("%+v and %+v; want accepted and duplicate", first, second)
			}
			w.store.Script(nil)
			if fails {
				w.accept("m1", medium)
			}
			w.wantWaiting("m1")
		})
	}
}

func TestTwinsInOneBatchFailTogether(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		w.store.Script(func(_ context.Context, op memory.Op) memory.Fault {
			if op.Kind == memory.OpAppend {
				return memory.Fault{Err: errors.New("scripted")}
			}
			return memory.Fault{}
		})
		for i, r := range w.publish(w.message("m1", medium), w.message("m1", medium)) {
			if r.Status != link.StatusRejected {
				t.Errorf("result %d is %+v", i, r)
			}
			wantCode(t, r.Err, protocol.CodeUnavailable)
		}
		w.store.Script(nil)
		w.accept("m1", medium)
	})
}

func TestWhereIsJudgedOnceAndStands(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		ios := w.open("ios", context_(protocol.DeviceContext{OS: "ios", Labels: map[string]string{"plan": "gold"}}))
		android := w.open("android", context_(protocol.DeviceContext{OS: "android"}))
		if r := w.accept("m1", medium, where("os", "ios", "label.plan", "gold")); r.Devices != 1 {
			t.Errorf("accepted for %d devices; want 1", r.Devices)
		}
		ios.got("m1")
		android.got()
		android.stream.Refresh(&protocol.DeviceContext{OS: "ios", Labels: map[string]string{"plan": "gold"}})
		ios.stream.Refresh(&protocol.DeviceContext{OS: "android"})
		w.accept("m2", medium)
		android.got("m2") // turned away before, and for good
		android = w.open("android", context_(protocol.DeviceContext{OS: "ios", Labels: map[string]string{"plan": "gold"}}))
		android.got("m2")
		ios = w.open("ios", context_(protocol.DeviceContext{OS: "android"}))
		ios.got("m1", "m2") // wanted before, and for good
		if !ios.pushes[0].Redelivered {
			t.Error("m1 again is not marked redelivered")
		}
		ios.ackAll()
		w.wantWaiting("m2")
	})
}

// TestWhereIsJudgedThoughTheWindowIsFull: when it is first the next, room or not. SPEC 9.
func TestWhereIsJudgedThoughTheWindowIsFull(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		d := w.open("d", window(1))
		w.accept("m1", medium)
		w.accept("ios", medium, where("os", "ios"))
		w.accept("android", medium, where("os", "android"))
		d.stream.Refresh(&protocol.DeviceContext{OS: "android"})
		d.ack(1)
		d.got("m1", "ios") // judged as the next, android not yet
		d.ack(2)
		d.got("m1", "ios", "android")
	})
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		d := w.open("d", window(1))
		w.accept("m1", medium)
		w.accept("android", medium, where("os", "android"))
		d.stream.Refresh(&protocol.DeviceContext{OS: "android"})
		d.ack(1)
		d.got("m1")
	})
}

func TestWhereNobodyWantsWaitsForTheFirstWhoDoes(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		a := w.open("a", context_(protocol.DeviceContext{OS: "android"}))
		w.accept("m1", medium, where("os", "ios"))
		w.accept("m2", medium)
		a.got("m2")
		a.ackAll()
		w.wantWaiting("m1")
		w.restart()
		b := w.open("b")
		b.got("m1")
		b.ackAll()
		w.open("a", context_(protocol.DeviceContext{OS: "android"})).got()
	})
}

func TestTurnedAwayNoLongerHoldsBack(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		a, b := w.open("a"), w.open("b", context_(protocol.DeviceContext{OS: "android"}))
		w.accept("m1", medium, where("os", "ios"))
		a.ackAll()
		w.wantWaiting()
		c := w.attach("c", context_(protocol.DeviceContext{OS: "android"}))
		w.accept("m2", medium, where("os", "ios"))
		a.ackAll()
		w.wantWaiting()
		c.stream.Credit(plenty)
		c.got()
		b.got()
	})
}
