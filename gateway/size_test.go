package gateway

import (
	"testing"
	"testing/synctest"
	"unsafe"

	"ramen/gateway/mailbox"
	"ramen/protocol"
)

// The sizes are classes of Go's allocator: a byte more costs each user, device or stream in memory 16 or more. Classes in which an
// opening allocates what it drops again are left alone: it would leave holes among what stays.
func TestWhatAnIdleUserTakesIsSmall(t *testing.T) {
	for _, c := range []struct {
		what      string
		size, max uintptr
	}{
		{"a mailbox", unsafe.Sizeof(box{}), 192},
		{"a device", unsafe.Sizeof(mailbox.Device{}), 144},
		{"a stream", unsafe.Sizeof(stream{}), 64},
	} {
		if c.size > c.max {
			t.Errorf("%s takes %d bytes; want at most %d", c.what, c.size, c.max)
		}
	}
}

// What messages need is given back once they are acked, whichever way a device came to where it stands.
func TestIdleUserHoldsNothingOfItsMessages(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		idle := func(when string) {
			t.Helper()
			s := w.look()
			if s.Lanes || s.Recover {
				t.Errorf("%s: the mailbox has lanes: %t, recovery: %t", when, s.Lanes, s.Recover)
			}
			for _, d := range s.Devices {
				if d.Inflight {
					t.Errorf("%s: device %s has something in flight: pushed %v, acked %v", when, d.ID, d.Pushed, d.Acked)
				}
			}
		}
		a, b := w.open("a"), w.open("b")
		idle("opened")
		for _, id := range ids("m", 1, 100) {
			w.accept(id, medium)
			w.accept("h"+id, high, key("k"+id))
		}
		a.ackAll()
		b.ackAll()
		w.sleep(2 * w.cfg.SaveInterval) // until the store has forgotten what had a key
		idle("acked")
		cursor := a.last()
		a.close()
		a = w.open("a", at(cursor))
		idle("resumed")
		w.accept("m101", low)
		a.ackAll()
		b.ackAll()
		w.sleep(w.cfg.SaveInterval * 2)
		w.restart()
		a = w.open("a", at(a.last()))
		idle("loaded")
		a.close()
	})
}

// A device that read past a message for another keeps its flow until it acks behind that one. What it had unacked does not stay
// with it, however the acks came.
func TestAckedPushesLeaveNoBuffer(t *testing.T) {
	for _, c := range []struct {
		name string
		step int
	}{{"at once", 1000}, {"one by one", 1}, {"some", 7}} {
		t.Run(c.name, func(t *testing.T) {
			inSyncTest(t, func(cfg *Config) { cfg.PublishesPerSecond = 0 }, func(t *testing.T, w *fixture) { ackInSteps(t, w, c.step) })
		})
	}
}

func ackInSteps(t *testing.T, w *fixture, step int) {
	r, other := w.open("a", over(protocol.TransportSSE)), w.open("b")
	w.accept("b", high, to("b"))
	all := ids("m", 1, 1000)
	for _, id := range all {
		w.accept(id, medium, to("a"))
	}
	synctest.Wait()
	inflight := func() mailbox.DeviceSnapshot {
		s := w.look()
		d := s.Device("a")
		if d == nil || !d.Inflight {
			t.Fatal("nothing is in flight: the test is of no use")
		}
		return *d
	}
	room := inflight().SentRoom
	for at := step; at < len(all); at += step {
		r.ack(r.opened.Seq + protocol.Seq(at))
		if d := inflight(); d.Sent != len(all)-at || d.SentRoom != room {
			t.Fatalf("%d acked: %d are unacked, with room for %d; want all of the buffer, %d", at, d.Sent, d.SentRoom, room)
		}
	}
	r.ackAll()
	if d := inflight(); d.Sent != 0 || d.SentBytes != 0 || d.SentRoom > keptSent {
		t.Errorf("there are %d pushes of %d bytes and room for %d; want none and at most %d", d.Sent, d.SentBytes, d.SentRoom, keptSent)
	}
	other.ackAll()
}

// keptSent is the most unacked pushes that a device keeps room for.
const keptSent = 64
