package mailbox

import (
	"ramen/protocol"
)

// Snapshot is a copy of what is in a mailbox, for tests and for who looks for a fault.
type Snapshot struct {
	Entries []EntrySnapshot // live ones, lane by lane, in order of position
	Devices []DeviceSnapshot
	Dirty   []protocol.DeviceID // devices with a record to save, forgotten ones too
	Lanes   bool                // it holds lanes: something waits, or the store may have left what is to be killed
	InDoubt bool                // the outcome of a write is unknown
	Recover bool                // it holds more than an idle one because of what went wrong
}

// EntrySnapshot is one message that waits.
type EntrySnapshot struct {
	Position protocol.Position
	Message  *protocol.Message
}

// DeviceSnapshot is one device, and what waits for it, counted one by one.
type DeviceSnapshot struct {
	ID               protocol.DeviceID
	Acked            protocol.Cursor
	Pushed           protocol.Cursor
	Pending, Unacked int
	Inflight         bool // it holds more than an idle device
	Sent, SentRoom   int  // pushes that are not acked, and for how many there is room
	SentBytes        int  // of payload
}

// Snapshot copies what is in b at nowMS.
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

// Device is the device with that id in s, or nil.
func (s *Snapshot) Device(id protocol.DeviceID) *DeviceSnapshot {
	for i := range s.Devices {
		if s.Devices[i].ID == id {
			return &s.Devices[i]
		}
	}
	return nil
}
