package mailboxtest

import (
	"fmt"
	"slices"
	"time"

	"ramen/protocol"
)

// late is how long a write takes at most that is not in doubt for long.
const late = 5 * time.Second

// Model is one user's mailbox, naively: it answers each question by looking at everything.
type Model struct {
	NowMS     int64
	Retention time.Duration // of ids
	All       []*Message    // in the order in which they were inserted
	Devices   []*Device
	InDoubt   []*Op // of unknown outcome, oldest first
	UnderWay  []*Op
	History   map[string][]Push // all that a device has got, of forgotten devices too
}

// New is an empty mailbox.
func New(nowMS int64, retention time.Duration) *Model {
	return &Model{NowMS: nowMS, Retention: retention, History: make(map[string][]Push)}
}

// Pending are the ops that the mailbox has not applied: those in doubt before those under way.
func (x *Model) Pending() []*Op { return append(slices.Clone(x.InDoubt), x.UnderWay...) }

// Publish begins to write m. It returns nil if the id is known or being written.
func (x *Model) Publish(m *Message) *Op {
	m.CreatedMS, m.ExpiresMS, m.matches = x.NowMS, x.NowMS+m.TTL.Milliseconds(), make(map[string]bool)
	if x.Knows(m.ID) || x.Writes(m.ID) {
		return nil
	}
	o := &Op{Message: m}
	x.UnderWay = append(x.UnderWay, o)
	return o
}

// Recall begins to write a recall. It returns nil if there is nothing to recall.
func (x *Model) Recall(id string) *Op {
	m := x.written(id)
	for _, o := range x.All {
		if m == nil && o.ID == id && !o.Dead {
			m = o
		}
	}
	if m == nil || m.ExpiresMS <= x.NowMS {
		return nil
	}
	o := &Op{Message: m, Recall: true}
	x.UnderWay = append(x.UnderWay, o)
	return o
}

// Knows reports whether an id is remembered.
func (x *Model) Knows(id string) bool {
	return slices.ContainsFunc(x.All, func(m *Message) bool {
		return m.ID == id && (!m.Dead || m.acceptedMS+x.Retention.Milliseconds() > x.NowMS)
	})
}

// Writes reports whether an id is being written, or in doubt.
func (x *Model) Writes(id string) bool { return x.written(id) != nil }

func (x *Model) written(id string) *Message {
	for _, o := range x.Pending() {
		if !o.Recall && o.Message.ID == id {
			return o.Message
		}
	}
	return nil
}

// Stored has the store have all that is in doubt and under way.
func (x *Model) Stored() {
	for _, o := range x.Pending() {
		o.Stored = true
	}
}

// Apply puts into effect what the store has done: first what was in doubt.
func (x *Model) Apply() {
	for _, o := range x.Pending() {
		x.ApplyOp(o)
	}
	x.InDoubt, x.UnderWay = nil, nil
}

// ApplyOp puts one op into effect.
func (x *Model) ApplyOp(o *Op) {
	m := o.Message
	if o.Recall {
		o.Found = !m.Dead || m.recalled
		m.recalled, m.Dead, m.killed = o.Found, true, true
		return
	}
	for _, old := range x.All {
		if m.replaces(old) || m.ID == old.ID {
			old.Dead, old.killed = true, true
		}
	}
	if m.acceptedMS = m.CreatedMS; x.NowMS-m.CreatedMS > late.Milliseconds() {
		m.acceptedMS = x.NowMS
	}
	x.All = append(x.All, m)
	m.Order = len(x.All)
	for _, d := range x.Devices {
		if m.isFor(d) {
			o.Devices++
		}
	}
}

// Doubt has the outcome of what is under way be unknown.
func (x *Model) Doubt() { x.InDoubt, x.UnderWay = x.Pending(), nil }

// Undo has what is under way have failed.
func (x *Model) Undo() { x.UnderWay = nil }

