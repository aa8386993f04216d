package mailbox_test

import (
	"math"

	"ramen/gateway/mailbox"
	"ramen/gateway/mailbox/mailboxtest"
	"ramen/protocol"
)

func (f *fixture) open(a mailboxtest.Open) {
	f.detach(a.Device)
	o := &mailbox.Open{Device: protocol.DeviceID(a.Device), Transport: protocol.TransportWS, Context: &protocol.DeviceContext{OS: a.OS}, Window: a.Window}
	d := f.b.Device(o.Device)
	m, isNew := f.x.Know(a.Device, a.OS)
	if (d == nil) != isNew {
		f.fatal("device %s is known: %v", a.Device, d != nil)
	}
	if d == nil {
		var err error
		if d, err = f.b.AddDevice(o, f.x.NowMS); err != nil {
			f.fatal("add %s: %v", a.Device, err)
		}
	}
	if !d.Durable() {
		f.saveNow(d)
		d.SetDurable()
	}
	switch a.From {
	case mailboxtest.FromCursor:
		o.Cursor = a.Push.Cursor
	case mailboxtest.FromSeq:
		o.HasSeq, o.Name, o.Seq = true, m.Name, m.Begin+protocol.Seq(a.Pushes)
	case mailboxtest.FromForged:
		o.Cursor = "kforged"
	}
	o.Number = f.b.Scope().NewStream()
	opened := f.attach(d, o)
	err := f.x.Open(m, a, mailboxtest.Opened{Name: opened.Name, Seq: opened.Seq, Expired: opened.Expired, Resumed: opened.Resumed, Pending: opened.Pending})
	if err != nil {
		f.fatal("%v", err)
	}
	m.Hello.Cover = f.cover(a.Device, opened.Cursor, m.Acked)
	f.opened[a.Device], f.number[a.Device], f.pushed[a.Device] = opened, o.Number, 0
	if opened.Expired > 0 { // else it would be told of them twice
		f.saveNow(d)
	}
}

func (f *fixture) attach(d *mailbox.Device, o *mailbox.Open) mailbox.Opened {
	w := new(mailbox.Window)
	opened := f.b.Attach(d, w, o, f.x.NowMS)
	w.AddCredit(math.MaxInt32)
	f.windows[string(o.Device)] = w
	return opened
}

// reopen continues a socket, as a frontend does that has lost its gateway.
func (f *fixture) reopen(a mailboxtest.Reopen) {
	f.detach(a.Device)
	m, hello := f.x.Device(a.Device), f.opened[a.Device]
	o := &mailbox.Open{Device: protocol.DeviceID(a.Device), Transport: protocol.TransportWS, Context: &protocol.DeviceContext{OS: m.OS}, Window: m.Window,
		Reopen: true, Number: f.number[a.Device], Acked: hello.Cursor, Seq: m.Begin + protocol.Seq(a.Kept)}
	if a.Acked > 0 {
		o.Acked = m.Stream[a.Acked-1].Cursor
	}
	for _, p := range m.Stream[a.Acked:a.Kept] {
		o.Sent = append(o.Sent, mailbox.Sent{Seq: p.Seq, Cursor: p.Cursor, Priority: protocol.LanePriority(p.Lane), Bytes: 1})
	}
	opened := f.attach(f.b.Device(o.Device), o)
	f.x.Reopen(m, a, opened.Name)
	if opened.Seq != m.Seq {
		f.fatal("re-open of %s: seq %d; want %d", a.Device, opened.Seq, m.Seq)
	}
	f.pushed[a.Device] = a.Kept
}

// saveNow saves one device, and before it what has expired by its record.
func (f *fixture) saveNow(d *mailbox.Device) {
	if forgets := f.b.TakeForgets(); forgets != nil {
		f.disk.forget(forgets)
		f.b.Forgotten(forgets)
	}
	f.disk.save(d.Save(f.x.NowMS))
}

