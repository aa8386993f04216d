package mailbox

import (
	"ramen/protocol"
)

// Snapshot is a copy of what is in a mailbox, for tests and debugging.
type Snapshot struct {
	Entries []EntrySnapshot // live ones, lane by lane, in order of position
	Devices []DeviceSnapshot
	Dirty   []protocol.DeviceID // devices with a record to save, forgotten ones too
	Lanes   bool                // it has lanes: something waits, or there are leftovers
	InDoubt bool                // the outcome of a write is unknown
	Recover bool                // it has a recovery
}

// EntrySnapshot is one message that waits.
type EntrySnapshot struct {
	Position protocol.Position
	Message  *protocol.Message
}

// DeviceSnapshot is one device, and the messages that wait for it, counted one by one.
type DeviceSnapshot struct {
	ID               protocol.DeviceID
	Acked            protocol.Cursor
	Pushed           protocol.Cursor
	Pending, Unacked int
	Inflight         bool // it has an inflight
	Sent, SentRoom   int  // unacked pushes, and the capacity for them
	SentBytes        int  // of payload
}

// Snapshot returns a copy of what is in b at nowMS.
func (b *Mailbox) Snapshot(nowMS int64) Snapshot {
	s := Snapshot{Lanes: b.lanes != nil, InDoubt: b.InDoubt(), Recover: b.recovery != nil}
	for i := range protocol.Lanes {
		for _, e := range b.lane(i).entries {
			if !e.dead {
				s.Entries = append(s.Entries, EntrySnapshot{e.pos, e.msg})
			}
		}
	}
	for d := b.devices; d != nil; d = d.next {
		s.Devices = append(s.Devices, d.snapshot(nowMS))
	}
	if b.dirty != nil {
		for _, d := range b.dirty.devices {
			s.Dirty = append(s.Dirty, d.id)
		}
	}
	return s
}

func (d *Device) snapshot(nowMS int64) DeviceSnapshot {
	s := DeviceSnapshot{ID: d.id, Acked: d.acked, Pushed: d.pushed(), Inflight: d.inflight != nil}
	if f := d.inflight; f != nil {
		s.Sent, s.SentRoom, s.SentBytes = len(f.sent), cap(f.sent), f.bytes
	}
	for i := range protocol.Lanes {
		l := d.box.lane(i)
		for at := l.after(d.acked.At[i]); at < len(l.entries); at++ {
			e := l.entries[at]
			if e.msg.ExpiresMS <= nowMS || !e.pendingFor(d) {
				continue
			}
			s.Pending++
			if d.window != nil && !d.read(i).Less(e.pos) {
				s.Unacked++
			}
		}
	}
	return s
}

// Device returns the device with that id, or nil.
func (s *Snapshot) Device(id protocol.DeviceID) *DeviceSnapshot {
	for i := range s.Devices {
		if s.Devices[i].ID == id {
			return &s.Devices[i]
		}
	}
	return nil
}
