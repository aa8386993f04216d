package gateway

import (
	"context"
	"slices"
	"testing"
	"time"

	"ramen/link"
	"ramen/protocol"
)

func TestAckIsCumulativeAndIdempotent(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		d := w.open("d")
		for _, id := range ids("m", 1, 5) {
			w.accept(id, medium)
		}
		d.ack(0)
		w.wantWaiting(ids("m", 1, 5)...)
		d.ack(3)
		w.wantWaiting("m4", "m5")
		d.ack(3)
		d.ack(1)
		d.stream.Ack(0, d.pushes[0].Cursor)
		w.wantWaiting("m4", "m5")
		d.stream.Ack(0, d.pushes[4].Cursor)
		w.wantWaiting()
		d.ended(protocol.ReasonNone)
	})
}

func TestAckBeyondEndsTheStreamAndChangesNothing(t *testing.T) {
	for what, ack := range map[string]func(w *fixture, d *recorder){
		"seq":            func(w *fixture, d *recorder) { d.ack(3) },
		"seq and cursor": func(w *fixture, d *recorder) { d.stream.Ack(3, d.pushes[1].Cursor) },
		"forged cursor":  func(w *fixture, d *recorder) { d.stream.Ack(0, "kAAAA") },
		"other device's": func(w *fixture, d *recorder) { d.stream.Ack(0, w.open("e").last()) },
	} {
		t.Run(what, func(t *testing.T) {
			inSyncTest(t, nil, func(t *testing.T, w *fixture) {
				d := w.open("d")
				w.accept("m1", medium)
				w.accept("m2", medium)
				ack(w, d)
				d.ended(protocol.ReasonInvalidArgument)
				w.wantWaiting("m1", "m2")
				w.open("d").got("m1", "m2")
			})
		})
	}
}

func TestMessageGoesOnceEveryKnownDeviceHasAcked(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		a, b := w.open("a"), w.open("b")
		c := w.open("c")
		c.close() // known, offline
		if r := w.accept("m1", high); r.Devices != 3 {
			t.Errorf("accepted for %d devices; want 3", r.Devices)
		}
		a.ackAll()
		a.ackAll()
		w.wantWaiting("m1")
		b.ackAll()
		w.wantWaiting("m1")
		c = w.open("c")
		c.got("m1")
		c.ackAll()
		w.wantWaiting()
	})
}

func TestAckBesideMovesTheLiveWindow(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		d := w.open("d", over(protocol.TransportSSE), window(2))
		for _, id := range ids("m", 1, 6) {
			w.accept(id, medium)
		}
		d.got("m1", "m2")
		if err := w.ackBeside("d", bySeq(1, d.opened.Name)); err != nil {
			t.Fatal(err)
		}
		d.got("m1", "m2", "m3")
		if err := w.ackBeside("d", byCursor(d.last())); err != nil {
			t.Fatal(err)
		}
		d.got(ids("m", 1, 5)...)
		for range 2 { // an ack of what is acked tells nothing
			if err := w.ackBeside("d", bySeq(2, d.opened.Name)); err != nil {
				t.Fatal(err)
			}
		}
		if want := []protocol.Seq{1, 3}; !slices.Equal(d.acked, want) {
			t.Errorf("told acked %v; want %v", d.acked, want)
		}
		w.wantWaiting("m4", "m5", "m6")
	})
}

// TestCursorAckTellsItsSeq: a frontend that does not know a cursor must learn what it may forget.
func TestCursorAckTellsItsSeq(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		d := w.open("d")
		for _, id := range ids("m", 1, 3) {
			w.accept(id, medium)
		}
		d.stream.Ack(0, d.pushes[1].Cursor)
		if !slices.Equal(d.acked, []protocol.Seq{2}) {
			t.Errorf("told acked %v; want 2", d.acked)
		}
	})
}

func TestAckBesideAfterTheStream(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		d := w.open("d")
		w.accept("m1", medium)
		w.accept("m2", medium)
		name := d.opened.Name
		d.close()
		if err := w.ackBeside("d", bySeq(1, name)); err != nil {
			t.Fatal(err)
		}
		w.wantWaiting("m2")
		if err := w.ackBeside("d", byCursor(d.last())); err != nil {
			t.Fatal(err)
		}
		w.wantWaiting()
	})
}

