package mailboxtest

import (
	"fmt"
	"slices"

	"ramen/protocol"
)

// Opened is what a device is told at the beginning of a stream.
type Opened struct {
	Name    string
	Seq     protocol.Seq
	Expired uint32
	Resumed bool
	Pending bool
}

// Device is the known device of that id, or nil.
func (x *Model) Device(id string) *Device {
	i := slices.IndexFunc(x.Devices, func(d *Device) bool { return d.ID == id })
	if i < 0 {
		return nil
	}
	return x.Devices[i]
}

// Know is the device of that id. One that was not known is saved before it is told anything.
func (x *Model) Know(id, os string) (d *Device, isNew bool) {
	if d = x.Device(id); d != nil {
		return d, false
	}
	d = &Device{ID: id, record: record{OS: os}}
	x.Devices = append(x.Devices, d)
	x.Save(d)
	return d, true
}

// Open begins a stream of d, which got has told of. It returns what is wrong with that.
func (x *Model) Open(d *Device, o Open, got Opened) error {
	resumed := o.From == FromCursor || o.From == FromSeq && !d.Unknown
	switch {
	case o.From == FromCursor:
		x.Ack(d, o.Push.Cover, o.Push.Seq)
	case resumed:
		x.AckSeq(d, d.Begin+protocol.Seq(o.Pushes))
	}
	d.Seq = max(d.Seq, d.AckedSeq)
	if d.loose && d.AckedSeq <= got.Seq && got.Seq < d.Seq {
		d.Seq = got.Seq
	}
	if got.Resumed != resumed || got.Seq != d.Seq || got.Expired > d.Expired || !d.Doubtful && got.Expired < d.Expired {
		return fmt.Errorf("open of %s: %+v; want resumed %v, %d expired, seq %d", d.ID, got, resumed, d.Expired, d.Seq)
	}
	d.Online, d.Socket, d.Window, d.OS, d.Expired, d.Read, d.Sent, d.Stream = true, true, o.Window, o.OS, 0, d.Acked, nil, nil
	d.loose, d.Doubtful, d.Unknown = false, false, false
	d.Name, d.Begin, d.Hello = got.Name, got.Seq, Push{Cover: d.Acked, Seq: d.AckedSeq}
	x.Drop()
	if pending := x.Next(d) != nil; pending != got.Pending {
		return fmt.Errorf("open of %s: pending %v; want %v", d.ID, got.Pending, pending)
	}
	x.Drop() // where has excluded d from some
	if got.Expired > 0 {
		x.Save(d) // else it would be told of them twice
	}
	return nil
}

// Reopen continues the socket of d on a stream of that name.
func (x *Model) Reopen(d *Device, o Reopen, name string) {
	past := x.History[d.ID] // what was lost on its way cannot be acked
	x.History[d.ID] = past[:max(0, len(past)-(len(d.Stream)-o.Kept))]
	d.Stream = d.Stream[:o.Kept]
	d.Sent, d.Read = nil, d.Acked
	x.Ack(d, d.Hello.Cover, d.Hello.Seq)
	for _, p := range d.Stream[:o.Acked] {
		x.Ack(d, p.Cover, p.Seq)
	}
	d.Read = d.Acked
	for _, p := range d.Stream[o.Acked:] {
		d.Sent = append(d.Sent, p)
		for i := range d.Read {
			d.Read[i] = max(d.Read[i], p.Cover[i])
		}
	}
	x.Ack(d, d.Acked, 0) // some may have been acked beside the stream
	d.Seq = d.Begin + protocol.Seq(o.Kept)
	d.Online, d.Unknown, d.Name = true, false, name
}

// Close ends the stream and the socket of d.
func (x *Model) Close(d *Device) { d.Online, d.Socket = false, false }

// Pushed notes the cursor of a push of d's stream, and what that covers.
func (x *Model) Pushed(d *Device, i int, cursor string, cover [protocol.Lanes]int) {
	p := &d.Stream[i]
	p.Cursor, p.Cover = cursor, cover
	x.History[d.ID] = append(x.History[d.ID], *p)
}

// Ack acks what a cursor covers.
func (x *Model) Ack(d *Device, cover [protocol.Lanes]int, seq protocol.Seq) {
	for _, m := range x.All {
		m.acked = m.acked || m.WaitsFor(d) && m.Order <= cover[m.Lane]
	}
	for i := range protocol.Lanes {
		d.Acked[i] = max(d.Acked[i], cover[i])
		d.Read[i] = max(d.Read[i], d.Acked[i])
	}
	d.AckedSeq = max(d.AckedSeq, seq)
	for len(d.Sent) > 0 && d.Sent[0].Order <= d.Acked[d.Sent[0].Lane] {
		d.Sent = d.Sent[1:]
	}
}

// AckSeq acks the pushes of the stream up to seq.
func (x *Model) AckSeq(d *Device, seq protocol.Seq) {
	if len(d.Sent) == 0 || seq < d.Sent[0].Seq {
		return
	}
	cover := d.Acked
	for _, p := range d.Sent {
		if p.Seq <= seq {
			cover[p.Lane] = max(cover[p.Lane], p.Order)
		}
	}
	x.Ack(d, cover, seq)
}

// ForgetDevices forgets the devices of which gone reports so.
func (x *Model) ForgetDevices(gone func(*Device) bool) {
	x.Devices = slices.DeleteFunc(x.Devices, func(d *Device) bool {
		g := gone(d)
		for _, m := range x.All {
			if g {
				delete(m.matches, d.ID)
			}
		}
		return g
	})
	x.Drop()
}
