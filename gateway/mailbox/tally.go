package mailbox

import (
	"slices"

	"ramen/protocol"
)

// tally is what waits for one device, kept as it changes: counting it anew for every device of a full mailbox would hold up
// whoever else needs that mailbox, publishers among them. Guarded like the mailbox.
type tally struct {
	named    int32 // live entries that name the device, not acked by it, without those that where has turned it away from
	unlikely int32 // of these, those that are not evaluated yet and whose where does not match the context that it has now
}

// waiting is how many messages wait for the device, as far as anybody knows.
func (t *tally) waiting() int { return int(t.named - t.unlikely) }

// add and take count one entry more or less; likely as entry.pendingFor has it.
func (t *tally) add(likely bool) {
	t.named++
	if !likely {
		t.unlikely++
	}
}

func (t *tally) take(likely bool) {
	t.named--
	if !likely {
		t.unlikely--
	}
}

// beginTallies is for lanes in which nothing waits.
func (l *lanes) beginTallies(devices int) {
	l.tallies = slices.Grow(l.tallies[:0], devices)[:devices]
	clear(l.tallies)
	l.last.device = nil
	l.changes++
}

// tally is d's own, while something is in the lanes.
func (d *Device) tally() *tally {
	l := d.box.lanes
	if l.last.device != d {
		l.last.device, l.last.place = d, d.box.indexOf(d)
	}
	return &l.tallies[l.last.place]
}

// tallyEntry counts a new entry for those that it names, and says for how many it is.
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

// untallyEntry takes an entry that is about to leave off those who still wait for it.
func (b *Mailbox) untallyEntry(e *entry) {
	b.lanes.changes++
	if e.where != nil {
		b.lanes.wheres--
	}
	i := 0
	for d := b.devices; d != nil && e.waiting > 0; d = d.next {
		if e.waitsFor(d) {
			b.lanes.tallies[i].take(e.pendingFor(d))
		}
		i++
	}
}

// waitsFor reports whether e.waiting counts d.
func (e *entry) waitsFor(d *Device) bool {
	return e.targets(d.id) && d.acked.At[e.msg.Priority.Lane()].Less(e.pos) && e.matches[d.id] != excluded
}

// tallyDevice counts what waits for a device that has just been linked: the last.
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

// untallyDevice is for a device that is about to be unlinked.
func (b *Mailbox) untallyDevice(d *Device) {
	if b.lanes != nil {
		b.lanes.changes++
		b.lanes.last.device = nil
		i := b.indexOf(d)
		b.lanes.tallies = slices.Delete(b.lanes.tallies, i, i+1)
	}
}

// setContext gives d another context. What where has not evaluated yet may be for it now, or no longer.
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

// Unacked is how much of what waits for d was pushed on its stream.
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
