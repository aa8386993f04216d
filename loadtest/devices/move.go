package devices

import "ramen/loadtest/expect"

// parted is a stream that a device reads on while its next one opens. SPEC 2.12
type parted struct {
	expect.Stream
	line    line
	seq     uint64
	unacked bool
	until   int64 // µs: when this side ends it
}

// partTime bounds how long both streams are read: a server ends the old one within its drain time, µs.
const partTime = 30e6

// move begins d's next stream, and keeps the old one until the server ends it.
func (d *Device) move() {
	if d.kind == pollKind { // the goaway has ended the poll
		d.drop()
	} else {
		d.leave()
		d.old = &parted{Stream: d.Part(), line: d.line, seq: d.seq, until: d.sh.now + partTime}
		d.line = nil
		d.unacked, d.ackDue = 0, 0
		d.sh.live--
		d.sh.stats.Moved++
	}
	d.state, d.due, d.intended = waiting, d.sh.now, d.sh.now
}

// leave lets go of the old stream.
func (d *Device) leave() {
	if o := d.old; o != nil {
		d.old = nil
		o.line.cut()
	}
}

// cut lets go of everything.
func (d *Device) cut() {
	d.leave()
	d.drop()
}

// has reports whether l is a stream of d's that is still read.
func (d *Device) has(l line) bool {
	return l != nil && (l == d.line || d.old != nil && l == d.old.line)
}

// onOld reports whether what is being taken is of the old stream.
func (d *Device) onOld() bool { return d.old != nil && d.from == d.old.line }

// pushOld takes a push of the old stream. Its cursor counts until the new stream has one.
func (d *Device) pushOld(p *push) {
	o := d.old
	o.seq, o.unacked = p.seq, true
	keeps := d.state != live && len(p.cursor) > 0
	if keeps {
		d.cursor = append(d.cursor[:0], p.cursor...)
	}
	d.count(d.PushedOn(d.sh.cfg.Book, &o.Stream, p.seq, p.id, keeps), p)
}
