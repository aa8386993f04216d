package gateway

import (
	"sync"

	"ramen/protocol"
	"ramen/store"
)

// device is one known device of a user: a cursor over the mailbox. Guarded by its mailbox's mu.
type device struct {
	// immutable
	mb *mailbox
	id protocol.DeviceID

	next      *device // of its user
	context   *protocol.DeviceContext
	acked     protocol.Cursor       // what it has acked
	flow      *flow                 // nil: it has acked all that it was pushed, and read no further
	stream    *stream               // nil while offline
	number    protocol.StreamNumber // of the latest stream; zero where this process knows none
	sinceMS   int64                 // with a stream: it was opened; offline: last seen
	expired   uint32
	transport protocol.Transport
	greeted   bool // it has had a hello
	doubtful  bool // it had a stream when its process died: it may have acked more than was saved (doubt.go)
	durable   bool // its record is known to be in the store
}

// flow is how far a device has come beyond what it has acked. Most have none: it is back in a pool once there is nothing beyond.
//
//	acked.At <= read <= the lanes' ends, lane by lane; sent holds what was pushed between them.
type flow struct {
	pushed protocol.Cursor    // the last seq ever pushed, and the furthest push of each lane
	read   protocol.Positions // how far its latest stream has come: pushed, or passed over as not for it
	sent   []sent             // unacked pushes of its latest stream, in order; their seqs end at pushed.Seq
	bytes  int                // of payload in sent
	held   int64              // bytes of memory of sent, as they were counted
}

var flows = sync.Pool{New: func() any { return new(flow) }}

// keptSent is the most pushes that a flow has room for while none is unacked.
const keptSent = 64

// flowLocked is d's flow to change. restLocked follows.
func (d *device) flowLocked() *flow {
	if d.flow == nil {
		d.flow = flows.Get().(*flow)
		d.flow.pushed, d.flow.read = d.acked, d.acked.At
	}
	return d.flow
}

// restLocked gives the flow back where it says nothing beyond acked. Whoever had it before must ask for it again.
func (d *device) restLocked() {
	f := d.flow
	if f == nil || len(f.sent) > 0 || f.read != d.acked.At || f.pushed.Seq != d.acked.Seq || f.pushed.At.Max(d.acked.At) != d.acked.At {
		return
	}
	if cap(f.sent) > keptSent { // rewound
		f.sent = nil
	}
	d.mb.g.memory.Add(-f.held)
	f.held = 0 // what a spare one keeps is nobody's
	flows.Put(f)
	d.flow = nil
}

// pushedLocked is the last seq ever pushed, and the furthest push of each lane.
func (d *device) pushedLocked() protocol.Cursor {
	if d.flow == nil {
		return d.acked
	}
	return d.flow.pushed
}

// readLocked is how far the latest stream has come in a lane.
func (d *device) readLocked(lane int) protocol.Position {
	if d.flow == nil {
		return d.acked.At[lane]
	}
	return d.flow.read[lane]
}

// unackedLocked is how many pushes of the latest stream are not acked.
func (d *device) unackedLocked() int {
	if d.flow == nil {
		return 0
	}
	return len(d.flow.sent)
}

// rewind begins anew behind at.
func (f *flow) rewind(at protocol.Positions) { f.sent, f.bytes, f.read = f.sent[:0], 0, at }

