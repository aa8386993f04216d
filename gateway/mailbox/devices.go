package mailbox

import (
	"ramen/protocol"
	"ramen/store"
)

// Device is the known device with that id, or nil.
func (b *Mailbox) Device(id protocol.DeviceID) *Device {
	for d := b.devices; d != nil; d = d.next {
		if d.id == id {
			return d
		}
	}
	return nil
}

// Devices are the known devices, in the order in which they became known.
func (b *Mailbox) Devices() []*Device {
	list := make([]*Device, 0, b.countDevices())
	for d := b.devices; d != nil; d = d.next {
		list = append(list, d)
	}
	return list
}

// indexOf is d's place among the devices.
func (b *Mailbox) indexOf(d *Device) (i int) {
	for at := b.devices; at != d; at = at.next {
		i++
	}
	return i
}

// link puts d at the end of the devices, unlink takes it off them, countDevices counts them.
func (b *Mailbox) link(d *Device) {
	at := &b.devices
	for *at != nil {
		at = &(*at).next
	}
	*at = d
}

func (b *Mailbox) unlink(d *Device) {
	for at := &b.devices; *at != nil; at = &(*at).next {
		if *at == d {
			*at, d.next = d.next, nil
			return
		}
	}
}

func (b *Mailbox) countDevices() (n int) {
	for d := b.devices; d != nil; d = d.next {
		n++
	}
	return n
}

// AddDevice makes a device known: it gets what still waits. Where there are as many as may be, the one that is unseen the longest
// is forgotten for it. SPEC 1.
func (b *Mailbox) AddDevice(o *Open, nowMS int64) (*Device, error) {
	if err := b.makeRoom(); err != nil {
		return nil, err
	}
	d := &Device{box: b, id: o.Device, context: o.Context, transport: o.Transport, sinceMS: nowMS}
	b.link(d)
	b.scope.Ledger.Memory.Add(knownBytes(d.id, d.context))
	b.tallyDevice(d)
	b.scope.Ledger.Devices.Add(1)
	return d, nil
}

// restoreDevice makes a device known that the store has.
func (b *Mailbox) restoreDevice(r *store.Device) {
	d := &Device{
		box: b, id: r.ID, context: r.Context, acked: r.Acked,
		transport: r.Transport, sinceMS: r.LastSeenMS, expired: r.Expired, greeted: r.Greeted, uncleanShutdown: r.Live, durable: true,
	}
	d.makeInflight().pushed = r.Pushed
	d.releaseIfIdle()
	b.link(d)
	b.scope.Ledger.Memory.Add(knownBytes(d.id, d.context))
	b.scope.Ledger.Devices.Add(1)
}

func (b *Mailbox) makeRoom() error {
	known := b.countDevices()
	if known < b.scope.Limits.Devices {
		return nil
	}
	var oldest *Device
	for d := b.devices; d != nil; d = d.next {
		if d.window == nil && (oldest == nil || d.sinceMS < oldest.sinceMS) {
			oldest = d
		}
	}
	if oldest == nil {
		return protocol.Errorf(protocol.CodeResourceExhausted, "the user has %d devices, which is the limit, and all have a stream; end one of them first", known)
	}
	b.forgetDevice(oldest)
	return nil
}

// ForgetUnseen forgets devices that were last seen before beforeMS. SPEC 1.
func (b *Mailbox) ForgetUnseen(beforeMS int64) {
	for d := b.devices; d != nil; {
		next := d.next
		if d.window == nil && d.sinceMS < beforeMS {
			b.forgetDevice(d)
		}
		d = next
	}
}

// forgetDevice takes a device without a stream off the mailbox. What others have acked no longer waits for it.
func (b *Mailbox) forgetDevice(d *Device) {
	b.scope.Ledger.Memory.Add(-knownBytes(d.id, d.context))
	if d.inflight != nil {
		b.scope.Ledger.Memory.Add(-d.inflight.held)
		d.inflight.held = 0
	}
	b.untallyDevice(d)
	b.unlink(d)
	for i := range protocol.Lanes {
		l := b.lane(i)
		for at := l.after(d.acked.At[i]); at < len(l.entries); at++ {
			if e := l.entries[at]; !e.dead && e.targets(d.id) && e.matches[d.id] != excluded {
				b.deviceDone(e, false)
			}
		}
		for _, e := range l.entries {
			delete(e.matches, d.id)
		}
	}
	b.trim()
	b.scope.Ledger.Devices.Add(-1)
	d.markDirty()
}
