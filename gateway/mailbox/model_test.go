package mailbox_test

import (
	"fmt"
	"slices"

	"ramen/protocol"
)

// model is one user's mailbox, naively: every question is answered by looking at everything. Its cursors are counts of what was ever
// inserted.
type model struct {
	nowMS    int64
	all      []*modelMessage // in the order in which they were inserted
	devices  []*modelDevice
	inDoubt  []*modelOp // of unknown outcome, oldest first
	underWay []*modelOp
}

type modelMessage struct {
	id        string
	lane      int
	order     int // from 1 on; 0: not inserted
	device    string
	os        string // where; empty: any
	key       string
	createdMS int64
	expiresMS int64
	dead      bool
	recalled  bool            // which is why it is dead
	killed    bool            // replaced or recalled: dead whatever comes
	forgotten bool            // by the store: dead after a crash too
	acked     bool            // by one who wanted it
	matches   map[string]bool // what where said of a device
}

// modelOp is a publish, or a recall where it has a target.
type modelOp struct {
	message *modelMessage
	recall  bool
	stored  bool              // the store has it, whatever it answered
	step    int               // that it was made in
	at      protocol.Position // of a publish that was written

	devices int  // what the answer tells
	found   bool // what the answer tells
}

type modelDevice struct {
	id      string
	online  bool
	window  int
	read    [protocol.Lanes]int
	seq     protocol.Seq
	top     protocol.Seq // the highest ever
	sent    []modelPush  // not acked
	stream  []modelPush  // all of the latest stream
	unsaved bool         // it was known when the process died: it may be told less than it has lost, and its seqs may begin anew
	unknown bool         // nobody knows the name of its latest stream any more
	saved   modelRecord
	modelRecord
}

// modelRecord is what is saved of a device.
type modelRecord struct {
	os       string
	acked    [protocol.Lanes]int
	ackedSeq protocol.Seq
	expired  uint32
}

type modelPush struct {
	id    string
	seq   protocol.Seq
	lane  int
	order int
	cover [protocol.Lanes]int // what its cursor acks
}

func (m *modelMessage) targets(d *modelDevice) bool { return m.device == "" || m.device == d.id }

// isFor reports whether m is for d as far as is known.
func (m *modelMessage) isFor(d *modelDevice) bool {
	if matched, evaluated := m.matches[d.id]; evaluated {
		return matched
	}
	return m.targets(d) && (m.os == "" || m.os == d.os)
}

func (m *modelMessage) waitsFor(d *modelDevice) bool {
	return !m.dead && m.isFor(d) && d.acked[m.lane] < m.order
}

func (m *modelMessage) replaces(o *modelMessage) bool {
	return m.key != "" && m.key == o.key && m.device == o.device && m.os == o.os
}

// apply puts into effect what the store has: first what was in doubt.
func (x *model) apply() {
	for _, o := range append(x.inDoubt, x.underWay...) {
		x.applyOp(o)
	}
	x.inDoubt, x.underWay = nil, nil
}

func (x *model) applyOp(o *modelOp) {
	m := o.message
	if o.recall {
		o.found = !m.dead || m.recalled
		m.recalled, m.dead, m.killed = o.found, true, true
		return
	}
	for _, old := range x.all {
		if m.replaces(old) || m.id == old.id {
			old.dead, old.killed = true, true
		}
	}
	x.all = append(x.all, m)
	m.order = len(x.all)
	for _, d := range x.devices {
		if m.isFor(d) {
			o.devices++
		}
	}
}

// knows reports whether an id is remembered.
func (x *model) knows(id string) bool {
	return slices.ContainsFunc(x.all, func(m *modelMessage) bool {
		return m.id == id && (!m.dead || m.createdMS+retention.Milliseconds() > x.nowMS)
	})
}

// writes reports whether an id is being written, or in doubt.
func (x *model) writes(id string) bool { return x.written(id) != nil }

func (x *model) written(id string) *modelMessage {
	for _, o := range append(slices.Clone(x.inDoubt), x.underWay...) {
		if !o.recall && o.message.id == id {
			return o.message
		}
	}
	return nil
}

// find is what a recall of id finds, or nil.
func (x *model) find(id string) *modelMessage {
	m := x.written(id)
	for _, o := range x.all {
		if m == nil && o.id == id && !o.dead {
			m = o
		}
	}
	if m == nil || m.expiresMS <= x.nowMS {
		return nil
	}
	return m
}

