package mailbox

import "ramen/protocol"

// Open is a request for a stream: the device, its context, and the cursor or seq from which it resumes.
type Open struct {
	Device    protocol.DeviceID
	Transport protocol.Transport
	Context   *protocol.DeviceContext
	Window    int // pushes; 0: the transport's most

	Cursor string // of the last push that the device has processed; empty: none
	// The first form of a cursor (SPEC 2.4.6), if Cursor is empty: Seq counted from the stream named Name. A seq without stream has no Name.
	HasSeq bool
	Seq    protocol.Seq
	Name   string

	Number protocol.StreamNumber // of the stream
	// Reopen says that a live socket goes on at a new owner. Seq is then that of the last push on the socket, or of its hello if there
	// was no push.
	Reopen bool
	Acked  string // the cursor that the device has acked or opened with; only this one counts as an ack
	Sent   []Sent // the unacked pushes on this socket after Acked, in order
}

// Sent is one push that went out on a socket.
type Sent struct {
	Seq      protocol.Seq
	Cursor   string
	Priority protocol.Priority
	Bytes    int // of payload: what it takes of the window
}

// Opened is the answer to an Open. SPEC 2.2.
type Opened struct {
	Name        string
	Resumed     bool
	Seq         protocol.Seq // the first push is Seq + 1
	Expired     uint32       // messages for this device that expired unacked since its last hello
	Cursor      string       // resumes exactly here
	Pending     bool         // something waits to be pushed
	AckedBeside bool         // of a re-open: part of Sent was acked meanwhile, but not on this stream
}

// Attach gives d a stream with window w. The device's older stream must have been detached.
func (b *Mailbox) Attach(d *Device, w *Window, o *Open, nowMS int64) (opened Opened) {
	if o.Reopen {
		var known bool
		opened.AckedBeside, known = d.reopen(o)
		opened.Resumed = true
		b.countUncertain(d, known, nowMS)
	} else {
		opened.Resumed = d.resume(o)
		b.countUncertain(d, opened.Resumed, nowMS)
	}
	d.releaseIfIdle()
	d.number, d.transport = o.Number, o.Transport
	d.setContext(o.Context)
	d.sinceMS = nowMS
	w.attach(d, o.Window)
	opened.Name = b.scope.streamName(o.Number)
	opened.Seq = d.pushed().Seq
	opened.Cursor = d.seal(protocol.Cursor{Seq: opened.Seq, At: d.acked.At})
	if !o.Reopen { // a re-open writes no hello
		opened.Expired = d.takeExpiredCount(nowMS)
	}
	opened.Pending = d.nextEntry(nowMS) != nil
	d.greeted = true
	d.markDirty()
	return opened
}

// resume counts the cursor that the device gives as an ack, and begins pushing behind what is acked. SPEC 2.3.1, 2.4.1, 2.4.7.
func (d *Device) resume(o *Open) (resumed bool) {
	switch {
	case o.Cursor != "":
		if c, err := d.box.verifyCursor(d.id, o.Cursor); err == nil {
			resumed = true
			d.ack(c)
		}
	case o.HasSeq && o.Name != "":
		resumed = o.Name == d.box.scope.streamName(d.number) && !d.number.IsZero() && o.Seq <= d.pushed().Seq
		if resumed {
			d.ackSeq(o.Seq)
		}
	}
	f := d.makeInflight()
	f.rewind(d.acked.At)
	f.pushed.Seq = max(f.pushed.Seq, d.acked.Seq)
	return resumed
}

// reopen continues a socket that had its stream on another gateway: it begins pushing behind what was sent on the socket, which is not
// acked. beside reports whether some of that was acked by other means meanwhile; known, whether o.Acked is a cursor of this device.
func (d *Device) reopen(o *Open) (beside, known bool) {
	if c, err := d.box.verifyCursor(d.id, o.Acked); err == nil {
		known = true
		d.ack(c)
	}
	f := d.makeInflight()
	f.rewind(d.acked.At)
	at := d.acked.At
	for k, w := range o.Sent {
		c, err := d.box.verifyCursor(d.id, w.Cursor)
		if err != nil || w.Seq+protocol.Seq(len(o.Sent)-1-k) != o.Seq || w.Priority.Lane() < 0 || w.Priority.Lane() >= protocol.Lanes {
			// Not cursors of this store, or gaps between them: push everything unacked again.
			f.rewind(d.acked.At)
			at = d.acked.At
			break
		}
		i := w.Priority.Lane()
		at[i] = c.At[i]
		f.read = f.read.Max(c.At)
		f.sent = append(f.sent, sent{pos: c.At[i], lane: uint8(i), bytes: int32(w.Bytes)})
		f.bytes += w.Bytes
	}
	f.pushed = protocol.Cursor{Seq: o.Seq, At: at}
	sent := len(f.sent)
	f.drop(d.acked.At)
	d.recountInflight()
	return len(f.sent) < sent, known
}

// takeExpiredCount returns the number of messages for d that expired since its last hello, and resets it. SPEC 2.2.8.
func (d *Device) takeExpiredCount(nowMS int64) (expired uint32) {
	if d.box.ExpiresBy(nowMS) {
		d.box.Sweep(nowMS)
	}
	expired, d.expired = d.expired, 0
	return expired
}

// PutBackExpired adds back a count that could not be told to the device.
func (d *Device) PutBackExpired(n uint32) { d.expired += n }
