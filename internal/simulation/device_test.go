package simulation

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"ramen/frontend/stream"
	"ramen/link"
	"ramen/loadtest/ledger/judge"
	"ramen/protocol"
)

// device is one device: it keeps its cursor, processes what comes, acks some of it, and comes back when its stream ends.
type device struct {
	w    *world
	node *node
	rec  *judge.Device
	sse  bool

	mu sync.Mutex
	// guarded by mu
	cursor  string
	place   judge.Place
	current *socket
	wants   int // how often it wanted to connect
}

func (w *world) startDevice(user, name string, sse bool) {
	d := &device{w: w, node: w.bus.node(user + "/" + name), rec: &judge.Device{User: user, Name: name}, sse: sse, place: judge.Nowhere}
	w.devices = append(w.devices, d)
	d.connectSoon(time.Millisecond)
}

// connectSoon connects after a pause, unless something else makes it connect before.
func (d *device) connectSoon(pause time.Duration) {
	d.mu.Lock()
	d.wants++
	n := d.wants
	d.mu.Unlock()
	pause += time.Duration(d.w.bus.hash("come back", uint64(d.node.id), uint64(n)) % uint64(300*time.Millisecond))
	d.w.bus.at(pause, func() {
		d.mu.Lock()
		stale := d.wants != n
		d.mu.Unlock()
		if !stale && !d.w.isOver() {
			d.connect()
		}
	})
}

// connect opens a stream at one of the frontends.
func (d *device) connect() {
	_, fs := d.w.living()
	if len(fs) == 0 {
		d.connectSoon(300 * time.Millisecond)
		return
	}
	b := d.w.bus
	f := fs[b.hash("frontend", uint64(d.node.id), 0)%uint64(len(fs))]
	t := protocol.TransportWS
	if d.sse {
		t = protocol.TransportSSE
	}
	d.mu.Lock()
	if b.hash("reinstalled", uint64(d.node.id), 0)%8 == 0 {
		d.cursor, d.place = "", judge.Nowhere
	}
	r := &stream.Request{User: protocol.UserID(d.rec.User), Device: protocol.DeviceID(d.rec.Name), Cursor: d.cursor, Window: 64 + len(d.rec.Streams)}
	s := &socket{d: d, f: f, index: len(d.rec.Streams), rec: &judge.Stream{Transport: t.String(), Server: f.node.name, Opened: moment(b), From: d.place, HasSeq: true}}
	d.rec.Streams = append(d.rec.Streams, s.rec)
	d.current = s
	d.mu.Unlock()
	s.Init(f.set, r, t, s)
	b.send(message{from: d.node, to: f.node, what: "connect", a: uint64(s.index)}, func() { s.open(r) })
	b.at(12*time.Second, func() { // SPEC 2.13: a stream without a hello is given up
		d.mu.Lock()
		greeted := s.rec.Greeted != 0
		d.mu.Unlock()
		if !greeted {
			s.end("no hello")
		}
	})
}

// drop ends the device's stream from its side: its network has gone. The frontend sees that a little later; what was under way is lost.
func (d *device) drop(seen time.Duration) {
	d.mu.Lock()
	s := d.current
	d.mu.Unlock()
	if s == nil {
		return
	}
	d.w.bus.note(d.node, "drops", uint64(s.index), 0, "")
	s.end("dropped")
	d.w.bus.at(seen, func() {
		d.mu.Lock()
		started := s.started
		d.mu.Unlock()
		if started && !d.w.bus.isDead(s.f.node) { // where it is being opened, open sees that the device has left
			s.OnGone()
		}
	})
}

// frontendGone is told that a frontend was killed.
func (d *device) frontendGone(f *frontend) {
	d.mu.Lock()
	s := d.current
	d.mu.Unlock()
	if s != nil && s.f == f {
		s.end("frontend killed")
	}
}

// socket is one connection of a device, with the product's stream at its end.
type socket struct {
	stream.Stream
	d     *device
	f     *frontend
	rec   *judge.Stream // guarded by d.mu
	index int

	toDevice, toFrontend int64 // guarded by bus.mu: when the last message arrives

	over    bool // guarded by d.mu: the device has left it
	started bool // guarded by d.mu: the frontend has started the stream, and hears of its connection
}