// detach ends the stream of a device.
func (f *fixture) detach(id string) {
	if w := f.windows[id]; w != nil {
		w.Detach(f.x.NowMS)
		delete(f.windows, id)
		f.x.Device(id).Online = false
	}
}

func (f *fixture) refresh(a mailboxtest.Refresh) {
	f.x.Device(a.Device).OS = a.OS
	f.windows[a.Device].Refresh(&protocol.DeviceContext{OS: a.OS}, f.x.NowMS)
}

// ack acks pushes of a stream.
func (f *fixture) ack(a mailboxtest.Ack) {
	d, w := f.x.Device(a.Device), f.windows[a.Device]
	var err *protocol.Error
	if a.ByCursor {
		p := d.Stream[a.Pushes-1]
		_, err = w.Device().Ack(0, p.Cursor)
		f.x.Ack(d, p.Cover, p.Seq)
	} else {
		seq := d.Begin + protocol.Seq(a.Pushes)
		_, err = w.Device().Ack(seq, "")
		f.x.AckSeq(d, seq)
	}
	if err != nil {
		f.fatal("ack of %s: %v", a.Device, err)
	}
	w.Progress()
}

func (f *fixture) ackBeside(a mailboxtest.AckBeside) {
	d, k := f.x.Device(a.Device), mailbox.Ack{Device: protocol.DeviceID(a.Device)}
	if a.Push != nil {
		k.Cursor = a.Push.Cursor
		f.x.Ack(d, a.Push.Cover, a.Push.Seq)
	} else {
		k.Name, k.Seq = d.Name, d.Begin+protocol.Seq(a.Pushes)
		f.x.AckSeq(d, k.Seq)
	}
	if _, _, err := f.b.AckBeside(k, f.x.NowMS); err != nil {
		f.fatal("ack beside of %s: %v", a.Device, err)
	}
	if w := f.windows[a.Device]; w != nil {
		w.Progress()
	}
}

// deliver pushes all that may be pushed.
func (f *fixture) deliver() {
	f.heed()
	f.x.Deliver()
	for _, d := range f.x.Devices {
		w := f.windows[d.ID]
		for more := w != nil; more; {
			var batch *mailbox.Batch
			if batch, more = w.Next(f.x.NowMS); batch == nil {
				break
			}
			for _, p := range batch.Pushes {
				f.push(d, p)
			}
			batch.Free()
		}
		if w != nil && (f.pushed[d.ID] != len(d.Stream) || w.Full() != (len(d.Sent) >= d.Window)) {
			f.fatal("%s was pushed %d, full %v; want %d of %v", d.ID, f.pushed[d.ID], w.Full(), len(d.Stream), d.Stream)
		}
	}
	f.heed()
}

func (f *fixture) push(d *mailboxtest.Device, p protocol.Push) {
	n := f.pushed[d.ID]
	if n >= len(d.Stream) || d.Stream[n].ID != string(p.Message.ID) || d.Stream[n].Seq != p.Seq {
		f.fatal("%s was pushed %s as its %d; want %v", d.ID, p.Message.ID, n, d.Stream)
	}
	f.x.Pushed(d, n, p.Cursor, f.cover(d.ID, p.Cursor, d.Stream[n].Cover))
	f.pushed[d.ID]++
}

// cover is what a cursor acks, of which want is the most. What has left before the cursor was given, and comes back after a crash, need not be
// among that.
func (f *fixture) cover(id, cursor string, want [protocol.Lanes]int) (cover [protocol.Lanes]int) {
	c, err := f.common.Sealer.Open(user, protocol.DeviceID(id), cursor)
	if err != nil {
		f.fatal("cursor of %s: %v", id, err)
	}
	for at, m := range f.places {
		if i := m.Lane; !c.At[i].Less(at) {
			cover[i] = max(cover[i], m.Order)
		}
	}
	for i := range cover {
		if cover[i] > want[i] {
			f.fatal("a cursor of %s acks %v; want %v", id, cover, want)
		}
	}
	return cover
}
