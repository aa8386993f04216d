package gateway

import (
	"sort"
	"strings"

	"ramen/protocol"
	"ramen/store"
)

// device is one known device of a user: a cursor over the mailbox. Guarded by its mailbox's mu.
//
//	acked.At <= read <= the lanes' ends, lane by lane; sent holds what was pushed between them.
type device struct {
	// immutable
	mb *mailbox
	id protocol.DeviceID

	context *protocol.DeviceContext
	acked   protocol.Cursor    // what it has acked
	pushed  protocol.Cursor    // the last seq ever pushed, and the furthest push of each lane
	read    protocol.Positions // how far its latest stream has come: pushed, or passed over as not for it
	sent    []sent             // unacked pushes of its latest stream, in order; their seqs end at pushed.Seq
	bytes   int                // of payload in sent

	stream      *stream               // nil while offline
	number      protocol.StreamNumber // of the latest stream; zero where this process knows none
	transport   protocol.Transport
	connectedMS int64
	lastSeenMS  int64
	rttMS       uint32
	expired     uint32
	greeted     bool // it has had a hello
	doubtful    bool // it had a stream when its process died: it may have acked more than was saved (doubt.go)
	durable     bool // its record is known to be in the store
	dirty       bool // its record is to be saved
	forgotten   bool // it is no longer in the mailbox
}

// sent is one unacked push.
type sent struct {
	pos   protocol.Position
	bytes int32
	lane  uint8
}

