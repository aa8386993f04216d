package gateway

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"ramen/gateway/mailbox"
	"ramen/link"
	"ramen/protocol"
	"ramen/store"
	"ramen/store/memory"
)

func TestUserWithoutDevicesWaitsForTheFirst(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		if r := w.accept("m1", medium); r.Devices != 0 {
			t.Errorf("accepted for %d devices", r.Devices)
		}
		w.unloadAll()
		d := w.open("first")
		d.got("m1")
		d.ackAll()
		w.wantWaiting()
		w.open("second").got()
	})
}

func TestMessageForAnUnknownDeviceWaits(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		d := w.open("d")
		if r := w.accept("m1", medium, to("later")); r.Devices != 0 {
			t.Errorf("accepted for %d devices", r.Devices)
		}
		w.accept("m2", medium)
		d.got("m2")
		d.ackAll()
		w.wantWaiting("m1")
		w.restart()
		w.open("later").got("m1")
	})
}

func TestNewDeviceGetsWhatWaits(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		w.open("old").close()
		w.accept("m1", medium)
		w.accept("m2", medium, to("old"))
		d := w.open("new")
		d.got("m1")
		d.ackAll()
		w.wantWaiting("m1", "m2")
		old := w.open("old")
		old.got("m1", "m2")
		old.ackAll()
		w.wantWaiting()
	})
}

// TestKnownBeforeHello: a crash right after the hello does not forget the device.
func TestKnownBeforeHello(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		w.attach("d")
		w.accept("m1", medium)
		w.open("e").ackAll()
		w.crash()
		w.wantWaiting("m1")
		if r := w.accept("m2", medium); r.Devices != 2 {
			t.Errorf("accepted for %d devices; want 2", r.Devices)
		}
	})
}

func TestNoHelloUnlessKnownDurably(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		w.open("other")
		w.store.Script(func(_ context.Context, op memory.Op) memory.Fault {
			if op.Kind == memory.OpSaveDevices && op.Durable {
				return memory.Fault{Err: errors.New("scripted")}
			}
			return memory.Fault{}
		})
		_, err := w.tryOpen("d")
		wantCode(t, err, protocol.CodeUnavailable)
		w.accept("m1", medium, ttl(time.Second))
		w.store.Script(nil)
		w.sleep(2 * time.Second)
		w.accept("m2", medium)
		d := w.open("d")
		d.got("m2")
		if d.opened.Expired != 0 {
			t.Errorf("the first hello tells of %d losses", d.opened.Expired)
		}
	})
}

func TestAtMost64Devices(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		var all []*recorder
		for i := range 64 {
			all = append(all, w.open(fmt.Sprint("d", i)))
			w.sleep(time.Second)
		}
		_, err := w.tryOpen("one more")
		wantCode(t, err, protocol.CodeResourceExhausted)
		w.open("d7").close() // known: needs no room
		w.accept("m1", medium)
		for i, d := range all {
			if i != 7 && i != 9 {
				d.ackAll()
			}
		}
		all[9].close() // unseen, but for less long than d7
		w.wantWaiting("m1")
		w.open("one more").ackAll() // d7 is forgotten
		w.wantWaiting("m1")
		all[9] = w.open("d9")
		all[9].got("m1")
		all[9].ackAll()
		w.wantWaiting()
		list, _ := w.g.Devices(context.Background(), w.route(alice), alice)
		if len(list) != 64 {
			t.Errorf("%d devices are known", len(list))
		}
		w.restart()
		w.open("one more").close()
		list, _ = w.g.Devices(context.Background(), w.route(alice), alice)
		for _, d := range list {
			if d.ID == "d7" {
				t.Error("d7 came back")
			}
		}
	})
}