func TestAckBesideIsRefused(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		d, e := w.open("d"), w.open("e")
		bob := w.open("d", ofUser("bob"))
		w.accept("m1", medium)
		w.accept("b1", medium, user("bob"))
		old := d.opened.Name
		d = w.open("d")
		for what, c := range map[string]struct {
			edit func(*link.Ack)
			code protocol.Code
		}{
			"older stream":    {bySeq(1, old), protocol.CodeNotFound},
			"unknown stream":  {bySeq(1, "sx.y"), protocol.CodeNotFound},
			"other's stream":  {bySeq(1, e.opened.Name), protocol.CodeNotFound},
			"beyond":          {bySeq(3, d.opened.Name), protocol.CodeInvalidArgument},
			"other device's":  {byCursor(e.last()), protocol.CodeInvalidArgument},
			"other user's":    {byCursor(bob.last()), protocol.CodeInvalidArgument},
			"forged":          {byCursor("kAAAAAAAA"), protocol.CodeInvalidArgument},
			"unknown device":  {func(a *link.Ack) { a.Device, a.Cursor = "x", d.last() }, protocol.CodeInvalidArgument},
			"unknown device2": {func(a *link.Ack) { a.Device, a.Name = "x", "s1" }, protocol.CodeNotFound},
		} {
			if err := w.ackBeside("d", c.edit); err == nil {
				t.Errorf("%s: acked", what)
			} else {
				wantCode(t, err, c.code)
			}
		}
		w.wantWaiting("m1")
		d.ended(protocol.ReasonNone)
	})
}

func TestWindowBoundsPushes(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		for _, c := range []struct {
			t      protocol.Transport
			asked  int
			pushes int
		}{{protocol.TransportWS, 0, 256}, {protocol.TransportGRPC, 9999, 256}, {protocol.TransportSSE, 0, 1024}, {protocol.TransportPoll, 0, 1024}, {protocol.TransportSSE, 3, 3}} {
			u := "u" + c.t.String() + string(rune('a'+c.asked%26))
			for _, id := range ids("m", 1, 1100) {
				w.accept(id, medium, user(u))
			}
			d := w.open("d", ofUser(u), over(c.t), window(c.asked))
			d.got(ids("m", 1, c.pushes)...)
			d.ack(2)
			d.got(ids("m", 1, c.pushes+2)...)
			d.close()
		}
	})
}

func TestWindowBoundsBytesButOnePushFits(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		d := w.open("d")
		w.accept("huge", medium, payload(3<<20))
		d.got("huge")
		w.accept("tiny", high, payload(0)) // 3 MiB and nothing more: does not fit 1 MiB
		w.accept("half", medium, payload(600<<10))
		d.got("huge")
		d.ack(1)
		d.got("huge", "tiny", "half")
		w.accept("half2", medium, payload(600<<10))
		w.accept("small", low, payload(10))
		d.got("huge", "tiny", "half") // the next is half2, and it alone is tried
		d.ack(2)
		d.got("huge", "tiny", "half")
		d.ack(3)
		d.got("huge", "tiny", "half", "half2", "small")
	})
}

// TestPushHoldsItsPlace: whatever becomes of the message, until the push is acked. SPEC 2.10.
func TestPushHoldsItsPlace(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		d := w.open("d", window(3))
		w.accept("short", medium, ttl(time.Second))
		w.accept("old", medium, key("k"))
		w.accept("back", medium)
		w.accept("next", medium)
		w.accept("new", medium, key("k"))
		if ok, err := w.recall("back"); !ok || err != nil {
			t.Fatal(ok, err)
		}
		w.sleep(5 * time.Second)
		w.wantWaiting("next", "new")
		d.got("short", "old", "back")
		d.ack(1)
		d.got("short", "old", "back", "next")
		d.ack(4)
		d.got("short", "old", "back", "next", "new")
	})
}

