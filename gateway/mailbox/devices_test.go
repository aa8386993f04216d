package mailbox_test

import (
	"math"

	"ramen/gateway/mailbox"
	"ramen/protocol"
)

func (f *fixture) open(id string) {
	f.cut(id)
	os := []string{"ios", "android"}[f.pick(2)]
	o := &mailbox.Open{Device: protocol.DeviceID(id), Transport: protocol.TransportWS, Context: &protocol.DeviceContext{OS: os}, Window: 1 + f.pick(8)}
	d, m := f.b.Device(o.Device), f.x.device(id)
	if (d == nil) != (m == nil) {
		f.fatal("device %s is known: %v", id, d != nil)
	}
	if d == nil {
		var err error
		if d, err = f.b.AddDevice(o, f.x.nowMS); err != nil {
			f.fatal("add %s: %v", id, err)
		}
		m = &modelDevice{id: id, modelRecord: modelRecord{os: os}}
		f.x.devices = append(f.x.devices, m)
	}
	if !d.Durable() {
		f.saveNow(d, m)
		d.SetDurable()
	}
	resumed, begin := false, func() {}
	switch last := f.history[id]; f.pick(3) {
	case 0:
		if len(last) > 0 {
			p := last[len(last)-1-f.pick(len(last))]
			o.Cursor, resumed, begin = p.cursor, true, func() { f.x.ack(m, p.cover, p.seq) }
		}
	case 1:
		if opened, ok := f.names[id]; ok {
			o.HasSeq, o.Name, o.Seq = true, opened.Name, opened.Seq+protocol.Seq(f.pick(len(f.pushes[id])+1))
			if resumed = !m.unknown; resumed {
				begin = func() { f.x.ackSeq(m, o.Seq) }
			}
		}
	}
	f.note("open %s cursor %v name %q seq %d window %d %s", id, o.Cursor != "", o.Name, o.Seq, o.Window, os)
	o.Number = f.b.Scope().NewStream()
	w := new(mailbox.Window)
	opened := f.b.Attach(d, w, o, f.x.nowMS)
	begin()
	m.seq = max(m.seq, m.ackedSeq)
	if m.unsaved && m.ackedSeq <= opened.Seq && opened.Seq < m.seq {
		m.seq = opened.Seq
	}
	if opened.Resumed != resumed || opened.Seq != m.seq || opened.Expired > m.expired || !m.unsaved && opened.Expired < m.expired {
		f.fatal("open of %s: %+v; want resumed %v, %d expired, seq %d", id, opened, resumed, m.expired, m.seq)
	}
	m.online, m.window, m.os, m.expired, m.read, m.sent, m.stream = true, o.Window, os, 0, m.acked, nil, nil
	m.unsaved, m.unknown = false, false
	f.x.drop()
	if pending := f.x.next(m) != nil; pending != opened.Pending {
		f.fatal("open of %s: pending %v; want %v", id, opened.Pending, pending)
	}
	f.x.drop() // whom where turns away holds nothing back
	w.AddCredit(math.MaxInt32)
	f.windows[id], f.names[id], f.pushes[id] = w, opened, nil
	if opened.Expired > 0 { // else it would be told of them twice
		f.saveNow(d, m)
	}
}

// saveNow saves one device, and before it what has expired by its record.
func (f *fixture) saveNow(d *mailbox.Device, m *modelDevice) {
	if forgets := f.b.TakeForgets(); forgets != nil {
		f.disk.forget(forgets)
		f.b.Forgotten(forgets)
	}
	f.disk.save(d.Save(f.x.nowMS))
	f.x.save(m)
}

// cut ends the stream of a device.
func (f *fixture) cut(id string) {
	if w := f.windows[id]; w != nil {
		f.note("cut %s", id)
		w.Detach(f.x.nowMS)
		delete(f.windows, id)
		f.x.device(id).online = false
	}
}

