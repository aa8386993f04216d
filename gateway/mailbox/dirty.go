package mailbox

import (
	"slices"

	"ramen/protocol"
	"ramen/store"
)

// Dirty is the unsaved changes of one mailbox: device records, and entries that the store can forget. Losing them loses no message.
type Dirty struct {
	devices   []*Device // with unsaved records, forgotten devices included
	last      int       // index in devices of the one that was marked last
	forgets   []store.Ref
	leftovers []leftover // those of the forgets that have a collapse key
	below     protocol.Positions
}

// Forgets are entries that the store can forget. They include every message that the device records taken together with them count as
// expired, so they must be written first (store, 8).
func (x *Dirty) Forgets() []store.Ref { return x.forgets }

// Below is, a lane, where what is still needed begins, once the store has forgotten what Forgets are; zero: it is not known.
func (x *Dirty) Below() protocol.Positions { return x.below }

// IsDirty reports whether there are unsaved changes.
func (b *Mailbox) IsDirty() bool { return b.dirty != nil }

// makeDirty returns the unsaved changes, for adding to them.
func (b *Mailbox) makeDirty() *Dirty {
	if b.dirty == nil {
		b.dirty = new(Dirty)
		b.notices |= NoticeDirty
	}
	return b.dirty
}

// markDirty notes that d's record has changed.
func (d *Device) markDirty() {
	x := d.box.makeDirty()
	if x.last++; x.last >= len(x.devices) {
		x.last = 0
	}
	if len(x.devices) > 0 && x.devices[x.last] == d { // the usual case: many messages in a row mark all devices in the same order
		return
	}
	if x.last = slices.Index(x.devices, d); x.last < 0 {
		x.last = len(x.devices)
		x.devices = append(x.devices, d)
	}
}

// TakeDirty removes and returns the unsaved changes; nil: none. It appends the present records of the devices to records.
func (b *Mailbox) TakeDirty(records []store.DeviceSave, nowMS int64) (*Dirty, []store.DeviceSave) {
	x := b.dirty
	b.dirty = nil
	if x != nil {
		b.marked = false
		x.below = b.needed()
		for _, d := range x.devices {
			records = append(records, d.Save(nowMS))
		}
	}
	return x, records
}

// TakeForgets removes and returns the forgets alone; nil: none. The rest stays dirty.
func (b *Mailbox) TakeForgets() *Dirty {
	x := b.dirty
	if x == nil || len(x.forgets) == 0 {
		return nil
	}
	b.marked = false
	taken := &Dirty{forgets: x.forgets, leftovers: x.leftovers, below: b.needed()}
	x.forgets, x.leftovers = nil, nil
	return taken
}

// needed is, a lane, the first position that is needed: of the first message that waits, or behind all that this owner has given. That is not
// known while something is being appended, or in doubt: it has its position, and waits in no lane yet.
func (b *Mailbox) needed() (at protocol.Positions) {
	if b.recovery != nil && b.recovery.abandoned {
		return at
	}
	waiting := 0
	for i := range at {
		l := b.lane(i)
		waiting += len(l.entries) - l.dead
		for _, e := range l.entries {
			if !e.dead {
				at[i] = e.pos
				break
			}
		}
	}
	if waiting < int(b.count) {
		return at
	}
	behind := protocol.Position{Epoch: b.scope.Owner.Epoch, Micros: b.scope.Positions.last.Load() + 1}
	for i := range at {
		if at[i].IsZero() {
			at[i] = behind
		}
	}
	return at
}

// PutBack adds back changes that could not be saved.
func (b *Mailbox) PutBack(x *Dirty) {
	now, more := b.makeDirty(), x.devices
	if len(more) > len(now.devices) { // the shorter list is added to the longer: adding one searches it
		now.devices, more = more, now.devices
	}
	for _, d := range more {
		d.markDirty()
	}
	now.forgets = append(now.forgets, x.forgets...)
	now.leftovers = append(now.leftovers, x.leftovers...)
}

// Forgotten notes that the store has forgotten the entries in x.
func (b *Mailbox) Forgotten(x *Dirty) {
	if len(x.leftovers) == 0 {
		return
	}
	for _, l := range x.leftovers {
		b.dropLeftover(l)
	}
	b.trim()
}

// Save returns the write that saves d. If d was forgotten that is a removal, or the record of the device that has come back since.
func (d *Device) Save(nowMS int64) store.DeviceSave {
	known := d.box.Device(d.id)
	if known != nil {
		d = known
	}
	d.box.marked = false
	return store.DeviceSave{Owner: d.box.scope.Owner, User: d.box.user, Remove: known == nil, Device: d.record(nowMS)}
}

// record is what the store keeps of d.
func (d *Device) record(nowMS int64) store.Device {
	return store.Device{
		ID:         d.id,
		Acked:      d.acked,
		Pushed:     d.pushed(),
		Expired:    d.expired,
		Greeted:    d.greeted,
		Live:       d.window != nil || d.uncleanShutdown,
		Transport:  d.transport,
		LastSeenMS: d.LastSeenMS(nowMS),
		Context:    d.context,
	}
}

// LastSeenMS is when d was last seen.
func (d *Device) LastSeenMS(nowMS int64) int64 {
	if d.window != nil {
		return nowMS
	}
	return d.sinceMS
}
