package gateway

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"ramen/link"
	"ramen/protocol"
	"ramen/store"
	"ramen/store/memory"
)

func TestExpiredIsNotPushed(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		w.accept("m1", high, ttl(time.Second))
		w.accept("m2", low)
		w.sleep(time.Second) // to the ms: no sweep has come by
		d := w.open("d")
		d.got("m2")
	})
}

func TestExpiredWhileItWaitedForCreditIsNotPushed(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		d := w.attach("d")
		w.accept("m1", high, ttl(time.Second))
		w.accept("m2", low)
		w.sleep(time.Second) // to the ms: no sweep has come by
		d.stream.Credit(plenty)
		d.got("m2")
	})
}

func TestExpiredIsNotPushedAgain(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		w.open("d")
		w.accept("m1", high, ttl(time.Second))
		w.accept("m2", low)
		w.sleep(time.Second)
		w.open("d").got("m2")
	})
}

func TestHelloCountsWhatExpiredSinceTheLast(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		short := ttl(time.Second)
		w.accept("before", medium, short)
		w.sleep(3 * time.Second)
		d := w.open("d")
		w.open("e").close()
		if d.opened.Expired != 0 {
			t.Errorf("first hello tells of %d", d.opened.Expired)
		}
		w.accept("both", medium, short)
		w.accept("for e", medium, short, to("e"))
		w.accept("acked by d", medium, short)
		w.accept("for ios", medium, short, where("os", "ios"))
		w.accept("for android", medium, short, where("os", "android"))
		w.accept("collapsed", medium, short, key("k"))
		w.accept("newer", medium, short, key("k"))
		w.accept("recalled", medium, short)
		w.recall("recalled")
		w.accept("stays", medium)
		d.close()
		if err := w.ackBeside("d", byCursor(d.pushes[1].Cursor)); err != nil { // both, acked by d
			t.Fatal(err)
		}
		w.accept("offline", high, short)
		w.accept("unjudged", medium, short, where("os", "ios"))
		w.sleep(time.Second)                         // to the ms: counted though not swept yet
		if n := w.open("d").opened.Expired; n != 3 { // for ios, newer, offline; nobody knows of unjudged
			t.Errorf("hello tells d of %d expired; want 3", n)
		}
		if n := w.open("d").opened.Expired; n != 0 {
			t.Errorf("the next hello tells d of %d expired; want 0", n)
		}
		w.restart()
		if n := w.open("e").opened.Expired; n != 5 { // both, for e, acked by d, newer, offline
			t.Errorf("hello tells e of %d expired; want 5", n)
		}
		if n := w.open("d").opened.Expired; n != 0 {
			t.Errorf("after a restart hello tells d of %d expired; want 0", n)
		}
	})
}

func TestExpiredWhileDownIsCounted(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		w.open("d").close()
		w.accept("m1", medium, ttl(2*time.Second))
		w.stop()
		w.sleep(5 * time.Second)
		w.start()
		if n := w.open("d").opened.Expired; n != 1 {
			t.Errorf("hello tells of %d expired; want 1", n)
		}
	})
}

// TestLossIsNeverInvented: the process dies at every write that follows an expiry, told or not; what hellos say
// together is never more than what was lost.
func TestLossIsNeverInvented(t *testing.T) {
	for die := range 8 {
		for _, told := range []bool{false, true} {
			t.Run(fmt.Sprintf("die at %d, told %v", die, told), func(t *testing.T) {
				inSyncTest(t, nil, func(t *testing.T, w *fixture) { loseAt(t, w, die, told) })
			})
		}
	}
}

func loseAt(t *testing.T, w *fixture, die int, told bool) {
	w.open("d").close()
	w.sleep(3 * time.Second)
	w.accept("m1", medium, ttl(time.Second))
	w.accept("m2", medium, ttl(1100*time.Millisecond))
	writes := 0
	w.store.Script(func(_ context.Context, op memory.Op) memory.Fault {
		if op.Kind == memory.OpSaveDevices || op.Kind == memory.OpForget {
			if writes++; writes > die {
				return memory.Fault{Lost: true, Err: errors.New("dead")}
			}
		}
		return memory.Fault{}
	})
	var sum uint32
	if told {
		w.sleep(1100 * time.Millisecond) // not swept or saved yet
	} else {
		w.sleep(5 * time.Second)
	}
	sum += w.open("d").opened.Expired
	w.crash()
	sum += w.open("d").opened.Expired
	if sum > 2 {
		t.Errorf("told of %d losses; there were 2", sum)
	}
	w.crash()
	if sum += w.open("d").opened.Expired; sum > 2 {
		t.Errorf("told of %d losses in the end; there were 2", sum)
	}
}

func TestCollapseReplacesTheSameTargetAlone(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		w.accept("all", medium, key("k"))
		w.accept("d", medium, key("k"), to("d"))
		w.accept("ios", medium, key("k"), where("os", "ios", "app", "a"))
		w.accept("other key", medium, key("k2"))
		w.accept("no key", medium)
		w.wantWaiting("all", "d", "ios", "other key", "no key")
		w.accept("all2", high, key("k")) // across priorities
		w.wantWaiting("all2", "d", "ios", "other key", "no key")
		w.accept("ios2", medium, key("k"), where("app", "a", "os", "ios"))
		w.wantWaiting("all2", "d", "other key", "no key", "ios2")
		w.accept("all3", low, key("k"))
		w.accept("d2", medium, key("k"), to("d"))
		w.wantWaiting("other key", "no key", "ios2", "d2", "all3")
		w.crash()
		w.wantWaiting("other key", "no key", "ios2", "d2", "all3")
		w.accept("all4", high, key("k")) // a loaded mailbox knows its keys
		w.wantWaiting("all4", "other key", "no key", "ios2", "d2")
	})
}