func (f *fixture) refresh(id string) {
	if w := f.windows[id]; w != nil {
		d := f.x.device(id)
		d.os = []string{"ios", "android"}[f.pick(2)]
		f.note("refresh %s %s", id, d.os)
		w.Refresh(&protocol.DeviceContext{OS: d.os}, f.x.nowMS)
	}
}

// ack acks pushes of a stream.
func (f *fixture) ack(id string) {
	w, list := f.windows[id], f.pushes[id]
	if w == nil || len(list) == 0 {
		return
	}
	p, d := list[len(list)-1-f.pick(3)%len(list)], f.x.device(id)
	f.note("ack %s %d", id, p.seq)
	var err *protocol.Error
	if f.pick(2) == 0 {
		_, err = w.Device().Ack(p.seq, "")
		f.x.ackSeq(d, p.seq)
	} else {
		_, err = w.Device().Ack(0, p.cursor)
		f.x.ack(d, p.cover, p.seq)
	}
	if err != nil {
		f.fatal("ack of %s: %v", id, err)
	}
	w.Progress()
}

// ackBeside acks by a cursor that a device was ever pushed, or by seq of its latest stream.
func (f *fixture) ackBeside(id string) {
	d, list := f.x.device(id), f.history[id]
	if d == nil || len(list) == 0 {
		return
	}
	a := mailbox.Ack{Device: protocol.DeviceID(id)}
	if latest := f.pushes[id]; f.pick(2) == 0 && len(latest) > 0 && !d.unknown {
		a.Name, a.Seq = f.names[id].Name, latest[f.pick(len(latest))].seq
		f.x.ackSeq(d, a.Seq)
	} else {
		p := list[len(list)-1-f.pick(len(list))]
		a.Cursor = p.cursor
		f.x.ack(d, p.cover, p.seq)
	}
	f.note("ack beside %s name %q seq %d", id, a.Name, a.Seq)
	if _, _, err := f.b.AckBeside(a, f.x.nowMS); err != nil {
		f.fatal("ack beside of %s: %v", id, err)
	}
	if w := f.windows[id]; w != nil {
		w.Progress()
	}
}

// deliver pushes all that may be pushed.
func (f *fixture) deliver() {
	f.heed()
	f.x.settle()
	for _, d := range f.x.devices {
		id, w := d.id, f.windows[d.id]
		for more := w != nil; more; {
			var batch *mailbox.Batch
			if batch, more = w.Next(f.x.nowMS); batch == nil {
				break
			}
			for _, p := range batch.Pushes {
				f.pushed(id, p)
			}
			batch.Free()
		}
		if w != nil && (len(f.pushes[id]) != len(d.stream) || w.Full() != (len(d.sent) >= d.window)) {
			f.fatal("%s was pushed %d, full %v; want %d of %v", id, len(f.pushes[id]), w.Full(), len(d.stream), d.stream)
		}
	}
	f.heed()
}

func (f *fixture) pushed(id string, p protocol.Push) {
	d, n := f.x.device(id), len(f.pushes[id])
	if n >= len(d.stream) || d.stream[n].id != string(p.Message.ID) || d.stream[n].seq != p.Seq {
		f.fatal("%s was pushed %s as its %d; want %v", id, p.Message.ID, n, d.stream)
	}
	at := push{d.stream[n], p.Cursor}
	at.cover = f.cover(id, at)
	f.pushes[id] = append(f.pushes[id], at)
	f.history[id] = append(f.history[id], at)
}

// cover is what the cursor of a push acks. What has left before it, and comes back after a crash, need not be among that.
func (f *fixture) cover(id string, p push) (cover [protocol.Lanes]int) {
	c, err := f.common.Sealer.Open(user, protocol.DeviceID(id), p.cursor)
	if err != nil {
		f.fatal("cursor of %s: %v", p.id, err)
	}
	for at, m := range f.places {
		if i := m.lane; !c.At[i].Less(at) {
			cover[i] = max(cover[i], m.order)
		}
	}
	for i := range cover {
		if cover[i] > p.cover[i] {
			f.fatal("the cursor of %s at %s acks %v; want %v", p.id, id, cover, p.cover)
		}
	}
	return cover
}
