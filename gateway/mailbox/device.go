package mailbox

import (
	"sync"

	"ramen/protocol"
)

// Device is one known device of a user: a cursor over the mailbox. It is guarded like its mailbox.
type Device struct {
	// immutable
	box *Mailbox
	id  protocol.DeviceID

	next            *Device // of its user
	context         *protocol.DeviceContext
	acked           protocol.Cursor       // what it has acked
	inflight        *inflight             // nil: it has acked all that it was pushed, and read no further
	window          *Window               // of its stream; nil while offline
	number          protocol.StreamNumber // of the latest stream; zero where this process knows none
	sinceMS         int64                 // with a stream: it was opened; offline: last seen
	expired         uint32                // messages for it that expired unacked since its last hello
	transport       protocol.Transport
	greeted         bool // it has had a hello
	uncleanShutdown bool // it had a stream when its process died: it may have acked more than was saved (uncertain.go)
	durable         bool // its record is known to be in the store
}

// ID names the device.
func (d *Device) ID() protocol.DeviceID { return d.id }

// Number is that of its latest stream; zero where this process knows none.
func (d *Device) Number() protocol.StreamNumber { return d.number }

// Transport is that of its latest stream.
func (d *Device) Transport() protocol.Transport { return d.transport }

// Context is what its latest stream said of it.
func (d *Device) Context() *protocol.DeviceContext { return d.context }

// ConnectedMS is when its stream was opened.
func (d *Device) ConnectedMS() int64 { return d.sinceMS }

// Known reports whether its mailbox still has it.
func (d *Device) Known() bool { return d.box.Device(d.id) == d }

// Durable reports whether its record is known to be in the store; SetDurable says that it is.
func (d *Device) Durable() bool { return d.durable }

// SetDurable notes that its record is in the store.
func (d *Device) SetDurable() { d.durable, d.box.marked = true, false }

// Pending is how many messages wait for it.
func (d *Device) Pending() int {
	if d.box.lanes == nil {
		return 0
	}
	return d.tally().waiting()
}

// inflight is how far a device has come beyond what it has acked. Most have none: it is back in a pool once there is nothing beyond.
//
//	acked.At <= read <= the lanes' ends, lane by lane; sent holds what was pushed between them.
type inflight struct {
	pushed protocol.Cursor    // the last seq ever pushed, and the furthest push of each lane
	read   protocol.Positions // how far its latest stream has come: pushed, or passed over as not for it
	sent   []sent             // unacked pushes of its latest stream, in order; their seqs end at pushed.Seq
	bytes  int                // of payload in sent
	held   int64              // bytes of memory of sent, as they were counted
}

// sent is one unacked push.
type sent struct {
	pos   protocol.Position
	bytes int32
	lane  uint8
}

var inflights = sync.Pool{New: func() any { return new(inflight) }}

// keptSent is the most pushes that an inflight has room for while none is unacked.
const keptSent = 64

// makeInflight is d's inflight to change. releaseIfIdle follows.
func (d *Device) makeInflight() *inflight {
	if d.inflight == nil {
		d.inflight = inflights.Get().(*inflight)
		d.inflight.pushed, d.inflight.read = d.acked, d.acked.At
	}
	return d.inflight
}

// releaseIfIdle gives the inflight back where it says nothing beyond acked. Whoever had it before must ask for it again.
func (d *Device) releaseIfIdle() {
	f := d.inflight
	if f == nil || len(f.sent) > 0 || f.read != d.acked.At || f.pushed.Seq != d.acked.Seq || f.pushed.At.Max(d.acked.At) != d.acked.At {
		return
	}
	if cap(f.sent) > keptSent { // rewound
		f.sent = nil
	}
	d.box.scope.Ledger.Memory.Add(-f.held)
	f.held = 0 // what a spare one keeps is nobody's
	inflights.Put(f)
	d.inflight = nil
}

// pushed is the last seq ever pushed, and the furthest push of each lane.
func (d *Device) pushed() protocol.Cursor {
	if d.inflight == nil {
		return d.acked
	}
	return d.inflight.pushed
}

// read is how far the latest stream has come in a lane.
func (d *Device) read(lane int) protocol.Position {
	if d.inflight == nil {
		return d.acked.At[lane]
	}
	return d.inflight.read[lane]
}

