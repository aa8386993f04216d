package mailbox

import (
	"slices"

	"ramen/protocol"
)

// tally counts the messages that wait for one device. It is updated with each change: counting a full mailbox for each of its devices
// would keep its lock from publishers for too long. The mailbox's lock guards it.
type tally struct {
	named    int32 // live entries that target the device, without those that it has acked or where excludes it from
	unlikely int32 // those of named whose where is not evaluated yet and does not match the present context
}

// waiting is the number of messages that wait for the device, as far as known.
func (t *tally) waiting() int { return int(t.named - t.unlikely) }

// add counts an entry, subtract uncounts it. likely is the result of entry.pendingFor.
func (t *tally) add(likely bool) {
	t.named++
	if !likely {
		t.unlikely++
	}
}

func (t *tally) subtract(likely bool) {
	t.named--
	if !likely {
		t.unlikely--
	}
}

// beginTallies makes the tallies of empty lanes.
func (l *lanes) beginTallies(devices int) {
	l.tallies = slices.Grow(l.tallies[:0], devices)[:devices]
	clear(l.tallies)
	l.last.device = nil
	l.changes++
}

// tally returns d's tally. The mailbox must have lanes.
func (d *Device) tally() *tally {
	l := d.box.lanes
	if l.last.device != d {
		l.last.device, l.last.place = d, d.box.indexOf(d)
	}
	return &l.tallies[l.last.place]
}

// tallyEntry counts a new entry for the devices that it targets, and returns how many it is for.
func (b *Mailbox) tallyEntry(e *entry) (devices int) {
	b.lanes.changes++
	if e.where != nil {
		b.lanes.wheres++
	}
	i := 0
	for d := b.devices; d != nil; d = d.next {
		if e.targets(d.id) {
			likely := d.context.Matches(e.where)
			if likely {
				devices++
			}
			e.waiting++
			b.lanes.tallies[i].add(likely)
		}
		i++
	}
	return devices
}

// untallyEntry uncounts an entry that is about to be removed.
func (b *Mailbox) untallyEntry(e *entry) {
	b.lanes.changes++
	if e.where != nil {
		b.lanes.wheres--
	}
	i := 0
	for d := b.devices; d != nil && e.waiting > 0; d = d.next {
		if e.waitsFor(d) {
			b.lanes.tallies[i].subtract(e.pendingFor(d))
		}
		i++
	}
}

// waitsFor reports whether e.waiting counts d.
func (e *entry) waitsFor(d *Device) bool {
	return e.targets(d.id) && d.acked.At[e.msg.Priority.Lane()].Less(e.pos) && e.matches[d.id] != excluded
}

// tallyDevice counts what waits for the device that was appended last.
func (b *Mailbox) tallyDevice(d *Device) {
	if b.lanes == nil {
		return
	}
	b.lanes.changes++
	var t tally
	for i := range b.lanes.at {
		for _, e := range b.lanes.at[i].entries {
			if !e.dead && e.targets(d.id) {
				e.waiting++
				t.add(e.pendingFor(d))
			}
		}
	}
	b.lanes.tallies = append(b.lanes.tallies, t)
}

// untallyDevice removes the tally of a device that is about to be unlinked.
func (b *Mailbox) untallyDevice(d *Device) {
	if b.lanes != nil {
		b.lanes.changes++
		b.lanes.last.device = nil
		i := b.indexOf(d)
		b.lanes.tallies = slices.Delete(b.lanes.tallies, i, i+1)
	}
}

// setContext sets d's context, and counts the messages anew whose where is not evaluated yet.
func (d *Device) setContext(c *protocol.DeviceContext) {
	same := d.context.Equal(c)
	if !same {
		d.box.scope.Ledger.Memory.Add(knownBytes(d.id, c) - knownBytes(d.id, d.context))
	}
	d.context = c
	l := d.box.lanes
	if same || l == nil || l.wheres == 0 {
		return
	}
	l.changes++
	t := d.tally()
	t.unlikely = 0
	for i := range l.at {
		entries := l.at[i].entries
		for at := l.at[i].after(d.acked.At[i]); at < len(entries); at++ {
			if e := entries[at]; e.where != nil && !e.dead && e.waitsFor(d) && !e.pendingFor(d) {
				t.unlikely++
			}
		}
	}
}

// Unacked is the number of waiting messages that were pushed on d's stream.
func (d *Device) Unacked() (n int) {
	if d.window == nil || d.inflight == nil {
		return 0
	}
	for _, s := range d.inflight.sent {
		if e := d.box.lane(int(s.lane)).find(s.pos); e != nil && !e.dead {
			n++
		}
	}
	return n
}