func TestUnseenDeviceIsForgottenAndHoldsNothingBack(t *testing.T) {
	edit := func(c *Config) { c.DeviceUnseen = 2 * time.Minute }
	for _, loaded := range []bool{true, false} {
		inSyncTest(t, edit, func(t *testing.T, w *fixture) {
			w.open("gone").close()
			d := w.open("d")
			w.accept("m1", medium)
			w.accept("m2", medium, to("gone"))
			d.ackAll()
			last := d.last()
			if !loaded {
				d.close()
				w.unloadAll()
			}
			w.sleep(4 * time.Minute)
			if !loaded {
				w.open("d", at(last)).got() // known or not, the cursor counts
			}
			w.wantWaiting("m2")
			w.open("gone").got("m2")
		})
	}
}

// TestForgottenDeviceThatComesBackStaysKnown: its removal from the store, still to be saved, must not take the new one along.
func TestForgottenDeviceThatComesBackStaysKnown(t *testing.T) {
	edit := func(c *Config) { c.DevicesPerUser = 1 }
	inSyncTest(t, edit, func(t *testing.T, w *fixture) {
		w.open("a").close()
		w.sleep(3 * time.Second)
		w.open("b").close() // a is forgotten
		w.open("a").close() // b is; a is back before its removal was written
		w.sleep(w.cfg.SaveInterval * 3)
		w.crash()
		if r := w.accept("m1", medium); r.Devices != 1 {
			t.Errorf("accepted for %d devices; want 1", r.Devices)
		}
		w.open("a").got("m1")
	})
	inSyncTest(t, edit, func(t *testing.T, w *fixture) {
		w.open("a").close()
		w.sleep(3 * time.Second)
		w.open("b").close()
		// The saver comes between a's record and its stream.
		w.store.Script(func(_ context.Context, op memory.Op) memory.Fault { return memory.Fault{} })
		o := link.Open{Route: w.route(alice), User: alice, Device: "a"}
		b, err := w.g.acquire(context.Background(), o.Route, alice)
		if err != nil {
			t.Fatal(err)
		}
		open := openOf(&o)
		if _, err := b.registerDevice(context.Background(), &open); err != nil {
			t.Fatal(err)
		}
		if err := w.g.writeBehind.flush(context.Background(), false); err != nil {
			t.Fatal(err)
		}
		w.g.release(b)
		w.crash()
		if r := w.accept("m1", medium); r.Devices != 1 {
			t.Errorf("accepted for %d devices; want 1", r.Devices)
		}
	})
}

func TestMailboxQuotas(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		var batch []link.Publish
		for i := range 10_000 {
			p := medium
			if i == 0 {
				p = high
			}
			batch = append(batch, w.message(fmt.Sprint("m", i), p, ttl(time.Hour), func(p *link.Publish) {
				if i == 0 {
					p.Message.CollapseKey = "k"
				}
			}))
		}
		for _, r := range w.publish(batch...) {
			if r.Status != link.StatusAccepted {
				t.Fatalf("%+v", r)
			}
		}
		w.refuse(protocol.CodeResourceExhausted, "more", high)
		r := w.publish(w.message("k1", low, key("k")), w.message("k2", low, key("k")), w.message("no", low)) // replace, and take no room
		if r[0].Status != link.StatusAccepted || r[1].Status != link.StatusAccepted || r[2].Status != link.StatusRejected {
			t.Errorf("%+v", r)
		}
		w.check()
		w.recall("m5")
		w.accept("more", high)
		w.accept("for bob", high, user("bob"))
	})
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		for i := range 64 {
			w.accept(fmt.Sprint("m", i), medium, payload(1<<20), ttl(time.Duration(i/60*1000+1000)*time.Millisecond))
		}
		w.refuse(protocol.CodeResourceExhausted, "x", high, payload(1))
		w.accept("empty", high, payload(0))
		w.sleep(time.Second)
		w.accept("x", high, payload(60<<20)) // what is over takes no room, swept or not
		w.refuse(protocol.CodeResourceExhausted, "y", high, func(p *link.Publish) {
			p.Message.Payload, p.Message.Headers = nil, map[string]string{"a": "b"}
		})
	})
}

