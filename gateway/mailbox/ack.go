package mailbox

import "ramen/protocol"

// Ack is an ack that does not come on the device's stream. Exactly one of Cursor and Name is set.
type Ack struct {
	Device protocol.DeviceID
	Cursor string
	Seq    protocol.Seq
	Name   string // of the stream that Seq counts
}

// AckBeside applies an ack that did not come on the device's stream. moved reports whether the device's cursor moved. SPEC 5.5.
func (b *Mailbox) AckBeside(a Ack, nowMS int64) (d *Device, moved bool, err error) {
	d = b.Device(a.Device)
	if moved, err = b.ackOf(d, a); err != nil {
		return nil, false, err
	}
	if d.window == nil {
		d.sinceMS = nowMS
	}
	return d, moved, nil
}

func (b *Mailbox) ackOf(d *Device, a Ack) (moved bool, err error) {
	if a.Name != "" {
		switch {
		case d == nil || d.number.IsZero() || a.Name != b.scope.streamName(d.number):
			return false, protocol.Errorf(protocol.CodeNotFound, "stream %q is not the device's latest, or the server does not know it; ack with the cursor of the push", a.Name)
		case a.Seq > d.pushed().Seq:
			return false, protocol.Invalidf("ack of seq %d is beyond the last push, %d", a.Seq, d.pushed().Seq)
		}
		return d.ackSeq(a.Seq), nil
	}
	c, err := b.verifyCursor(a.Device, a.Cursor)
	if err != nil || d == nil {
		return false, protocol.Invalidf("the cursor cannot be honoured: it was not pushed to this device of this user")
	}
	return d.ack(c), nil
}

// Ack applies an ack of the device's stream, by seq, or by cursor if seq is 0. moved reports whether the device's cursor moved. SPEC 2.9.4, 2.9.5.
func (d *Device) Ack(seq protocol.Seq, cursor string) (moved bool, err *protocol.Error) {
	switch {
	case seq > d.pushed().Seq:
		return false, protocol.Invalidf("ack of seq %d is beyond the last push, %d", seq, d.pushed().Seq)
	case seq > 0 || cursor == "":
		return d.ackSeq(seq), nil
	}
	c, e := d.box.verifyCursor(d.id, cursor)
	if e != nil {
		return false, protocol.Invalidf("the acked cursor cannot be honoured: it was not pushed to this device")
	}
	return d.ack(c), nil
}

// verifyCursor reads a cursor of the device. It fails if the cursor is not authentic, or is beyond all positions given so far. SPEC 2.4.2.
func (b *Mailbox) verifyCursor(id protocol.DeviceID, text string) (protocol.Cursor, error) {
	c, err := b.scope.Sealer.Open(b.user, id, text)
	if err != nil {
		return c, err
	}
	epoch := b.scope.Owner.Epoch
	for _, p := range c.At {
		if p.Epoch > epoch || p.Epoch == epoch && p.Micros > b.scope.Positions.last.Load() {
			return c, protocol.ErrForeignCursor // the store was set back since
		}
	}
	return c, nil
}

// ackSeq acks the stream's pushes up to seq, which is at most pushed.Seq.
func (d *Device) ackSeq(seq protocol.Seq) (moved bool) {
	f := d.inflight
	if f == nil || seq+protocol.Seq(len(f.sent)) <= f.pushed.Seq {
		return false
	}
	c := protocol.Cursor{Seq: seq, At: d.acked.At}
	for _, s := range f.sent[:seq+protocol.Seq(len(f.sent))-f.pushed.Seq] {
		c.At[s.lane] = s.pos
	}
	return d.ack(c)
}

// ack moves the device's cursor to c in the lanes in which c is further, and reports whether it moved. Entries up to it do not wait for d
// any more.
func (d *Device) ack(c protocol.Cursor) (moved bool) {
	old := d.acked
	acked := protocol.Cursor{Seq: max(old.Seq, c.Seq), At: old.At.Max(c.At)}
	if acked == old {
		return false
	}
	f := d.makeInflight() // with the old d.acked
	defer d.releaseIfIdle()
	d.acked = acked
	d.markDirty()
	if acked.At == old.At {
		return false // only the seq differs: nothing was pushed in between
	}
	f.read = f.read.Max(acked.At)
	for i := range protocol.Lanes {
		if old.At[i].Less(acked.At[i]) {
			d.pass(i, old.At[i], acked.At[i])
		}
	}
	f.drop(acked.At)
	d.recountInflight()
	d.box.trim()
	return true
}

// pass notes that d has acked the entries of lane i behind from, up to and including to.
func (d *Device) pass(i int, from, to protocol.Position) {
	l := d.box.lane(i)
	if len(l.entries) == 0 {
		return
	}
	t := d.tally()
	for at := l.after(from); at < len(l.entries) && !to.Less(l.entries[at].pos); at++ {
		e := l.entries[at]
		if e.dead || !e.targets(d.id) || e.matches[d.id] == excluded {
			continue
		}
		pending := e.pendingFor(d)
		t.subtract(pending)
		d.box.deviceDone(e, pending)
	}
}
