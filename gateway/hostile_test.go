package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ramen/link"
	"ramen/protocol"
	"ramen/store"
	"ramen/store/memory"
)

// TestAckLostInACrashIsNoLoss: the device acked, the process died before it saved that, and the message's time is over
// before the device is back. Its cursor says that it had it. SPEC 2.2.
func TestAckLostInACrashIsNoLoss(t *testing.T) {
	for name, c := range map[string]struct {
		down  time.Duration // until the mailbox is loaded again
		after time.Duration // from then until the device is back
		acked int           // of three
		come  func(r *recorder) func(*link.Open)
		told  uint32
	}{
		"expired while down":   {5 * time.Second, 0, 3, func(r *recorder) func(*link.Open) { return at(r.last()) }, 0},
		"expired behind":       {5 * time.Second, 0, 2, func(r *recorder) func(*link.Open) { return at(r.pushes[1].Cursor) }, 1},
		"expired since":        {0, 5 * time.Second, 3, func(r *recorder) func(*link.Open) { return at(r.last()) }, 0},
		"expired since behind": {0, 5 * time.Second, 1, func(r *recorder) func(*link.Open) { return at(r.pushes[0].Cursor) }, 2},
		"nobody can tell":      {5 * time.Second, 0, 3, func(*recorder) func(*link.Open) { return func(*link.Open) {} }, 0},
		"its socket is back":   {5 * time.Second, 0, 2, func(r *recorder) func(*link.Open) { return reopens(r, 2) }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			inSyncTest(t, nil, func(t *testing.T, w *fixture) {
				d := w.open("d")
				w.sleep(3 * time.Second) // that it is there is saved
				for i := range 3 {
					w.accept(fmt.Sprint("m", i), medium, ttl(3*time.Second))
				}
				d.got("m0", "m1", "m2")
				d.ack(protocol.Seq(c.acked))
				w.store.Close() // the process dies
				w.sleep(c.down)
				w.crash()
				w.waiting() // in memory
				w.sleep(c.after)
				again := w.open("d", c.come(d))
				told := again.opened.Expired
				if told == 0 {
					again = w.open("d", at(again.last())) // a re-open is no hello
					told = again.opened.Expired
				}
				if told != c.told {
					t.Errorf("told of %d losses; want %d", told, c.told)
				}
				if n := w.open("d", at(again.last())).opened.Expired; n != 0 {
					t.Errorf("then told of %d losses; want 0", n)
				}
			})
		})
	}
}

// TestExpiryWakesWhatItHeldUp: the next message does not fit the window. When it has expired, a smaller one does.
func TestExpiryWakesWhatItHeldUp(t *testing.T) {
	for name, expire := range map[string]func(w *fixture){
		"swept":              func(*fixture) {},
		"met by another":     func(w *fixture) { time.Sleep(1001 * time.Millisecond); w.attach("e") },
		"found by a refresh": func(w *fixture) { time.Sleep(1001 * time.Millisecond); w.attach("e").stream.Refresh(nil) },
	} {
		t.Run(name, func(t *testing.T) {
			inSyncTest(t, nil, func(t *testing.T, w *fixture) {
				d := w.open("d", over(protocol.TransportPoll))
				w.accept("big", medium, payload(4<<20-100))
				w.accept("next", medium, payload(200), ttl(time.Second))
				w.accept("small", medium, payload(50))
				d.got("big")
				expire(w)
				w.sleep(3 * time.Second)
				d.got("big", "small")
			})
		})
	}
}

// slowDisk scripts a disk that writes so many bytes a second, one append after the other. What is not done by the
// deadline is unknown, and goes on.
func slowDisk(w *fixture, bytesPerSecond int) {
	var mu sync.Mutex
	var free time.Time // when the disk has done what it was given
	w.store.Script(func(ctx context.Context, op memory.Op) memory.Fault {
		if op.Kind != memory.OpAppend {
			return memory.Fault{}
		}
		n := 0
		for _, e := range op.Append.Entries {
			n += e.Message.Size()
		}
		mu.Lock()
		free = time.UnixMicro(max(free.UnixMicro(), time.Now().UnixMicro())).Add(time.Duration(n) * time.Second / time.Duration(bytesPerSecond))
		wait := time.Until(free)
		mu.Unlock()
		select {
		case <-time.After(wait):
			return memory.Fault{}
		case <-ctx.Done():
			return memory.Fault{Err: fmt.Errorf("scripted: %w", store.ErrUnknown)}
		}
	})
}