// Deliver expires what is over, pushes what may be pushed, and drops what everybody has acked.
func (x *Model) Deliver() {
	x.expire()
	for _, d := range x.Devices {
		for d.Online {
			m := x.Next(d)
			if m == nil || len(d.Sent) >= d.Window {
				break
			}
			d.Seq++
			d.top = max(d.top, d.Seq)
			d.Read[m.Lane] = m.Order
			p := Push{ID: m.ID, Seq: d.Seq, Lane: m.Lane, Order: m.Order, Cover: d.Read}
			d.Sent, d.Stream = append(d.Sent, p), append(d.Stream, p)
		}
	}
	x.Drop()
}

// Next is what is to be pushed next to d; where is evaluated on it.
func (x *Model) Next(d *Device) *Message {
	for lane := range protocol.Lanes {
		for _, m := range x.All {
			if m.Lane != lane || m.Order <= d.Read[lane] {
				continue
			}
			if !m.Dead && m.targets(d) {
				m.matches[d.ID] = m.isFor(d)
				if m.matches[d.ID] {
					return m
				}
			}
			d.Read[lane] = m.Order
		}
	}
	return nil
}

// Drop drops what everybody has acked.
func (x *Model) Drop() {
	for _, m := range x.All {
		waits := false
		for _, d := range x.Devices {
			matched, evaluated := m.matches[d.ID]
			waits = waits || m.targets(d) && (matched || !evaluated) && d.Acked[m.Lane] < m.Order
		}
		m.Dead = m.Dead || m.acked && !waits
	}
}

// expire ends what is over. A device on which where was not evaluated loses nothing, as far as anybody knows.
func (x *Model) expire() {
	for _, m := range x.All {
		if m.Dead || m.ExpiresMS > x.NowMS {
			continue
		}
		m.Dead = true
		for _, d := range x.Devices {
			if m.targets(d) && d.Acked[m.Lane] < m.Order && (len(m.Where) == 0 || m.matches[d.ID]) {
				d.Expired++
			}
		}
	}
}

// Advance lets time pass, in which what is in doubt is written again.
func (x *Model) Advance(by time.Duration) {
	x.Apply()
	x.Deliver()
	for end := x.NowMS + by.Milliseconds(); x.NowMS < end; x.Deliver() { // one moment at which something expires after another
		next := end
		for _, m := range x.All {
			if !m.Dead {
				next = min(next, m.ExpiresMS)
			}
		}
		x.NowMS = next
	}
}

// Forget has the store forget what is dead.
func (x *Model) Forget() {
	for _, m := range x.All {
		m.forgotten = m.forgotten || m.Dead
	}
}

// Save has the store forget what is dead, and have what these devices have acked.
func (x *Model) Save(devices ...*Device) {
	x.Forget()
	for _, d := range devices {
		d.saved = d.record
	}
}

// Crash takes everything back to what was saved. Load comes after it.
func (x *Model) Crash() {
	for _, d := range x.Devices {
		d.record, d.Seq, d.loose, d.Doubtful = d.saved, d.top, true, true
	}
	for _, m := range x.All {
		m.Dead = m.killed || m.forgotten
	}
}

// Load is what the next owner finds: of what was in doubt, what the store has. Streams are gone, and sockets wait for theirs.
func (x *Model) Load() {
	for _, o := range x.Pending() {
		if o.Stored {
			x.ApplyOp(o)
		}
	}
	x.InDoubt, x.UnderWay = nil, nil
	for _, d := range x.Devices {
		d.Online, d.Unknown, d.Sent, d.Read = false, true, nil, d.Acked
	}
	for _, m := range x.All {
		m.matches, m.acked = make(map[string]bool), false
		for _, d := range x.Devices {
			m.acked = m.acked || m.isFor(d) && m.Order <= d.Acked[m.Lane]
		}
	}
	x.Drop()
	x.Deliver()
}

// Waiting are the ids that wait, lane by lane.
func (x *Model) Waiting() []string {
	ids := []string{}
	for lane := range protocol.Lanes {
		for _, m := range x.All {
			if m.Lane == lane && !m.Dead {
				ids = append(ids, m.ID)
			}
		}
	}
	return ids
}

func (x *Model) String() (s string) {
	for _, m := range x.All {
		s += fmt.Sprintf("%+v\n", *m)
	}
	for _, d := range x.Devices {
		s += fmt.Sprintf("%+v\n", *d)
	}
	return s
}
