package mailbox

import (
	"ramen/protocol"
	"ramen/store"
)

// Device returns the known device with that id, or nil.
func (b *Mailbox) Device(id protocol.DeviceID) *Device {
	for d := b.devices; d != nil; d = d.next {
		if d.id == id {
			return d
		}
	}
	return nil
}

// Devices lists the known devices in the order in which they became known.
func (b *Mailbox) Devices() []*Device {
	list := make([]*Device, 0, b.countDevices())
	for d := b.devices; d != nil; d = d.next {
		list = append(list, d)
	}
	return list
}

// indexOf returns d's index in the list of devices.
func (b *Mailbox) indexOf(d *Device) (i int) {
	for at := b.devices; at != d; at = at.next {
		i++
	}
	return i
}

// link appends d to the list of devices.
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

// AddDevice makes a device known; it gets what still waits (SPEC 1.3.4). At the limit, the device that was unseen the longest is
// forgotten, or the new one is refused if all have a stream. SPEC 1.2.3, 1.2.4.
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

// restoreDevice adds a device that was loaded.
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

// ForgetUnseen forgets devices that were last seen before beforeMS. SPEC 1.2.2.
func (b *Mailbox) ForgetUnseen(beforeMS int64) {
	for d := b.devices; d != nil; {
		next := d.next
		if d.window == nil && d.sinceMS < beforeMS {
			b.forgetDevice(d)
		}
		d = next
	}
}

// forgetDevice removes a device without a stream. Messages do not wait for it any more.
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
