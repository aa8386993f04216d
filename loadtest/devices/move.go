package devices

import "ramen/loadtest/expect"

// oldStream is a stream that the device keeps reading while its next one opens. SPEC 2.12.6
type oldStream struct {
	expect.Stream
	conn    conn
	seq     uint64
	unacked bool
	until   int64 // µs: when this side gives up on it
}

// oldStreamTime bounds how long both streams are read, in µs: a server ends the old one within its drain time.
const oldStreamTime = 30e6

// move begins d's next stream, and keeps the old one until the server ends it.
func (d *Device) move() {
	if d.kind == pollKind { // the goaway has ended the poll
		d.drop()
	} else {
		d.leave()
		d.old = &oldStream{Stream: d.Part(), conn: d.conn, seq: d.seq, until: d.sh.now + oldStreamTime}
		d.conn = nil
		d.unacked, d.ackDue = 0, 0
		d.sh.live--
		d.sh.stats.Moved++
	}
	d.state, d.due, d.intended = waiting, d.sh.now, d.sh.now
}

// leave closes the old stream.
func (d *Device) leave() {
	if o := d.old; o != nil {
		d.old = nil
		o.conn.cut()
	}
}

// cut closes both streams.
func (d *Device) cut() {
	d.leave()
	d.drop()
}

// has reports whether c is a connection of d that is still read.
func (d *Device) has(c conn) bool {
	return c != nil && (c == d.conn || d.old != nil && c == d.old.conn)
}

// onOld reports whether the bytes being read are those of the old stream.
func (d *Device) onOld() bool { return d.old != nil && d.from == d.old.conn }

// pushOld handles a push on the old stream. Its cursor counts until the new stream has one.
func (d *Device) pushOld(p *push) {
	o := d.old
	o.seq, o.unacked = p.seq, true
	keeps := d.state != live && len(p.cursor) > 0
	if keeps {
		d.cursor = append(d.cursor[:0], p.cursor...)
	}
	d.count(d.PushedOn(d.sh.cfg.Expected, &o.Stream, p.seq, p.id, keeps), p)
}
