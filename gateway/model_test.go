package gateway

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"ramen/protocol"
)

// model is one user's mailbox, naively: every question is answered by looking at everything.
type model struct {
	now      time.Time
	order    int
	all      []*modelMessage
	devices  []*modelDevice // known ones
	unsure   []*modelMessage
	accepted uint64
}

type modelMessage struct {
	id       string
	lane     int
	order    int
	device   string
	where    map[string]string
	key      string
	expires  time.Time
	created  time.Time
	dead     bool
	killed   bool // replaced or recalled: dead whatever comes
	gone     bool // the store has forgotten it: dead after a crash too
	stored   bool // while its outcome is unknown: the store has it
	acked    bool // by one who wanted it
	verdicts map[string]bool
}

type modelDevice struct {
	id       string
	os       string
	acked    [3]int
	ackSeq   protocol.Seq
	seq      protocol.Seq
	top      protocol.Seq // the highest seq ever
	loose    bool         // after a crash seq may be less: pushes are not saved
	read     [3]int
	sent     []modelPush
	online   bool
	window   int
	expired  uint32
	doubtful bool        // it was known when the process died or the mailbox left memory: fewer losses may be told
	stream   []modelPush // all of the latest stream
	base     modelPush   // where that began
	saved    modelRecord
}

// modelRecord is what a crash takes a device back to.
type modelRecord struct {
	os      string
	acked   [3]int
	ackSeq  protocol.Seq
	expired uint32
}

type modelPush struct {
	id    string
	lane  int
	order int
	seq   protocol.Seq
	cover [3]int
}

func (m *modelMessage) targets(d *modelDevice) bool { return m.device == "" || m.device == d.id }

// for_ reports whether m is for d as far as is known.
func (m *modelMessage) for_(d *modelDevice) bool {
	if v, judged := m.verdicts[d.id]; judged {
		return v
	}
	return m.targets(d) && m.matches(d)
}

// matches is where of a device that has an OS and nothing else.
func (m *modelMessage) matches(d *modelDevice) bool {
	for k, v := range m.where {
		if k == "os" && v != d.os || k != "os" && v != "" {
			return false
		}
	}
	return true
}

// replaces reports that m takes o's place, wherever that has gone.
func (m *modelMessage) replaces(o *modelMessage) bool {
	return m.key != "" && o.key == m.key && o.device == m.device && maps.Equal(o.where, m.where)
}

func (x *model) lane(i int) (list []*modelMessage) {
	for _, m := range x.all {
		if m.lane == i {
			list = append(list, m)
		}
	}
	slices.SortFunc(list, func(a, b *modelMessage) int { return cmp.Compare(a.order, b.order) })
	return list
}

func (x *model) next(d *modelDevice) *modelMessage {
	for i := range 3 {
		for _, m := range x.lane(i) {
			if m.order <= d.read[i] {
				continue
			}
			if !m.dead && m.targets(d) {
				if len(m.where) > 0 {
					m.verdicts[d.id] = m.for_(d)
				}
				if m.for_(d) {
					return m
				}
			}
			d.read[i] = m.order
		}
	}
	return nil
}

// settle pushes what may be pushed, and drops what is left to nobody by that.
func (x *model) settle() {
	for _, d := range x.devices {
		for d.online {
			m := x.next(d)
			if m == nil || len(d.sent) >= d.window {
				break
			}
			d.seq++
			d.top = max(d.top, d.seq)
			d.read[m.lane] = m.order
			p := modelPush{m.id, m.lane, m.order, d.seq, d.read}
			d.sent, d.stream = append(d.sent, p), append(d.stream, p)
		}
	}
	x.drop()
}

// drop drops what everybody has acked.
func (x *model) drop() {
	for _, m := range x.all {
		holds := false
		for _, d := range x.devices {
			v, judged := m.verdicts[d.id]
			holds = holds || m.targets(d) && (v || !judged) && d.acked[m.lane] < m.order
		}
		m.dead = m.dead || m.acked && !holds
	}
}

func (x *model) ack(d *modelDevice, cover [3]int, seq protocol.Seq) {
	for _, m := range x.all {
		if d.acked[m.lane] < m.order && m.order <= cover[m.lane] && !m.dead && m.for_(d) {
			m.acked = true
		}
	}
	for i := range 3 {
		d.acked[i] = max(d.acked[i], cover[i])
		d.read[i] = max(d.read[i], d.acked[i])
	}
	d.ackSeq = max(d.ackSeq, seq)
	for len(d.sent) > 0 && d.sent[0].order <= d.acked[d.sent[0].lane] {
		d.sent = d.sent[1:]
	}
}