var _ stream.FrameWriter = (*socket)(nil)

// open is the frontend's part of a connect.
func (s *socket) open(r *stream.Request) {
	permit, refused := s.f.admission.Admit("")
	if refused != nil {
		s.tell("refused", 0, func() { s.end("refused") })
		return
	}
	o, err := s.Open(context.Background(), r)
	if err != nil {
		permit.Close()
		reason, _ := stream.EndOf(err)
		s.tell("refused "+reason.String(), 0, func() { s.end(reason.String()) })
		return
	}
	s.Start(o, permit, func(h *protocol.Hello) (stream.WriteResult, error) {
		hello := *h
		s.tell("hello", uint64(h.Seq), func() { s.greeted(&hello) })
		return stream.WriteResult{N: 100}, nil
	})
	s.d.mu.Lock()
	s.started = true
	left := s.over
	s.d.mu.Unlock()
	if left { // the device has given it up meanwhile
		s.OnGone()
	}
}

// tell has the device be told something, in order.
func (s *socket) tell(what string, a uint64, f func()) {
	s.d.w.bus.send(message{from: s.f.node, to: s.d.node, what: what, a: a, after: &s.toDevice, quiet: what == "heartbeat"}, func() {
		s.d.mu.Lock()
		over := s.over
		s.d.mu.Unlock()
		if !over {
			f()
		}
	})
}

// say has the frontend be told something, in order.
func (s *socket) say(what string, a uint64, f func()) {
	s.d.w.bus.send(message{from: s.d.node, to: s.f.node, what: what, a: a, after: &s.toFrontend, quiet: what == "echo"}, f)
}

func (s *socket) greeted(h *protocol.Hello) {
	d := s.d
	d.mu.Lock()
	defer d.mu.Unlock()
	s.rec.Greeted, s.rec.Resumed, s.rec.Seq, s.rec.Expired = moment(d.w.bus), h.Resumed, uint64(h.Seq), h.Expired
	if h.Cursor != "" && d.current == s {
		d.cursor, d.place = h.Cursor, judge.Place{Stream: s.index}
	}
}

// processed takes a batch of pushes.
func (s *socket) processed(batch []protocol.Push) {
	d := s.d
	d.mu.Lock()
	for i := range batch {
		p := &batch[i]
		s.rec.Pushes = append(s.rec.Pushes, judge.Push{At: moment(d.w.bus), ID: string(p.Message.ID), Seq: uint64(p.Seq), Priority: p.Message.Priority, ExpiresMS: p.Message.ExpiresMS})
		if d.current == s {
			d.cursor, d.place = p.Cursor, judge.Place{Stream: s.index, Pushes: len(s.rec.Pushes)}
		}
	}
	last := batch[len(batch)-1]
	acks := !d.sse && d.w.bus.hash("acks", uint64(d.node.id), uint64(last.Seq))%4 > 0
	if acks {
		s.rec.Acks = append(s.rec.Acks, judge.Ack{Sent: moment(d.w.bus), Pushes: len(s.rec.Pushes)})
	}
	d.mu.Unlock()
	if acks {
		s.say("ack", uint64(last.Seq), func() { s.frame(&protocol.DeviceFrame{Kind: protocol.FrameAck, Seq: last.Seq}) })
	}
}

func (s *socket) frame(f *protocol.DeviceFrame) {
	var a stream.Acks
	if s.OnFrame(f, nil, &a) {
		s.OnAcks(&a)
	}
}

// end is the end of the stream for the device, which comes back.
func (s *socket) end(why string) {
	d := s.d
	d.mu.Lock()
	if s.over {
		d.mu.Unlock()
		return
	}
	s.over = true
	s.rec.Ended, s.rec.End = moment(d.w.bus), why
	current := d.current == s
	if current {
		d.current = nil
	}
	d.mu.Unlock()
	if current {
		d.connectSoon(50 * time.Millisecond)
	}
}

// WritePushes implements stream.FrameWriter.
func (s *socket) WritePushes(batch []protocol.Push, _ bool) stream.WriteResult {
	batch = slices.Clone(batch)
	s.tell("pushes", uint64(batch[len(batch)-1].Seq), func() { s.processed(batch) })
	return stream.WriteResult{N: 300 * len(batch)}
}