func TestCollapseInOneBatch(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		d := w.open("d")
		var batch []link.Publish
		for _, id := range ids("m", 1, 5) {
			batch = append(batch, w.message(id, medium, key("k")))
		}
		for _, r := range w.publish(batch...) {
			if r.Status != link.StatusAccepted {
				t.Fatalf("%+v", r)
			}
		}
		d.got("m5")
		w.crash()
		w.wantWaiting("m5")
		w.duplicate("m1", medium)
	})
}

func TestReplacedIsNotPushedAgain(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		d := w.open("d")
		w.accept("m1", medium, key("k"))
		w.accept("m2", medium, key("k"))
		d.got("m1", "m2")
		w.open("d").got("m2")
		w.crash()
		w.open("d").got("m2")
	})
}

// unsureScript lets n appends have an unknown outcome, with effect or without.
func unsureScript(w *fixture, n int, lost bool) {
	w.store.Script(func(_ context.Context, op memory.Op) memory.Fault {
		if op.Kind == memory.OpAppend {
			if n--; n >= 0 {
				return memory.Fault{Err: fmt.Errorf("scripted: %w", store.ErrUnknown), Lost: lost}
			}
		}
		return memory.Fault{}
	})
}

func TestUnknownIsWrittenAgain(t *testing.T) {
	for _, lost := range []bool{false, true} {
		inSyncTest(t, nil, func(t *testing.T, w *fixture) {
			d := w.open("d")
			unsureScript(w, 3, lost)
			w.refuse(protocol.CodeUnavailable, "m1", medium)
			w.check()
			w.refuse(protocol.CodeUnavailable, "m2", high)
			d.got()
			w.refuse(protocol.CodeUnavailable, "m1", medium) // its first try is still unknown
			w.check()
			w.sleep(3 * time.Second)
			d.got("m2", "m1")
			w.duplicate("m1", medium)
			w.crash()
			w.wantWaiting("m2", "m1")
			w.duplicate("m2", high)
		})
	}
}

// TestRetryOfUnknownIsDuplicateAndPushed: the retry makes the first sure, and whoever made it sure pushes it.
func TestRetryOfUnknownIsDuplicateAndPushed(t *testing.T) {
	for _, lost := range []bool{false, true} {
		inSyncTest(t, nil, func(t *testing.T, w *fixture) {
			d := w.open("d")
			unsureScript(w, 1, lost)
			w.refuse(protocol.CodeUnavailable, "m1", medium)
			w.duplicate("m1", medium)
			d.got("m1")
			d.ackAll()
			w.crash()
			w.open("d", at(d.last())).got()
		})
	}
}

func TestCollapseOfUnknown(t *testing.T) {
	for _, lost := range []bool{false, true} {
		inSyncTest(t, nil, func(t *testing.T, w *fixture) {
			d := w.open("d")
			w.accept("m1", medium, key("k"))
			unsureScript(w, 2, lost)
			w.refuse(protocol.CodeUnavailable, "m2", medium, key("k")) // replaces m1, perhaps
			w.wantWaiting("m1")
			w.refuse(protocol.CodeUnavailable, "m3", medium, key("k"))
			w.accept("m4", medium, key("k"))
			w.wantWaiting("m4")
			d.got("m1", "m4")
			w.crash()
			w.wantWaiting("m4")
		})
	}
}

func TestRecallOfUnknown(t *testing.T) {
	for _, lost := range []bool{false, true} {
		inSyncTest(t, nil, func(t *testing.T, w *fixture) {
			d := w.open("d")
			unsureScript(w, 1, lost)
			w.refuse(protocol.CodeUnavailable, "m1", medium)
			if ok, err := w.recall("m1"); !ok || err != nil {
				t.Fatalf("recall: %v, %v", ok, err)
			}
			w.wantWaiting()
			w.crash()
			w.wantWaiting()
			d.got()
		})
	}
}

// TestUnknownRecallIsNotForgotten: its kill reaches the store in the end.
func TestUnknownRecallIsNotForgotten(t *testing.T) {
	for _, lost := range []bool{false, true} {
		inSyncTest(t, nil, func(t *testing.T, w *fixture) {
			d := w.attach("d")
			w.accept("m1", medium)
			unsureScript(w, 1, lost)
			_, err := w.recall("m1")
			wantCode(t, err, protocol.CodeUnavailable)
			w.sleep(3 * time.Second)
			w.wantWaiting()
			w.crash()
			w.wantWaiting()
			d.got()
		})
	}
}

func TestRecallIsDurable(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		d := w.open("d")
		w.accept("m1", medium)
		w.accept("m2", medium)
		for i, want := range []bool{true, false} {
			if ok, err := w.recall("m1"); ok != want || err != nil {
				t.Fatalf("recall %d: %v, %v", i, ok, err)
			}
		}
		if ok, err := w.recall("none"); ok || err != nil {
			t.Fatal(ok, err)
		}
		w.wantWaiting("m2")
		w.crash()
		w.wantWaiting("m2")
		w.duplicate("m1", medium)
		again := w.open("d")
		again.got("m2")
		again.ackAll()
		if ok, err := w.recall("m2"); ok || err != nil {
			t.Fatalf("recall of what was acked: %v, %v", ok, err)
		}
		w.accept("m3", medium, ttl(time.Second))
		w.sleep(time.Second)
		if ok, err := w.recall("m3"); ok || err != nil {
			t.Fatalf("recall of what has expired: %v, %v", ok, err)
		}
		d.ended(protocol.ReasonNone)
	})
}