func TestMemoryRefusesLowFirst(t *testing.T) {
	edit := func(c *Config) { c.MemoryBytes = 16 << 20 }
	inSyncTest(t, edit, func(t *testing.T, w *fixture) {
		for i := range 27 { // 13.5 of 16 MiB: 84 %
			w.accept(fmt.Sprint("m", i), medium, payload(512<<10), user(fmt.Sprint("u", i)))
		}
		w.refuse(protocol.CodeUnavailable, "x", low)
		w.accept("x1", medium, payload(1<<20), user("v"))
		w.refuse(protocol.CodeUnavailable, "x2", medium)
		w.accept("x3", high, payload(2<<20))
		w.refuse(protocol.CodeUnavailable, "x4", high)
	})
}

func TestAdmitterRefusesByPriority(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		w.store.Script(func(_ context.Context, op memory.Op) memory.Fault {
			if op.Kind == memory.OpAdmit && op.Priority == low {
				return memory.Fault{Err: errors.New("disk nearly full")}
			}
			return memory.Fault{}
		})
		w.refuse(protocol.CodeUnavailable, "l", low)
		w.accept("m", medium)
	})
}

func TestStoreErrorsAreUnavailableAndChangeNothing(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		d := w.open("d")
		fail := memory.OpAppend
		w.store.Script(func(_ context.Context, op memory.Op) memory.Fault {
			if op.Kind == fail {
				return memory.Fault{Err: errors.New("scripted")}
			}
			return memory.Fault{}
		})
		w.accept0("m1")
		w.check()
		fail = memory.OpLoad
		w.refuse(protocol.CodeUnavailable, "m1", medium, user("bob"))
		_, err := w.tryOpen("d", ofUser("bob"))
		wantCode(t, err, protocol.CodeUnavailable)
		w.store.Script(nil)
		d.got()
		w.accept("m1", medium)
		w.accept("m1", medium, user("bob"))
		d.got("m1")
	})
}

func (w *fixture) accept0(id string) { w.t.Helper(); w.refuse(protocol.CodeUnavailable, id, medium) }

func TestSlowLoadIsSharedAndBounded(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		loads := 0
		w.store.Script(func(ctx context.Context, op memory.Op) memory.Fault {
			if op.Kind == memory.OpLoad {
				loads++
				<-ctx.Done()
				return memory.Fault{Err: fmt.Errorf("scripted: %w", ctx.Err())}
			}
			return memory.Fault{}
		})
		done := make(chan link.Result)
		for i := range 5 {
			go func() { done <- w.publish(w.message(fmt.Sprint("m", i), medium))[0] }()
		}
		for range 5 {
			wantCode(t, (<-done).Err, protocol.CodeUnavailable)
		}
		if loads != 1 {
			t.Errorf("%d loads", loads)
		}
		w.store.Script(nil)
		w.accept("m1", medium)
	})
}

func TestSlowAppendIsUnknown(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		d := w.open("d")
		slow := true
		w.store.Script(func(ctx context.Context, op memory.Op) memory.Fault {
			if op.Kind == memory.OpAppend && slow {
				slow = false
				<-ctx.Done()
				return memory.Fault{Err: fmt.Errorf("scripted: %w: %w", store.ErrUnknown, ctx.Err())}
			}
			return memory.Fault{}
		})
		w.refuse(protocol.CodeUnavailable, "m1", medium)
		w.refuse(protocol.CodeResourceExhausted, "big", medium, payload(65<<20)) // rejected by itself, makes m1 sure all the same
		d.got("m1")
	})
}

