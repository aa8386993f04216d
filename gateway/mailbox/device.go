package mailbox

import (
	"sync"

	"ramen/protocol"
)

// Device is one known device of a user: a cursor over the mailbox. The mailbox's lock guards it.
type Device struct {
	// immutable
	box *Mailbox
	id  protocol.DeviceID

	next            *Device // of its user
	context         *protocol.DeviceContext
	acked           protocol.Cursor       // what it has acked
	inflight        *inflight             // nil: it has acked all that it was pushed, and has read no further
	window          *Window               // of its stream; nil while offline
	number          protocol.StreamNumber // of the latest stream; zero: this process knows none
	sinceMS         int64                 // when the stream was opened, or without one when the device was last seen
	expired         uint32                // messages for it that expired unacked since its last hello
	transport       protocol.Transport
	greeted         bool // it has had a hello
	uncleanShutdown bool // it had a stream when the gateway died: it may have acked more than was saved (uncertain.go)
	durable         bool // its record is known to be in the store
}

// ID is the device's id.
func (d *Device) ID() protocol.DeviceID { return d.id }

// Number is the number of its latest stream; zero: this process knows none.
func (d *Device) Number() protocol.StreamNumber { return d.number }

// Transport is the transport of its latest stream.
func (d *Device) Transport() protocol.Transport { return d.transport }

// Context is the context that its latest stream was opened or refreshed with.
func (d *Device) Context() *protocol.DeviceContext { return d.context }

// ConnectedMS is when its stream was opened.
func (d *Device) ConnectedMS() int64 { return d.sinceMS }

// Known reports whether the mailbox still has the device.
func (d *Device) Known() bool { return d.box.Device(d.id) == d }

// Durable reports whether the device's record is known to be in the store.
func (d *Device) Durable() bool { return d.durable }

// SetDurable notes that its record is in the store.
func (d *Device) SetDurable() { d.durable, d.box.marked = true, false }

// Pending is the number of messages that wait for the device.
func (d *Device) Pending() int {
	if d.box.lanes == nil {
		return 0
	}
	return d.tally().waiting()
}

// inflight is what a device was pushed beyond what it has acked. Most devices have none: releaseIfIdle returns it to the pool.
//
//	acked.At <= read <= the lanes' ends, lane by lane; sent holds what was pushed between them.
type inflight struct {
	pushed protocol.Cursor    // the last seq ever pushed, and the furthest push of each lane
	read   protocol.Positions // the last entry of each lane that its latest stream was pushed, or that was skipped because it is not for the device
	sent   []sent             // unacked pushes of its latest stream, in order; their seqs end at pushed.Seq
	bytes  int                // of payload in sent
	held   int64              // bytes of memory of sent, as counted
}

// sent is one unacked push.
type sent struct {
	pos   protocol.Position
	bytes int32
	lane  uint8
}

var inflights = sync.Pool{New: func() any { return new(inflight) }}

// keptSent is the largest capacity of sent that is kept while nothing is unacked.
const keptSent = 64

// makeInflight returns d's inflight for changing. The caller calls releaseIfIdle afterwards.
func (d *Device) makeInflight() *inflight {
	if d.inflight == nil {
		d.inflight = inflights.Get().(*inflight)
		d.inflight.pushed, d.inflight.read = d.acked, d.acked.At
	}
	return d.inflight
}

// releaseIfIdle returns the inflight to the pool if nothing was pushed beyond acked. A pointer to it must not be used afterwards.
func (d *Device) releaseIfIdle() {
	f := d.inflight
	if f == nil || len(f.sent) > 0 || f.read != d.acked.At || f.pushed.Seq != d.acked.Seq || f.pushed.At.Max(d.acked.At) != d.acked.At {
		return
	}
	if cap(f.sent) > keptSent { // rewound
		f.sent = nil
	}
	d.box.scope.Ledger.Memory.Add(-f.held)
	f.held = 0 // what is in the pool counts for no user
	inflights.Put(f)
	d.inflight = nil
}

// pushed is the last seq ever pushed, and the highest position pushed in each lane.
func (d *Device) pushed() protocol.Cursor {
	if d.inflight == nil {
		return d.acked
	}
	return d.inflight.pushed
}

// read is the last position in a lane that the latest stream was pushed or skipped.
func (d *Device) read(lane int) protocol.Position {
	if d.inflight == nil {
		return d.acked.At[lane]
	}
	return d.inflight.read[lane]
}

// unacked is the number of unacked pushes of the latest stream.
func (d *Device) unacked() int {
	if d.inflight == nil {
		return 0
	}
	return len(d.inflight.sent)
}

// AckedSeq is the seq of the stream up to which everything is acked.
func (d *Device) AckedSeq() protocol.Seq { return d.pushed().Seq - protocol.Seq(d.unacked()) }

// rewind makes the next push the first one behind at.
func (f *inflight) rewind(at protocol.Positions) { f.sent, f.bytes, f.read = f.sent[:0], 0, at }

// drop removes from sent what is acked: a prefix, since acks are cumulative.
func (f *inflight) drop(acked protocol.Positions) {
	n := 0
	for n < len(f.sent) && !acked[f.sent[n].lane].Less(f.sent[n].pos) {
		f.bytes -= int(f.sent[n].bytes)
		n++
	}
	f.sent = f.sent[:copy(f.sent, f.sent[n:])] // moved to the front, so that the buffer does not grow without end
	if len(f.sent) == 0 && cap(f.sent) > keptSent {
		f.sent = nil
	}
}

// nextEntry returns the next push: the oldest pending message of the highest priority (SPEC 2.5.1), or nil. It skips for good what has
// expired or is not for d. It evaluates where on a message that is the next push for the first time (SPEC 9.4.1).
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

// evaluate reports whether where of e matches d, and remembers the result.
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

// setMatch remembers the result of where for d. The message does not wait for a device that is excluded.
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
		d.tally().subtract(false)
		d.box.deviceDone(e, false)
	}
}

// deviceDone notes that e waits for one device less, and removes e if it waits for none and one has acked it.
func (b *Mailbox) deviceDone(e *entry, acked bool) {
	b.lanes.changes++
	e.waiting--
	e.acked = e.acked || acked
	if e.waiting <= 0 && e.acked {
		b.remove(e, Acked)
	}
}

// send makes the push of e, which nextEntry has just returned.
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
