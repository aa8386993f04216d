package gateway

import (
	"testing"
	"unsafe"
)

// The sizes are classes of Go's allocator: a byte more costs each user, device or stream in memory 16 or more. Classes in which an
// opening allocates what it drops again are left alone: it would leave holes among what stays.
func TestWhatAnIdleUserTakesIsSmall(t *testing.T) {
	for _, c := range []struct {
		what      string
		size, max uintptr
	}{
		{"a mailbox", unsafe.Sizeof(mailbox{}), 176},
		{"a device", unsafe.Sizeof(device{}), 144},
		{"a stream", unsafe.Sizeof(stream{}), 64},
	} {
		if c.size > c.max {
			t.Errorf("%s takes %d bytes; want at most %d", c.what, c.size, c.max)
		}
	}
}

// What messages need is given back once they are acked, whichever way a device came to where it stands.
func TestIdleUserHoldsNothingOfItsMessages(t *testing.T) {
	bubble(t, nil, func(t *testing.T, w *world) {
		idle := func(when string) {
			t.Helper()
			b := w.g.shards[w.route(alice).Shard].mailboxes[alice]
			b.mu.Lock()
			defer b.mu.Unlock()
			if b.lanes != nil || b.trouble != nil {
				t.Errorf("%s: the mailbox has lanes: %t, trouble: %t", when, b.lanes != nil, b.trouble != nil)
			}
			for d := b.devices; d != nil; d = d.next {
				if d.flow != nil {
					t.Errorf("%s: device %s has a flow: pushed %v, read %v, acked %v", when, d.id, d.flow.pushed, d.flow.read, d.acked)
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