func (x *model) ackSeq(d *modelDevice, seq protocol.Seq) {
	cover := d.acked
	for _, p := range d.sent {
		if p.seq <= seq {
			cover[p.lane] = max(cover[p.lane], p.order)
		}
	}
	x.ack(d, cover, min(seq, d.seq))
}

// sure puts into effect what had an unknown outcome.
func (x *model) sure() {
	for _, m := range x.unsure {
		x.insert(m)
	}
	x.unsure = nil
}

func (x *model) insert(m *modelMessage) {
	for _, o := range x.all {
		if m.replaces(o) {
			o.dead, o.killed = true, true
		}
	}
	x.order++
	m.order = x.order
	x.all = append(x.all, m)
	x.accepted++
}

// known reports whether the id is still remembered.
func (x *model) known(id string) bool {
	for _, m := range append(slices.Clone(x.all), x.unsure...) {
		if m.id == id && (!m.dead || m.created.Add(5*time.Minute).After(x.now)) {
			return true
		}
	}
	return false
}

func (x *model) advance(by time.Duration) {
	x.sure()
	x.settle()
	for end := x.now.Add(by); ; x.settle() { // one moment at which something expires after another
		next := end
		for _, m := range x.all {
			if !m.dead && m.expires.Before(next) {
				next = m.expires
			}
		}
		x.now = next
		x.expire()
		if next == end {
			break
		}
	}
	x.settle()
}

// expire ends what is over by now. Whom where has not been asked about loses nothing, as far as anybody knows.
func (x *model) expire() {
	for _, m := range x.all {
		if m.dead || m.expires.After(x.now) {
			continue
		}
		m.dead = true
		for _, d := range x.devices {
			if m.targets(d) && d.acked[m.lane] < m.order && (len(m.where) == 0 || m.verdicts[d.id]) {
				d.expired++
			}
		}
	}
}

// forget has the store forget what is dead, and save has it save where a device stands as well.
func (x *model) forget() {
	for _, m := range x.all {
		m.gone = m.gone || m.dead
	}
}

func (x *model) save(devices ...*modelDevice) {
	x.forget()
	for _, d := range devices {
		d.saved = modelRecord{d.os, d.acked, d.ackSeq, d.expired}
	}
}

// resolve is what the next owner finds of writes with an unknown outcome.
func (x *model) resolve() {
	for _, m := range x.unsure {
		if m.stored {
			x.insert(m)
		}
	}
	x.unsure = nil
}

// crash takes everything back to what was saved. What was replaced or recalled stays dead.
func (x *model) crash() {
	x.resolve()
	for _, d := range x.devices {
		d.os, d.acked, d.ackSeq, d.expired = d.saved.os, d.saved.acked, d.saved.ackSeq, d.saved.expired
		d.seq, d.loose, d.doubtful = d.top, true, true // a re-open that set it back may not have been saved
	}
	for _, m := range x.all {
		m.dead = m.killed || m.gone
	}
}

// reload is what leaving memory, or the process, does: verdicts and streams are gone.
func (x *model) reload() {
	for _, d := range x.devices {
		d.online, d.sent, d.read = false, nil, d.acked
	}
	for _, m := range x.all {
		m.verdicts, m.acked = make(map[string]bool), false
		for _, d := range x.devices {
			m.acked = m.acked || m.order <= d.acked[m.lane] && m.for_(d)
		}
	}
	x.settle()
	x.expire()
}

func (x *model) device(id, os string) *modelDevice {
	for _, d := range x.devices {
		if d.id == id {
			return d
		}
	}
	d := &modelDevice{id: id, os: os}
	x.devices = append(x.devices, d)
	return d
}

func (x *model) waiting() []string {
	list := []string{}
	for i := range 3 {
		for _, m := range x.lane(i) {
			if !m.dead {
				list = append(list, m.id)
			}
		}
	}
	return list
}

func (x *model) String() string {
	s := ""
	for _, m := range x.all {
		s += fmt.Sprintf("%+v\n", *m)
	}
	for _, d := range x.devices {
		s += fmt.Sprintf("%+v\n", *d)
	}
	return s
}
