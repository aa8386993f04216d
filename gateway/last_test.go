package gateway

import (
	"context"
	"fmt"
	"testing"
	"time"

	"ramen/store"
	"ramen/store/memory"
)

// shares makes w's store one that compares last positions, that several may open, and that may lose.
func shares(w *fixture) {
	w.stop()
	w.shares = true
	w.disk = memory.NewDisk(memory.Config{IDRetention: w.cfg.IDRetention, CheckLast: true})
	w.start()
}

// TestLastIsWhatTheStoreHas: each append tells the mailbox's last position as it is in the store: after a load, after appends and
// recalls, and where one before failed, or its outcome is unknown and it was lost.
func TestLastIsWhatTheStoreHas(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		shares(w)
		n, told := 0, 0
		accept := func() {
			t.Helper()
			n++
			w.accept(fmt.Sprint("m", n), medium)
		}
		fail := func(f memory.Fault) {
			t.Helper()
			w.store.Script(func(_ context.Context, op memory.Op) memory.Fault {
				if op.Kind != memory.OpAppend {
					return memory.Fault{}
				}
				return f
			})
			if n++; w.publish(w.message(fmt.Sprint("m", n), medium))[0].Err == nil {
				t.Fatal("accepted")
			}
			w.store.Script(func(_ context.Context, op memory.Op) memory.Fault {
				if op.Kind == memory.OpAppend && op.Append.Last.Epoch != 0 {
					told++
				}
				return memory.Fault{}
			})
		}
		for range 3 {
			accept()
			accept()
			if ok, err := w.recall("m1"); err != nil || ok != (n == 2) {
				t.Fatal(ok, err)
			}
			fail(memory.Fault{Err: fmt.Errorf("scripted: no")})
			accept()
			fail(memory.Fault{Err: store.ErrUnknown, Lost: true})
			accept()
			fail(memory.Fault{Err: store.ErrUnknown, Lost: true})
			w.sleep(5 * time.Second) // written again by itself
			accept()
			w.unloadAll()
			accept()
			w.crash()
		}
		if told < 9 {
			t.Errorf("%d appends told a last position", told)
		}
	})
}