// drop takes from sent what is acked: a prefix, since pushes are acked in their order.
func (f *flow) drop(acked protocol.Positions) {
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

// sent is one unacked push.
type sent struct {
	pos   protocol.Position
	bytes int32
	lane  uint8
}

// nextLocked is the oldest pending message of the highest priority: alive, for d, behind what it was pushed. It passes
// over for good what is not, and judges where on what is first the next. SPEC 2.5, 9.
func (d *device) nextLocked(nowMS int64) *entry {
	for i := range protocol.Lanes {
		l := d.mb.laneLocked(i)
		for at := l.after(d.readLocked(i)); at < len(l.entries); at++ {
			e := l.entries[at]
			if !e.dead && e.msg.ExpiresMS <= nowMS {
				d.mb.expireLocked(e)
			}
			if !e.dead && e.targets(d.id) && d.wantsLocked(e) {
				return e
			}
			d.flowLocked().read[i] = e.pos
		}
	}
	return nil
}

// wantsLocked judges where, once.
func (d *device) wantsLocked(e *entry) bool {
	if e.where == nil {
		return true
	}
	v := e.verdicts[d.id]
	if v == unjudged {
		v = unwanted
		if d.context.Matches(e.where) {
			v = wanted
		}
		d.judgeLocked(e, v)
	}
	return v != unwanted
}

// judgeLocked notes a verdict. One whom where turns away no longer holds the message back.
func (d *device) judgeLocked(e *entry, v verdict) {
	if e.verdicts == nil {
		e.verdicts = make(map[protocol.DeviceID]verdict, 1)
	}
	e.verdicts[d.id] = v
	if n := len(e.verdicts); n == 1 || n > fewInMap {
		if more := messageBytes(e.msg, e.device, e.where) + verdictsBytes(n) - int64(e.size); more > 0 {
			e.size += int32(more)
			d.mb.holdLocked(more)
		}
	}
	if v == unwanted {
		d.tallyLocked().take(false)
		d.mb.settleLocked(e, false)
	}
}

// settleLocked counts one device less that e waits for, and removes it once none is left and one has acked it.
func (b *mailbox) settleLocked(e *entry, acked bool) {
	b.lanes.changes++
	e.waiting--
	e.acked = e.acked || acked
	if e.waiting <= 0 && e.acked {
		b.removeLocked(e, fateAcked)
	}
}

// sendLocked numbers the push of e, which nextLocked has just chosen.
func (d *device) sendLocked(e *entry) protocol.Push {
	i, f := e.msg.Priority.Lane(), d.flowLocked()
	again := !f.pushed.At[i].Less(e.pos)
	if e.where != nil {
		again = e.verdicts[d.id] == wantedAndPushed
		e.verdicts[d.id] = wantedAndPushed
	}
	f.read[i] = e.pos
	f.pushed.Seq++
	if f.pushed.At[i].Less(e.pos) {
		f.pushed.At[i] = e.pos
	}
	f.sent = append(f.sent, sent{pos: e.pos, bytes: int32(len(e.msg.Payload)), lane: uint8(i)})
	d.weighLocked()
	f.bytes += len(e.msg.Payload)
	return protocol.Push{
		Seq:         f.pushed.Seq,
		Cursor:      d.mb.g.sealer.Seal(d.mb.user, d.id, protocol.Cursor{Seq: f.pushed.Seq, At: f.read}),
		Redelivered: again,
		Message:     e.msg,
	}
}

// ackSeqLocked acks the stream's pushes up to seq, which is no further than pushed.Seq.
func (d *device) ackSeqLocked(seq protocol.Seq) (acked bool) {
	f := d.flow
	if f == nil || seq+protocol.Seq(len(f.sent)) <= f.pushed.Seq {
		return false
	}
	c := protocol.Cursor{Seq: seq, At: d.acked.At}
	for _, s := range f.sent[:seq+protocol.Seq(len(f.sent))-f.pushed.Seq] {
		c.At[s.lane] = s.pos
	}
	return d.ackLocked(c)
}

// ackLocked moves the device's cursor to c, where that is further, and reports whether it is. Everything up to it leaves
// what waits for d.
func (d *device) ackLocked(c protocol.Cursor) (moved bool) {
	old := d.acked
	acked := protocol.Cursor{Seq: max(old.Seq, c.Seq), At: old.At.Max(c.At)}
	if acked == old {
		return false
	}
	f := d.flowLocked() // as of what was acked before
	defer d.restLocked()
	d.acked = acked
	d.mb.g.saver.dirtyLocked(d)
	if acked.At == old.At {
		return false // only numbered otherwise: a cursor of a place where nothing was pushed
	}
	f.read = f.read.Max(acked.At)
	for i := range protocol.Lanes {
		if old.At[i].Less(acked.At[i]) {
			d.passLocked(i, old.At[i], acked.At[i])
		}
	}
	f.drop(acked.At)
	d.weighLocked()
	d.mb.trimLocked()
	return true
}

// passLocked settles, for d, the entries of lane i behind from, up to and including to.
func (d *device) passLocked(i int, from, to protocol.Position) {
	l := d.mb.laneLocked(i)
	if len(l.entries) == 0 {
		return
	}
	t := d.tallyLocked()
	for at := l.after(from); at < len(l.entries) && !to.Less(l.entries[at].pos); at++ {
		e := l.entries[at]
		if e.dead || !e.targets(d.id) || e.verdicts[d.id] == unwanted {
			continue
		}
		pending := e.pendingFor(d)
		t.take(pending)
		d.mb.settleLocked(e, pending)
	}
}

// recordLocked is what the store keeps of d.
func (d *device) recordLocked() store.Device {
	return store.Device{
		ID:         d.id,
		Acked:      d.acked,
		Pushed:     d.pushedLocked(),
		Expired:    d.expired,
		Greeted:    d.greeted,
		Live:       d.stream != nil || d.doubtful,
		Transport:  d.transport,
		LastSeenMS: d.seenLocked(d.mb.g.nowMS()),
		Context:    d.context,
	}
}

// seenLocked is when d was last seen.
func (d *device) seenLocked(nowMS int64) int64 {
	if d.stream != nil {
		return nowMS
	}
	return d.sinceMS
}

// saveLocked is d's record as a write to the store: where d was forgotten, its removal, or that of its successor if it has come
// back since.
func (d *device) saveLocked() store.DeviceSave {
	known := d.mb.deviceLocked(d.id)
	if known != nil {
		d = known
	}
	return store.DeviceSave{Owner: d.mb.owner(), User: d.mb.user, Remove: known == nil, Device: d.recordLocked()}
}