// TestBurstOnASlowDiskEnds: what was written too late is written again, in pieces that the disk can do in time.
// Otherwise it would be written again for ever.
func TestBurstOnASlowDiskEnds(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		slowDisk(w, 20<<20)
		var calls sync.WaitGroup
		for c := range 12 { // 12 calls of 4 MiB, half of them to one user
			calls.Go(func() {
				var batch []link.Publish
				for i := range 64 {
					m := w.message(fmt.Sprintf("m%d.%d", c, i), medium, payload(64<<10))
					if c%2 == 0 {
						m.User = protocol.UserID(fmt.Sprint("u", c, ".", i))
						m.Route = w.route(m.User)
					}
					batch = append(batch, m)
				}
				w.publish(batch...)
			})
		}
		calls.Wait()
		w.sleep(30 * time.Second)
		for i := range w.g.shards {
			for _, b := range w.g.shards[i].boxes {
				if b.InDoubt() {
					t.Fatalf("writes for %s are still in doubt", b.User())
				}
			}
		}
		w.accept("after", high)
	})
}

// TestQueueOfPublishesIsBounded: where the store hangs, publishes are refused long before memory is full of them.
func TestQueueOfPublishesIsBounded(t *testing.T) {
	edit := func(c *Config) { c.PublishesPerSecond = 0 }
	for name, call := range map[string]struct{ calls, messages, bytes int }{
		"large": {100, 1, 1 << 20},
		"small": {400, 1000, 10},
	} {
		t.Run(name, func(t *testing.T) {
			inSyncTest(t, edit, func(t *testing.T, w *fixture) {
				slowDisk(w, 1)
				var calls sync.WaitGroup
				began := time.Now()
				for c := range call.calls {
					var batch []link.Publish
					for i := range call.messages {
						batch = append(batch, w.message(fmt.Sprintf("m%d.%d", c, i), medium, payload(call.bytes), user(fmt.Sprint("u", c))))
					}
					calls.Go(func() {
						for _, r := range w.publish(batch...) {
							if r.Status != link.StatusRejected {
								t.Errorf("status %d", r.Status)
							}
						}
					})
				}
				calls.Wait()
				if took := time.Since(began); took > 25*time.Second {
					t.Errorf("the last was answered after %v", took)
				}
				w.store.Script(nil)
				w.sleep(5 * time.Second)
			})
		})
	}
}

// TestRecallOfWhatIsBeingRecalledWaits: that the message is gone is said only once that is durable.
func TestRecallOfWhatIsBeingRecalledWaits(t *testing.T) {
	for _, lost := range []bool{false, true} {
		inSyncTest(t, nil, func(t *testing.T, w *fixture) {
			w.accept("m1", medium)
			w.accept("m2", medium, key("k"))
			unsureScript(w, 4, lost)
			for range 2 {
				_, err := w.recall("m1")
				wantCode(t, err, protocol.CodeUnavailable)
			}
			w.refuse(protocol.CodeUnavailable, "m3", medium, key("k"))
			_, err := w.recall("m2") // being replaced
			wantCode(t, err, protocol.CodeUnavailable)
			if ok, err := w.recall("m1"); !ok || err != nil {
				t.Errorf("recall again: %v, %v; want true", ok, err)
			}
			w.wantWaiting("m3")
			if ok, err := w.recall("m2"); ok || err != nil {
				t.Errorf("recall of what was replaced: %v, %v; want false", ok, err)
			}
			if w.look().InDoubt {
				t.Error("something is still in doubt")
			}
			w.crash()
			w.wantWaiting("m3")
		})
	}
}