// unacked is how many pushes of the latest stream are not acked.
func (d *Device) unacked() int {
	if d.inflight == nil {
		return 0
	}
	return len(d.inflight.sent)
}

// AckedSeq is the seq of the stream up to which everything is acked.
func (d *Device) AckedSeq() protocol.Seq { return d.pushed().Seq - protocol.Seq(d.unacked()) }

// rewind begins anew behind at.
func (f *inflight) rewind(at protocol.Positions) { f.sent, f.bytes, f.read = f.sent[:0], 0, at }

// drop takes from sent what is acked: a prefix, since pushes are acked in their order.
func (f *inflight) drop(acked protocol.Positions) {
	n := 0
	for n < len(f.sent) && !acked[f.sent[n].lane].Less(f.sent[n].pos) {
		f.bytes -= int(f.sent[n].bytes)
		n++
	}
	f.sent = f.sent[:copy(f.sent, f.sent[n:])] // to the front: behind a slice of it the whole buffer would be kept
	if len(f.sent) == 0 && cap(f.sent) > keptSent {
		f.sent = nil
	}
}

// nextEntry is the oldest pending message of the highest priority: alive, for d, behind what it was pushed. It passes over for good
// what is not, and evaluates where on what is first the next. SPEC 2.5, 9.
func (d *Device) nextEntry(nowMS int64) *entry {
	for i := range protocol.Lanes {
		l := d.box.lane(i)
		for at := l.after(d.read(i)); at < len(l.entries); at++ {
			e := l.entries[at]
			if !e.dead && e.msg.ExpiresMS <= nowMS {
				d.box.expire(e)
			}
			if !e.dead && e.targets(d.id) && d.evaluate(e) {
				return e
			}
			d.makeInflight().read[i] = e.pos
		}
	}
	return nil
}

// evaluate reports whether where of e matches d. The first answer stands.
func (d *Device) evaluate(e *entry) bool {
	if e.where == nil {
		return true
	}
	m := e.matches[d.id]
	if m == unevaluated {
		m = excluded
		if d.context.Matches(e.where) {
			m = matched
		}
		d.setMatch(e, m)
	}
	return m != excluded
}

// setMatch notes a match. A device that where excludes no longer holds the message back.
func (d *Device) setMatch(e *entry, m match) {
	if e.matches == nil {
		e.matches = make(map[protocol.DeviceID]match, 1)
	}
	e.matches[d.id] = m
	if n := len(e.matches); n == 1 || n > fewInMap {
		if more := MessageBytes(e.msg, e.device, e.where) + matchesBytes(n) - int64(e.size); more > 0 {
			e.size += int32(more)
			d.box.hold(more)
		}
	}
	if m == excluded {
		d.tally().take(false)
		d.box.deviceDone(e, false)
	}
}

// deviceDone counts one device less that e waits for, and removes e once none is left and one has acked it.
func (b *Mailbox) deviceDone(e *entry, acked bool) {
	b.lanes.changes++
	e.waiting--
	e.acked = e.acked || acked
	if e.waiting <= 0 && e.acked {
		b.remove(e, Acked)
	}
}

// send numbers the push of e, which nextEntry has just chosen.
func (d *Device) send(e *entry) protocol.Push {
	i, f := e.msg.Priority.Lane(), d.makeInflight()
	again := !f.pushed.At[i].Less(e.pos)
	if e.where != nil {
		again = e.matches[d.id] == matchedAndPushed
		e.matches[d.id] = matchedAndPushed
	}
	f.read[i] = e.pos
	f.pushed.Seq++
	if f.pushed.At[i].Less(e.pos) {
		f.pushed.At[i] = e.pos
	}
	f.sent = append(f.sent, sent{pos: e.pos, bytes: int32(len(e.msg.Payload)), lane: uint8(i)})
	d.recountInflight()
	f.bytes += len(e.msg.Payload)
	return protocol.Push{
		Seq:         f.pushed.Seq,
		Cursor:      d.seal(protocol.Cursor{Seq: f.pushed.Seq, At: f.read}),
		Redelivered: again,
		Message:     e.msg,
	}
}

func (d *Device) seal(c protocol.Cursor) string { return d.box.scope.Sealer.Seal(d.box.user, d.id, c) }
