package mailbox

import (
	"slices"

	"ramen/store"
)

// Dirty is what is to be saved of one mailbox. It may be lost without losing a message: where devices stand, and which entries
// nobody needs.
type Dirty struct {
	devices   []*Device // forgotten ones too
	last      int       // in devices: the one that was marked last
	forgets   []store.Ref
	leftovers []leftover // of the forgets, those with a key
}

// Forgets are entries that nobody needs any more. Whatever expired by the counts in the records that were taken together with them
// is among these, or was forgotten before: they are to be written first.
func (x *Dirty) Forgets() []store.Ref { return x.forgets }

// IsDirty reports whether there is something to save.
func (b *Mailbox) IsDirty() bool { return b.dirty != nil }

// makeDirty is what is to be saved, to add to.
func (b *Mailbox) makeDirty() *Dirty {
	if b.dirty == nil {
		b.dirty = new(Dirty)
		b.notices |= NoticeDirty
	}
	return b.dirty
}

// markDirty notes that d's record is to be saved.
func (d *Device) markDirty() {
	x := d.box.makeDirty()
	if x.last++; x.last >= len(x.devices) {
		x.last = 0
	}
	if len(x.devices) > 0 && x.devices[x.last] == d { // as where each of many messages is for all devices, in their order
		return
	}
	if x.last = slices.Index(x.devices, d); x.last < 0 {
		x.last = len(x.devices)
		x.devices = append(x.devices, d)
	}
}

// TakeDirty takes what is to be saved; nil: nothing. The records of its devices are appended to records, as they are now.
func (b *Mailbox) TakeDirty(records []store.DeviceSave, nowMS int64) (*Dirty, []store.DeviceSave) {
	x := b.dirty
	b.dirty = nil
	if x != nil {
		b.marked = false
		for _, d := range x.devices {
			records = append(records, d.Save(nowMS))
		}
	}
	return x, records
}

// TakeForgets takes the forgets alone; nil: there are none. The rest stays dirty.
func (b *Mailbox) TakeForgets() *Dirty {
	x := b.dirty
	if x == nil || len(x.forgets) == 0 {
		return nil
	}
	b.marked = false
	taken := &Dirty{forgets: x.forgets, leftovers: x.leftovers}
	x.forgets, x.leftovers = nil, nil
	return taken
}

// PutBack makes dirty again what could not be saved.
func (b *Mailbox) PutBack(x *Dirty) {
	now, more := b.makeDirty(), x.devices
	if len(more) > len(now.devices) { // each is looked for among the others, which may be all that a long outage has seen
		now.devices, more = more, now.devices
	}
	for _, d := range more {
		d.markDirty()
	}
	now.forgets = append(now.forgets, x.forgets...)
	now.leftovers = append(now.leftovers, x.leftovers...)
}

// Forgotten notes that the store has forgotten what x says.
func (b *Mailbox) Forgotten(x *Dirty) {
	if len(x.leftovers) == 0 {
		return
	}
	for _, l := range x.leftovers {
		b.dropLeftover(l)
	}
	b.trim()
}

// Save is d's record as a write to the store: where d was forgotten, its removal, or that of its successor if it has come back since.
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
