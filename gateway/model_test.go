package gateway

import (
	"cmp"
	"fmt"
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
	os       string // where
	key      string
	expires  time.Time
	created  time.Time
	dead     bool
	acked    bool // by one who wanted it
	verdicts map[string]bool
}

type modelDevice struct {
	id       string
	os       string
	acked    [3]int
	ackSeq   protocol.Seq
	seq      protocol.Seq
	loose    bool // after a crash seq may be less: pushes are not saved
	read     [3]int
	sent     []modelPush
	online   bool
	window   int
	expired  uint32
	doubtful bool        // it was online when the process died: fewer losses may be told
	stream   []modelPush // all of the latest stream
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
	return m.targets(d) && (m.os == "" || m.os == d.os)
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
				if m.os != "" {
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

// settle pushes what may be pushed, and drops what everybody has acked.
func (x *model) settle() {
	for _, d := range x.devices {
		for d.online {
			m := x.next(d)
			if m == nil || len(d.sent) >= d.window {
				break
			}
			d.seq++
			d.read[m.lane] = m.order
			p := modelPush{m.id, m.lane, m.order, d.seq, d.read}
			d.sent, d.stream = append(d.sent, p), append(d.stream, p)
		}
	}
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
	if m.key != "" {
		for _, o := range x.all {
			if !o.dead && o.key == m.key && o.device == m.device && o.os == m.os {
				o.dead = true
			}
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
	x.now = x.now.Add(by)
	for _, m := range x.all {
		if m.dead || m.expires.After(x.now) {
			continue
		}
		m.dead = true
		for _, d := range x.devices {
			if m.targets(d) && d.acked[m.lane] < m.order {
				d.expired++
			}
		}
	}
	x.settle()
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
