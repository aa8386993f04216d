package observe

import (
	"sync"

	"ramen/loadtest/ledger/judge"
)

// Tamper has the devices' log lie, as the log of a server would be that breaks a promise: it shows that the judge finds one in so many.
type Tamper struct {
	DropOneIn   int // no device gets one in so many messages; 0: none
	RepeatOneIn int // one in so many streams, to which the device came with a cursor, begins with a push that the cursor covers; 0: none
}

// tampering is the state of that.
type tampering struct {
	Tamper

	mu      sync.Mutex
	made    int // messages so far
	due     int // to be dropped
	dropped map[string]bool
	resumed int // streams so far
}

// consider chooses whether the messages of an item are dropped: those that nothing but an ack makes leave.
func (t *tampering) consider(it item) {
	if t.DropOneIn == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, m := range it {
		if t.made++; t.made%t.DropOneIn == 0 {
			t.due++
		}
		if t.due > 0 && m.Key == "" && m.TTL == 0 && m.Target.Device == "" && m.Target.Where == nil {
			t.due--
			if t.dropped == nil {
				t.dropped = make(map[string]bool)
			}
			t.dropped[m.User+" "+m.ID] = true
		}
	}
}

// drops reports whether a message is dropped.
func (t *tampering) drops(user, id string) bool {
	if t.DropOneIn == 0 {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.dropped[user+" "+id]
}

// repeat has a stream begin with a push that its device's cursor covers, if it is the turn of this one.
func (t *tampering) repeat(d *judge.Device, s *judge.Stream) bool {
	if t.RepeatOneIn == 0 || !s.Resumed || s.From == judge.Nowhere || s.From.Pushes == 0 || !s.HasSeq {
		return false
	}
	t.mu.Lock()
	t.resumed++
	turn := t.resumed%t.RepeatOneIn == 0
	t.mu.Unlock()
	if turn {
		p := d.Streams[s.From.Stream].Pushes[s.From.Pushes-1]
		p.At, p.Seq = s.Greeted, s.Seq+1
		s.Pushes = append(s.Pushes, p)
	}
	return turn
}

// Dropped reports whether a message was dropped.
func (c *Clients) Dropped(m *judge.Message) bool { return c.tampering.drops(m.User, m.ID) }

// Tampered is how many messages were dropped, or streams resumed of which each RepeatOneIn-th repeats a push.
func (c *Clients) Tampered() (dropped, repeated int) {
	t := &c.tampering
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.RepeatOneIn > 0 {
		repeated = t.resumed / t.RepeatOneIn
	}
	return len(t.dropped), repeated
}