// WriteHeartbeat implements stream.FrameWriter.
func (s *socket) WriteHeartbeat(ms int64) stream.WriteResult {
	if !s.d.sse {
		s.tell("heartbeat", 0, func() {
			s.say("echo", 0, func() { s.frame(&protocol.DeviceFrame{Kind: protocol.FrameHeartbeat, TimeMS: ms}) })
		})
	}
	return stream.WriteResult{N: 10}
}

// WriteGoAway implements stream.FrameWriter.
func (s *socket) WriteGoAway(g *protocol.GoAway) stream.WriteResult {
	s.tell("goaway "+g.Reason.String(), 0, func() {})
	return stream.WriteResult{N: 50}
}

// End implements stream.FrameWriter.
func (s *socket) End(r protocol.Reason, _ string) {
	s.tell("end "+r.String(), 0, func() { s.end(r.String()) })
}

// Abort implements stream.FrameWriter.
func (s *socket) Abort(r protocol.Reason, detail string) { s.End(r, detail) }

// publisher publishes to users one message after another, each until its answer is known.
type publisher struct {
	w     *world
	node  *node
	index int
	users []string
	n     int
}

func (w *world) startPublisher(index int, users []string, every time.Duration, until time.Duration) {
	p := &publisher{w: w, node: w.bus.node(fmt.Sprint("publisher-", index)), index: index, users: users}
	w.publishing.Add(1)
	w.background.Go(func() {
		defer w.publishing.Add(-1)
		for w.bus.now() < int64(until) && !w.bus.isBroken() {
			p.publish()
			w.sleep(time.Duration(w.bus.hash("pause", uint64(index), uint64(p.n)) % uint64(2*every)))
		}
	})
}

// patience is how long a publisher tries one message: beyond whatever a schedule does.
const patience = 25 * time.Second

func (p *publisher) publish() {
	w, b := p.w, p.w.bus
	p.n++
	h := b.hash("message", uint64(p.index), uint64(p.n))
	m := &judge.Message{User: p.users[h%uint64(len(p.users))], ID: fmt.Sprintf("m%d-%d", p.index, p.n), Priority: protocol.Priority(1 + h>>8%3), Chain: p.index, Nth: p.n}
	if h>>16%6 == 0 {
		m.Key = fmt.Sprint("k", h>>20%2)
	}
	w.mu.Lock()
	w.messages = append(w.messages, m)
	w.mu.Unlock()
	for end := b.now() + int64(patience); b.now() < end; {
		a := judge.Attempt{Sent: moment(b), Over: "bus"}
		a.Status = p.attempt(m)
		a.Ended = moment(b)
		if a.Status != judge.Unknown {
			a.Answered = a.Ended
		}
		m.Attempts = append(m.Attempts, a)
		if a.Status == judge.Accepted || a.Status == judge.Duplicate {
			if b.hash("again", h, 0)%16 != 0 { // some are published again
				return
			}
		}
		w.sleep(time.Duration(1+h>>24%100) * time.Millisecond)
	}
	b.broken("%s of %s was not accepted for %v", m.ID, m.User, patience)
}

// attempt publishes m over one of the frontends.
func (p *publisher) attempt(m *judge.Message) judge.Status {
	_, fs := p.w.living()
	if len(fs) == 0 {
		return judge.Unknown
	}
	f := fs[p.w.bus.hash("over", uint64(p.index), uint64(p.n))%uint64(len(fs))]
	ctx, cancel := context.WithTimeout(context.Background(), 6*time.Second)
	defer cancel()
	r, ok := call(ctx, p.w.bus, message{from: p.node, to: f.node, what: "post", text: m.ID}, func() link.Result {
		return f.router.Publish(context.Background(), []link.Publish{{User: protocol.UserID(m.User), TTLMS: 3_600_000,
			Message: &protocol.Message{ID: protocol.MessageID(m.ID), Priority: m.Priority, Payload: []byte("1"), ContentType: protocol.ContentTypeJSON, CollapseKey: m.Key}}})[0]
	})
	switch {
	case !ok:
		return judge.Unknown
	case r.Status == link.StatusAccepted:
		return judge.Accepted
	case r.Status == link.StatusDuplicate:
		return judge.Duplicate
	}
	return judge.Unknown
}