// nextLocked is the oldest pending message of the highest priority: alive, for d, behind what it was pushed. It passes
// over for good what is not, and judges where on what is first the next. PROTOCOL 2.5, 9.
func (d *device) nextLocked(nowMS int64) *entry {
	for i := range d.mb.lanes {
		l := &d.mb.lanes[i]
		for at := l.after(d.read[i]); at < len(l.entries); at++ {
			e := l.entries[at]
			if !e.dead && e.msg.ExpiresMS <= nowMS {
				d.mb.expireLocked(e)
			}
			if !e.dead && e.targets(d.id) && d.wantsLocked(e) {
				return e
			}
			d.read[i] = e.pos
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
	if v == unwanted {
		d.mb.settleLocked(e, false)
	}
}

// settleLocked counts one device less that e waits for, and removes it once none is left and one has acked it.
func (b *mailbox) settleLocked(e *entry, acked bool) {
	e.waiting--
	e.acked = e.acked || acked
	if e.waiting <= 0 && e.acked {
		b.removeLocked(e, fateAcked)
	}
}

// sendLocked numbers the push of e, which nextLocked has just chosen.
func (d *device) sendLocked(e *entry) protocol.Push {
	i := e.msg.Priority.Lane()
	again := !d.pushed.At[i].Less(e.pos)
	if e.where != nil {
		again = e.verdicts[d.id] == wantedAndPushed
		e.verdicts[d.id] = wantedAndPushed
	}
	d.read[i] = e.pos
	d.pushed.Seq++
	if d.pushed.At[i].Less(e.pos) {
		d.pushed.At[i] = e.pos
	}
	d.sent = append(d.sent, sent{pos: e.pos, bytes: int32(len(e.msg.Payload)), lane: uint8(i)})
	d.bytes += len(e.msg.Payload)
	return protocol.Push{
		Seq:         d.pushed.Seq,
		Cursor:      d.mb.g.sealer.Seal(d.mb.user, d.id, protocol.Cursor{Seq: d.pushed.Seq, At: d.read}),
		Redelivered: again,
		Message:     e.msg,
	}
}

// ackSeqLocked acks the stream's pushes up to seq, which is no further than pushed.Seq.
func (d *device) ackSeqLocked(seq protocol.Seq) (acked bool) {
	first := d.pushed.Seq - protocol.Seq(len(d.sent)) + 1
	if seq < first {
		return false
	}
	c := protocol.Cursor{Seq: seq, At: d.acked.At}
	for _, s := range d.sent[:seq-first+1] {
		c.At[s.lane] = s.pos
	}
	return d.ackLocked(c)
}

// ackLocked moves the device's cursor to c, where that is further, and reports whether it is. Everything up to it leaves
// what waits for d.
func (d *device) ackLocked(c protocol.Cursor) (moved bool) {
	old := d.acked
	d.acked.At = old.At.Max(c.At)
	d.acked.Seq = max(old.Seq, c.Seq)
	if d.acked == old {
		return false
	}
	d.mb.g.saver.dirtyLocked(d)
	if d.acked.At == old.At {
		return false // only numbered otherwise: a cursor of a place where nothing was pushed
	}
	d.read = d.read.Max(d.acked.At)
	for i := range d.mb.lanes {
		if old.At[i].Less(d.acked.At[i]) {
			d.passLocked(i, old.At[i], d.acked.At[i])
		}
	}
	d.dropSentLocked()
	return true
}

// passLocked settles, for d, the entries of lane i behind from, up to and including to.
func (d *device) passLocked(i int, from, to protocol.Position) {
	l := &d.mb.lanes[i]
	for at := l.after(from); at < len(l.entries) && !to.Less(l.entries[at].pos); at++ {
		e := l.entries[at]
		if e.dead || !e.targets(d.id) || e.verdicts[d.id] == unwanted {
			continue
		}
		d.mb.settleLocked(e, e.pendingFor(d))
	}
	if l.dead > 0 {
		l.trim()
	}
}

// dropSentLocked takes from sent what is acked: a prefix, since pushes are acked in their order.
func (d *device) dropSentLocked() {
	n := 0
	for n < len(d.sent) && !d.acked.At[d.sent[n].lane].Less(d.sent[n].pos) {
		d.bytes -= int(d.sent[n].bytes)
		n++
	}
	if n == len(d.sent) {
		d.sent = nil // an idle device holds no buffer
		return
	}
	d.sent = d.sent[n:]
}

// countLocked is how many messages wait for d, and how many of these its stream was pushed.
func (d *device) countLocked(nowMS int64) (waiting, unacked int) {
	for i := range d.mb.lanes {
		l := &d.mb.lanes[i]
		for at := l.after(d.acked.At[i]); at < len(l.entries); at++ {
			e := l.entries[at]
			if e.msg.ExpiresMS <= nowMS || !e.pendingFor(d) {
				continue
			}
			waiting++
			if d.stream != nil && !d.read[i].Less(e.pos) {
				unacked++
			}
		}
	}
	return waiting, unacked
}

// recordLocked is what the store keeps of d.
func (d *device) recordLocked() store.Device {
	if d.stream != nil {
		d.lastSeenMS = d.mb.g.nowMS()
	}
	return store.Device{
		ID:         d.id,
		Acked:      d.acked,
		Pushed:     d.pushed,
		Expired:    d.expired,
		Greeted:    d.greeted,
		Live:       d.stream != nil || d.doubtful,
		Transport:  d.transport,
		LastSeenMS: d.lastSeenMS,
		Context:    d.context,
	}
}

// saveLocked is d's record as a write to the store: where d was forgotten and has come back since, that of its successor.
func (d *device) saveLocked() store.DeviceSave {
	if d.forgotten {
		if again := d.mb.deviceLocked(d.id); again != nil {
			d = again
		}
	}
	return store.DeviceSave{Owner: d.mb.owner(), User: d.mb.user, Remove: d.forgotten, Device: d.recordLocked()}
}

// whereText is where in one string, in an order of its own, for comparing.
func whereText(where map[string]string) string {
	if len(where) == 0 {
		return ""
	}
	pairs := make([]string, 0, len(where))
	for k, v := range where {
		pairs = append(pairs, k+"\x00"+v)
	}
	sort.Strings(pairs)
	return strings.Join(pairs, "\x01")
}