// next is what is to be pushed next to d; where is evaluated on it.
func (x *model) next(d *modelDevice) *modelMessage {
	for lane := range protocol.Lanes {
		for _, m := range x.all {
			if m.lane != lane || m.order <= d.read[lane] {
				continue
			}
			if !m.dead && m.targets(d) {
				m.matches[d.id] = m.isFor(d)
				if m.matches[d.id] {
					return m
				}
			}
			d.read[lane] = m.order
		}
	}
	return nil
}

// settle expires what is over, pushes what may be pushed, and drops what everybody has acked.
func (x *model) settle() {
	x.expire()
	for _, d := range x.devices {
		for d.online {
			m := x.next(d)
			if m == nil || len(d.sent) >= d.window {
				break
			}
			d.seq++
			d.top = max(d.top, d.seq)
			d.read[m.lane] = m.order
			p := modelPush{m.id, d.seq, m.lane, m.order, d.read}
			d.sent, d.stream = append(d.sent, p), append(d.stream, p)
		}
	}
	x.drop()
}

func (x *model) drop() {
	for _, m := range x.all {
		waits := false
		for _, d := range x.devices {
			matched, evaluated := m.matches[d.id]
			waits = waits || m.targets(d) && (matched || !evaluated) && d.acked[m.lane] < m.order
		}
		m.dead = m.dead || m.acked && !waits
	}
}

// expire ends what is over. Whom where was not evaluated on loses nothing, as far as anybody knows.
func (x *model) expire() {
	for _, m := range x.all {
		if m.dead || m.expiresMS > x.nowMS {
			continue
		}
		m.dead = true
		for _, d := range x.devices {
			if m.targets(d) && d.acked[m.lane] < m.order && (m.os == "" || m.matches[d.id]) {
				d.expired++
			}
		}
	}
}

func (x *model) ack(d *modelDevice, cover [protocol.Lanes]int, seq protocol.Seq) {
	for _, m := range x.all {
		m.acked = m.acked || m.waitsFor(d) && m.order <= cover[m.lane]
	}
	for i := range protocol.Lanes {
		d.acked[i] = max(d.acked[i], cover[i])
		d.read[i] = max(d.read[i], d.acked[i])
	}
	d.ackedSeq = max(d.ackedSeq, seq)
	for len(d.sent) > 0 && d.sent[0].order <= d.acked[d.sent[0].lane] {
		d.sent = d.sent[1:]
	}
}

func (x *model) ackSeq(d *modelDevice, seq protocol.Seq) {
	if len(d.sent) == 0 || seq < d.sent[0].seq {
		return
	}
	cover := d.acked
	for _, p := range d.sent {
		if p.seq <= seq {
			cover[p.lane] = max(cover[p.lane], p.order)
		}
	}
	x.ack(d, cover, seq)
}

// forget has the store forget what is dead, and save has it save where devices stand, too.
func (x *model) forget() {
	for _, m := range x.all {
		m.forgotten = m.forgotten || m.dead
	}
}

func (x *model) save(devices ...*modelDevice) {
	x.forget()
	for _, d := range devices {
		d.saved = d.modelRecord
	}
}

// crash takes everything back to what was saved.
func (x *model) crash() {
	for _, d := range x.devices {
		d.modelRecord, d.seq, d.unsaved = d.saved, d.top, true
	}
	for _, m := range x.all {
		m.dead = m.killed || m.forgotten
	}
}

// load is what the next owner finds: of what was in doubt, what the store has.
func (x *model) load() {
	for _, o := range append(x.inDoubt, x.underWay...) {
		if o.stored {
			x.applyOp(o)
		}
	}
	x.inDoubt, x.underWay = nil, nil
	for _, d := range x.devices {
		d.online, d.unknown, d.sent, d.read = false, true, nil, d.acked
	}
	for _, m := range x.all {
		m.matches, m.acked = make(map[string]bool), false
		for _, d := range x.devices {
			m.acked = m.acked || m.isFor(d) && m.order <= d.acked[m.lane]
		}
	}
	x.drop()
	x.settle()
}

func (x *model) device(id string) *modelDevice {
	i := slices.IndexFunc(x.devices, func(d *modelDevice) bool { return d.id == id })
	if i < 0 {
		return nil
	}
	return x.devices[i]
}

// waiting is what waits, lane by lane.
func (x *model) waiting() (ids []string) {
	for lane := range protocol.Lanes {
		for _, m := range x.all {
			if m.lane == lane && !m.dead {
				ids = append(ids, m.id)
			}
		}
	}
	return ids
}

func (x *model) String() (s string) {
	for _, m := range x.all {
		s += fmt.Sprintf("%+v\n", *m)
	}
	for _, d := range x.devices {
		s += fmt.Sprintf("%+v\n", *d)
	}
	return s
}