func TestAckTimeoutByTransport(t *testing.T) {
	for _, c := range []struct {
		t     protocol.Transport
		after time.Duration
	}{{protocol.TransportSSE, 5 * time.Second}, {protocol.TransportWS, time.Minute}, {protocol.TransportGRPC, time.Minute}, {protocol.TransportPoll, 0}} {
		t.Run(c.t.String(), func(t *testing.T) {
			inSyncTest(t, nil, func(t *testing.T, w *fixture) {
				d := w.open("d", over(c.t), window(2))
				w.accept("m1", medium)
				w.sleep(2 * time.Minute) // not full: no hurry
				w.accept("m2", medium)
				if c.after == 0 {
					w.sleep(5 * time.Minute)
					d.ended(protocol.ReasonNone)
					return
				}
				w.sleep(c.after - time.Second)
				d.ack(1) // no longer full
				w.sleep(2 * c.after)
				d.ended(protocol.ReasonNone)
				w.accept("m3", medium) // full again
				w.accept("m4", medium)
				w.sleep(c.after - time.Second)
				d.ack(2) // m4 follows at once: full, but the last ack counts
				d.got("m1", "m2", "m3", "m4")
				d.ack(1) // acks nothing
				w.sleep(c.after - time.Second)
				d.ended(protocol.ReasonNone)
				d.stream.Ack(0, d.pushes[0].Cursor) // acks nothing
				w.sleep(2 * time.Second)
				d.ended(protocol.ReasonAckTimeout)
				w.wantWaiting("m3", "m4")
			})
		})
	}
}

func TestAckTimeoutWhereTheNextDoesNotFit(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		d := w.open("d", over(protocol.TransportSSE))
		w.accept("m1", medium, payload(3<<20))
		w.sleep(10 * time.Second)
		w.accept("m2", medium, payload(2<<20))
		w.sleep(4 * time.Second)
		d.ended(protocol.ReasonNone)
		if ok, _ := w.recall("m2"); !ok {
			t.Fatal("not recalled")
		}
		w.sleep(10 * time.Second)
		d.ended(protocol.ReasonNone) // what did not fit is gone: the window is not full
		w.accept("m3", medium, payload(2<<20))
		w.sleep(4 * time.Second)
		d.ended(protocol.ReasonNone)
		w.sleep(2 * time.Second)
		d.ended(protocol.ReasonAckTimeout)
	})
}

func TestListsAgreeWithWhatWasPushed(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		d := w.open("d", window(2))
		w.open("e").close()
		for _, id := range ids("m", 1, 4) {
			w.accept(id, medium)
		}
		w.accept("x", high, to("e"))
		d.stream.Measured(17)
		list, err := w.g.Devices(context.Background(), w.route(alice), alice)
		if err != nil || len(list) != 2 {
			t.Fatal(list, err)
		}
		a, b := list[0], list[1]
		if a.ID != "d" || !a.Online || a.Pending != 4 || a.Unacked != 2 || a.RTTMS != 17 || a.Transport != protocol.TransportWS || a.ConnectedMS == 0 {
			t.Errorf("device d is %+v", a)
		}
		if b.ID != "e" || b.Online || b.Pending != 5 || b.Unacked != 0 || b.ConnectedMS != 0 || b.LastSeenMS == 0 {
			t.Errorf("device e is %+v", b)
		}
	})
}

func TestDisconnectEndsStreams(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		a, b, c := w.open("a"), w.open("b"), w.open("c", ofUser("bob"))
		n, err := w.g.Disconnect(context.Background(), w.route(alice), alice, "a", "bye")
		if n != 1 || err != nil || a.detail != "bye" {
			t.Error(n, err, a.detail)
		}
		a.ended(protocol.ReasonDisconnected)
		b.ended(protocol.ReasonNone)
		if n, err := w.g.Disconnect(context.Background(), w.route(alice), alice, "", ""); n != 1 || err != nil {
			t.Error(n, err)
		}
		b.ended(protocol.ReasonDisconnected)
		c.ended(protocol.ReasonNone)
	})
}
