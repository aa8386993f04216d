package judge

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"ramen/protocol"
)

// simulation is a server without a fault, and its observers: it makes logs that no judge may complain about.
type simulation struct {
	rng *rand.Rand
	now Moment
	log *Log
	// waiting are the messages that were neither replaced nor recalled.
	waiting []*Message
	number  int
	devices []*simulatedDevice
}

type simulatedDevice struct {
	*Device
	acked  map[*Message]bool // known to the server
	place  Place
	pushed map[*Message]bool // on the stream that is open
	seq    uint64
}

func (w *simulation) tick() Moment {
	w.now += time.Duration(1+w.rng.IntN(5)) * time.Millisecond
	return w.now
}

// honestLog is what a run of n steps leaves behind.
func honestLog(seed uint64, n int) *Log {
	w := &simulation{rng: rand.New(rand.NewPCG(seed, 1)), log: &Log{Began: time.UnixMilli(1_750_000_000_000)}}
	for i, os := range []string{"ios", "android", "ios"} {
		d := &Device{User: "u", Name: fmt.Sprintf("d%d", i), Context: &protocol.DeviceContext{OS: os}}
		w.log.Devices = append(w.log.Devices, d)
		w.devices = append(w.devices, &simulatedDevice{Device: d, acked: make(map[*Message]bool), place: Nowhere})
	}
	for _, d := range w.devices {
		w.open(d)
	}
	for range n {
		d := w.devices[w.rng.IntN(len(w.devices))]
		switch w.rng.IntN(10) {
		case 0, 1, 2, 3:
			w.publish()
		case 4:
			w.open(d)
		case 5:
			w.recall()
		case 6:
			w.ack(d)
		default:
			w.push(d)
		}
		if w.rng.IntN(n/4) == 0 {
			w.kill()
		}
	}
	for _, d := range w.devices {
		for w.push(d) {
		}
		d.Streams[len(d.Streams)-1].Ended = w.tick()
	}
	return w.log
}

func (w *simulation) publish() {
	w.number++
	m := &Message{User: "u", ID: fmt.Sprintf("m%d", w.number), Priority: protocol.Priority(1 + w.rng.IntN(3)), Chain: 1, Nth: w.number}
	if w.rng.IntN(2) == 0 {
		m.Key = fmt.Sprintf("k%d", w.rng.IntN(2))
	}
	switch w.rng.IntN(4) {
	case 0:
		m.Target.Device = "d1"
	case 1:
		m.Target.Where = map[string]string{"os": "ios"}
	}
	if w.rng.IntN(6) == 0 {
		m.TTL = 100 * time.Millisecond
	}
	sent := w.tick()
	m.Attempts = []Attempt{{Sent: sent, Answered: w.tick(), Status: Accepted, Over: "test"}}
	w.waiting = slices.DeleteFunc(w.waiting, func(o *Message) bool {
		return m.Key != "" && o.Key == m.Key && o.Target.key() == m.Target.key()
	})
	w.waiting = append(w.waiting, m)
	w.log.Messages = append(w.log.Messages, m)
}

func (w *simulation) recall() {
	if len(w.waiting) == 0 || w.rng.IntN(3) > 0 {
		return
	}
	i := w.rng.IntN(len(w.waiting))
	m := w.waiting[i]
	sent := w.tick()
	m.Recalls = append(m.Recalls, Recall{Sent: sent, Answered: w.tick(), Confirmed: true})
	w.waiting = slices.Delete(w.waiting, i, i+1)
}

// open opens a stream, with the device's cursor or without.
func (w *simulation) open(d *simulatedDevice) {
	from := d.place
	if w.rng.IntN(4) == 0 {
		from = Nowhere
	}
	opened := w.tick()
	if from != Nowhere {
		d.cover(w.log, from)
	}
	s := &Stream{Transport: "ws", Opened: opened, From: from, Greeted: w.tick(), Resumed: from != Nowhere, Seq: d.seq, HasSeq: true, ServerMS: w.log.Began.Add(opened).UnixMilli()}
	if n := len(d.Streams); n > 0 {
		d.Streams[n-1].Ended = opened
	}
	d.Streams, d.pushed = append(d.Streams, s), make(map[*Message]bool)
	d.place = from
}

// cover has the server know that the device has come to p, by whatever streams.
func (d *simulatedDevice) cover(l *Log, p Place) {
	for p != Nowhere {
		s := d.Streams[p.Stream]
		for _, x := range s.Pushes[:p.Pushes] {
			d.acked[l.message(x.ID)] = true
		}
		p = s.From
	}
}

func (l *Log) message(id string) *Message {
	return l.Messages[slices.IndexFunc(l.Messages, func(m *Message) bool { return m.ID == id })]
}

// ack acks what came on the stream, with an answer.
func (w *simulation) ack(d *simulatedDevice) {
	s := d.Streams[len(d.Streams)-1]
	if len(s.Pushes) == 0 {
		return
	}
	d.place = Place{len(d.Streams) - 1, len(s.Pushes)}
	sent := w.tick()
	s.Acks = append(s.Acks, Ack{Sent: sent, Confirmed: w.tick(), Pushes: len(s.Pushes)})
	d.cover(w.log, d.place)
}

// push pushes the next message, if there is one.
func (w *simulation) push(d *simulatedDevice) bool {
	w.tick()
	var pending []*Message
	for _, m := range w.waiting {
		e := &entry{Message: m}
		expired := m.TTL != 0 && m.Attempts[0].Sent+m.TTL <= w.now
		if e.isFor(d.Device) && !d.acked[m] && !d.pushed[m] && !expired {
			pending = append(pending, m)
		}
	}
	if len(pending) == 0 {
		return false
	}
	m := slices.MinFunc(pending, func(a, b *Message) int { return cmp.Or(cmp.Compare(a.Priority, b.Priority), cmp.Compare(a.Nth, b.Nth)) })
	d.seq++
	d.pushed[m] = true
	life := cmp.Or(m.TTL, 30*time.Minute)
	s := d.Streams[len(d.Streams)-1]
	s.Pushes = append(s.Pushes, Push{At: w.now, ID: m.ID, Seq: d.seq, Priority: m.Priority, ExpiresMS: w.log.Began.Add(m.Attempts[0].Sent + life).UnixMilli()})
	return true
}

// kill loses what the server knew of acks, and ends all streams.
func (w *simulation) kill() {
	w.log.Kills = append(w.log.Kills, w.tick())
	w.tick()
	for _, d := range w.devices {
		clear(d.acked)
		w.open(d)
	}
}
