package mailbox

import "ramen/protocol"

// Open asks for a stream of a device: where the device says that it stands, and what it is.
type Open struct {
	Device    protocol.DeviceID
	Transport protocol.Transport
	Context   *protocol.DeviceContext
	Window    int // pushes; 0: the transport's most

	Cursor string // where the device stands; empty: no cursor
	// The first form, where Cursor is empty: Seq counted from the stream named Name. A bare seq has no Name.
	HasSeq bool
	Seq    protocol.Seq
	Name   string

	Number protocol.StreamNumber // of the stream
	// Reopen says that a live socket goes on at a new owner. Seq is then that of the last push on the socket, or of its hello
	// where there was none.
	Reopen bool
	Acked  string // the cursor that the device has acked or come with; it alone moves the saved cursor
	Sent   []Sent // what went out on this socket after Acked, in order: not acked
}

// Sent is one push that went out on a socket.
type Sent struct {
	Seq      protocol.Seq
	Cursor   string
	Priority protocol.Priority
	Bytes    int // of payload: what it takes of the window
}

// Opened says where the stream begins.
type Opened struct {
	Name        string
	Resumed     bool
	Seq         protocol.Seq // the first push is Seq + 1
	Expired     uint32       // messages for this device that expired unacked since its last hello
	Cursor      string       // resumes at exactly this place
	Pending     bool         // something is to be pushed
	AckedBeside bool         // of a re-open: some of what was sent was acked by another way meanwhile
}

// Attach gives d a stream: w becomes its window, and d's older one has ended before.
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
	if !o.Reopen { // a re-open tells no hello
		opened.Expired = d.takeExpiredCount(nowMS)
	}
	opened.Pending = d.nextEntry(nowMS) != nil
	d.greeted = true
	d.markDirty()
	return opened
}

// resume takes what the device says of where it stands as acks, and begins anew behind them. SPEC 2.3, 2.4.
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

// reopen goes on with a socket that had another gateway: behind what went out on it, which is not acked. beside reports that some
// of it was acked beside the stream meanwhile; known, that what was acked is.
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
			// Not written by this store, or not these pushes: all is pushed again.
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

// takeExpiredCount is how many messages for d expired since its last hello, up to this moment; the count begins anew.
func (d *Device) takeExpiredCount(nowMS int64) (expired uint32) {
	if d.box.ExpiresBy(nowMS) {
		d.box.Sweep(nowMS)
	}
	expired, d.expired = d.expired, 0
	return expired
}

// PutBackExpired gives back a count that its device was not told.
func (d *Device) PutBackExpired(n uint32) { d.expired += n }