// TestRememberedIDsCountAsMemory: ids outlive their messages, and must not fill the memory unseen.
func TestRememberedIDsCountAsMemory(t *testing.T) {
	edit := func(c *Config) { c.PublishesPerSecond = 0; c.MemoryBytes = 16 << 20 }
	inSyncTest(t, edit, func(t *testing.T, w *fixture) {
		d := w.open("d")
		refused := 0
		for i := 0; i < 1000 && refused == 0; i++ {
			var batch []link.Publish
			for k := range 1000 {
				batch = append(batch, w.message(fmt.Sprintf("m%d.%d", i, k), low))
			}
			for _, r := range w.publish(batch...) {
				if r.Status != link.StatusAccepted {
					wantCode(t, r.Err, protocol.CodeUnavailable)
					refused++
				}
			}
			for len(w.waiting()) > 0 {
				d.ackAll()
			}
		}
		if refused == 0 {
			t.Error("a million ids are remembered in 16 MiB")
		}
		w.check()
		w.sleep(w.cfg.IDRetention + 2*time.Minute)
		w.accept("after", low)
		w.unload(d)
		if n := w.g.common.Ledger.Memory.Load(); n != 0 {
			t.Errorf("%d bytes are left of nothing", n)
		}
	})
}

func (w *fixture) unload(d *recorder) { d.close(); w.unloadAll() }

// TestHungLoadsEndWithTheCaller: a batch for many users does not wait for the deadline of each.
func TestHungLoadsEndWithTheCaller(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		w.store.Script(func(ctx context.Context, op memory.Op) memory.Fault {
			if op.Kind == memory.OpLoad {
				<-ctx.Done()
				return memory.Fault{Err: ctx.Err()}
			}
			return memory.Fault{}
		})
		var batch []link.Publish
		for i := range 1000 {
			batch = append(batch, w.message("m", medium, user(fmt.Sprint("u", i))))
		}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		began := time.Now()
		for _, r := range w.g.Publish(ctx, batch) {
			wantCode(t, r.Err, protocol.CodeUnavailable)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("the call took %v", took)
		}
	})
}

// TestManyDevicesAreSavedInPortions: one write of a hundred thousand would hold up the appends, and miss its deadline.
func TestManyDevicesAreSavedInPortions(t *testing.T) {
	inSyncTest(t, func(c *Config) { c.OpensPerSecond = 0; c.DevicesPerUser = 1024 }, func(t *testing.T, w *fixture) {
		s := &sizes{Store: w.store}
		w.g.store = s
		for u := range 6 {
			for d := range 1000 {
				w.open(fmt.Sprint("d", d), ofUser(fmt.Sprint("u", u)))
			}
		}
		w.sleep(3 * time.Second)
		w.restart()
		if largest := slices.Max(s.saves); largest > 4096 {
			t.Errorf("%d devices were saved in one write", largest)
		}
	})
}

type sizes struct {
	*memory.Store
	saves []int
}

func (s *sizes) SaveDevices(ctx context.Context, batch []store.DeviceSave, durable bool) []error {
	s.saves = append(s.saves, len(batch))
	return s.Store.SaveDevices(ctx, batch, durable)
}

// A client makes up a device with each open while the store does not save. Each failed save puts back once each what is forgotten
// by then, and the store forgets it when it saves again.
func TestDevicesForgottenInAnOutageAreKeptOnce(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		for i := range 10 {
			w.open(fmt.Sprint("d", i)).close()
		}
		var down atomic.Bool
		down.Store(true)
		w.store.Script(func(_ context.Context, op memory.Op) memory.Fault {
			if down.Load() && op.Kind == memory.OpSaveDevices {
				return memory.Fault{Err: errors.New("scripted")}
			}
			return memory.Fault{}
		})
		const made = 500
		for i := range made {
			if _, err := w.tryOpen(fmt.Sprint("x", i)); err == nil {
				t.Fatal("hello although the device was not saved")
			}
			if i%50 == 0 {
				w.sleep(w.cfg.SaveInterval * 5 / 2) // saves fail meanwhile
			}
		}
		w.sleep(w.cfg.SaveInterval * 5 / 2)
		forgotten := 10 + made - w.cfg.DevicesPerUser
		times := make(map[protocol.DeviceID]int)
		dirty := w.look().Dirty
		for _, d := range dirty {
			times[d]++
		}
		if n := len(dirty); n != len(times) || n < forgotten {
			t.Errorf("%d devices are to be saved, %d different ones; %d were forgotten", n, len(times), forgotten)
		}
		down.Store(false)
		w.sleep(w.cfg.SaveInterval * 5 / 2)
		w.restart()
		list, err := w.g.Devices(context.Background(), w.route(alice), alice)
		if err != nil || len(list) != 0 {
			t.Errorf("the store has %d devices, error %v; all that it had were forgotten, and the others never greeted", len(list), err)
		}
	})
}