func TestUnloadAndReloadKeepEverything(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		d := w.open("d", context_(protocol.DeviceContext{OS: "ios", Labels: map[string]string{"a": "b"}}))
		for i, p := range []protocol.Priority{low, medium, high, medium} {
			w.accept(fmt.Sprint("m", i), p)
		}
		d.ack(1)
		cursor := d.pushes[1].Cursor
		d.close()
		w.unloadAll()
		if n := w.g.common.Ledger.Unloaded.Load(); n != 3 {
			t.Errorf("%d messages unloaded; want 3", n)
		}
		w.wantWaiting("m2", "m1", "m3")
		list, _ := w.g.Devices(context.Background(), w.route(alice), alice)
		if len(list) != 1 || list[0].Context.Labels["a"] != "b" || list[0].Pending != 3 || list[0].LastSeenMS == 0 {
			t.Errorf("devices are %+v", list)
		}
		again := w.open("d", at(cursor))
		again.got("m2", "m3")
		if again.opened.Seq != 4 {
			t.Errorf("hello's seq is %d; want 4", again.opened.Seq)
		}
		again.ackAll()
		w.wantWaiting()
		again.close()
		w.unloadAll()
		w.wantWaiting()
	})
}

func TestUsersThatTheScanNamesAreCountedAndForgotten(t *testing.T) {
	edit := func(c *Config) { c.ExpiryScanInterval = time.Minute }
	inSyncTest(t, edit, func(t *testing.T, w *fixture) {
		w.open("d").close()
		w.accept("m1", medium, ttl(5*time.Minute))
		w.unloadAll()
		w.sleep(10 * time.Minute)
		if n := w.g.common.Ledger.Ended[mailbox.Expired].Load(); n != 1 {
			t.Errorf("%d messages expired; want 1", n)
		}
		if kept, err := w.store.Load(context.Background(), store.Owner{Shard: w.route(alice).Shard, Epoch: w.epoch}, alice); err != nil || len(kept.Entries) != 0 {
			t.Errorf("the store still has %d entries, %v", len(kept.Entries), err)
		}
		if n := w.open("d").opened.Expired; n != 1 {
			t.Errorf("hello tells of %d losses; want 1", n)
		}
	})
}

// TestPositionsGrowThoughTheClockFalls: a later owner's clock is behind; nothing lands behind what was acked.
func TestPositionsGrowThoughTheClockFalls(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		d := w.open("d")
		w.accept("m1", medium)
		d.ackAll()
		w.restart()
		w.g.started = time.Now().Add(-time.Hour).Round(0) // wall clock alone: an hour behind
		w.g.started = time.Unix(1000, 0)
		w.accept("m2", medium)
		again := w.open("d", at(d.last()))
		again.got("m2")
		again.ackAll()
		w.wantWaiting()
	})
}

func TestClosedGatewayAnswersNotOwner(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		d := w.open("d")
		w.accept("m1", medium)
		g, route := w.g, w.route(alice)
		w.restart()
		if !d.lost {
			t.Error("the stream was not told that it is lost")
		}
		m := w.message("m2", medium)
		m.Route = route
		if r := g.Publish(context.Background(), []link.Publish{m})[0]; !errors.Is(r.Err, link.ErrNotOwner) {
			t.Errorf("publish: %+v", r)
		}
		if _, _, err := g.Open(context.Background(), link.Open{Route: route, User: alice, Device: "d"}, d); !errors.Is(err, link.ErrNotOwner) {
			t.Errorf("open: %v", err)
		}
		if _, err := g.Recall(context.Background(), route, alice, "m1"); !errors.Is(err, link.ErrNotOwner) {
			t.Errorf("recall: %v", err)
		}
		d.stream.Ack(1, "")
		d.stream.Close(protocol.ReasonGone)
	})
}

func TestCloseSavesWhatWasAcked(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		d := w.open("d")
		w.accept("m1", medium)
		w.open("e")
		d.ackAll()
		w.restart()
		w.open("d").got()
		w.wantWaiting("m1")
	})
}

func TestValidateNamesWhatCannotBe(t *testing.T) {
	c := Default()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	c.DevicesPerUser = 0
	if err := c.Validate(); err == nil || err.Error() != "gateway: devices_per_user must be 1 to 1024" {
		t.Error(err)
	}
}
