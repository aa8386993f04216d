package frontend

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"ramen/link"
	"ramen/protocol"
)

// gateway is a small real one: a queue a device, windows and credit as link demands, no store, no priorities.
type gateway struct {
	mu      sync.Mutex
	devices map[string]*queue
	opens   []link.Open
	acks    []link.Ack
	changed chan struct{} // closed and replaced at each change: tests wait on it
	openErr func(o link.Open) error
	streams int
	counter uint64
}

// queue is one device: all that was ever published, and how far it has come.
type queue struct {
	name    string
	log     []*protocol.Message
	acked   protocol.Seq
	stream  *gatewayStream
	context *protocol.DeviceContext
	rtts    []uint32
}

type gatewayStream struct {
	g       *gateway
	q       *queue
	r       link.Receiver
	opens   link.Generation
	name    string
	number  protocol.StreamNumber
	window  int
	credit  int
	sent    protocol.Seq
	pumping bool
	over    bool
	late    []func(r link.Receiver) // calls that wait for the pump
}

func newGateway() *gateway {
	return &gateway{devices: map[string]*queue{}, changed: make(chan struct{})}
}

func (g *gateway) changeLocked() {
	close(g.changed)
	g.changed = make(chan struct{})
}

// until waits for what ok says of the locked gateway.
func (g *gateway) until(what string, ok func() bool) error {
	limit := time.After(10 * time.Second)
	for {
		g.mu.Lock()
		if ok() {
			g.mu.Unlock()
			return nil
		}
		changed := g.changed
		g.mu.Unlock()
		select {
		case <-changed:
		case <-limit:
			return fmt.Errorf("waited in vain until %s", what)
		}
	}
}

func (g *gateway) queueLocked(user protocol.UserID, device protocol.DeviceID) *queue {
	key := string(user) + "/" + string(device)
	q := g.devices[key]
	if q == nil {
		q = &queue{name: key}
		g.devices[key] = q
	}
	return q
}

func (q *queue) cursor(seq protocol.Seq) string {
	return "k-" + strings.ReplaceAll(q.name, "/", ".") + "-" + strconv.FormatUint(uint64(seq), 10)
}

func (q *queue) seq(cursor string) (protocol.Seq, bool) {
	n, err := strconv.ParseUint(cursor[strings.LastIndexByte(cursor, '-')+1:], 10, 64)
	return protocol.Seq(n), err == nil && q.cursor(protocol.Seq(n)) == cursor && n <= uint64(len(q.log))
}

// Open implements Router.
func (g *gateway) Open(_ context.Context, _ time.Duration, o link.Open, r link.Receiver) (link.Stream, link.Opened, error) {
	g.mu.Lock()
	g.opens = append(g.opens, o)
	g.changeLocked()
	if g.openErr != nil {
		if err := g.openErr(o); err != nil {
			g.mu.Unlock()
			return nil, link.Opened{}, err
		}
	}
	q := g.queueLocked(o.User, o.Device)
	old := q.stream
	resumed := false
	from := q.acked
	cursor := o.Cursor + o.Acked
	if n, ok := q.seq(cursor); ok && cursor != "" {
		resumed = true
		q.acked = max(q.acked, n)
		from = q.acked
	}
	if len(o.Sent) > 0 {
		from = o.Sent[len(o.Sent)-1].Seq
	}
	q.context = o.Context
	g.streams++
	g.counter++
	s := &gatewayStream{g: g, q: q, r: r, opens: o.Generation, name: "s" + strconv.FormatUint(g.counter, 10), window: o.Window, sent: from}
	if s.window == 0 {
		s.window, _ = o.Transport.Window()
	}
	if s.number = o.Number; s.number.IsZero() {
		s.number = protocol.StreamNumber{Epoch: 1, Counter: g.counter}
	}
	q.stream = s
	opened := link.Opened{Number: s.number, Name: s.name, Resumed: resumed, Seq: from, Cursor: q.cursor(from), Pending: int(from) < len(q.log)}
	g.mu.Unlock()
	if old != nil {
		old.end(func(r link.Receiver) { r.Closed(old.opens, protocol.ReasonSuperseded, "a newer stream is open") })
	}
	return s, opened, nil
}

// Ack implements Router.
func (g *gateway) Ack(_ context.Context, a link.Ack) error {
	g.mu.Lock()
	g.acks = append(g.acks, a)
	q := g.queueLocked(a.User, a.Device)
	s := q.stream
	seq := a.Seq
	if a.Name != "" && (s == nil || s.name != a.Name) {
		g.mu.Unlock()
		return protocol.Errorf(protocol.CodeNotFound, "no such stream")
	}
	if a.Cursor != "" {
		var ok bool
		if seq, ok = q.seq(a.Cursor); !ok {
			g.mu.Unlock()
			return protocol.Invalidf("cursor cannot be honoured")
		}
	}
	q.acked = max(q.acked, seq)
	g.changeLocked()
	g.mu.Unlock()
	if s != nil {
		s.call(func(r link.Receiver) { r.Acked(s.opens, seq) })
		s.pump()
	}
	return nil
}

// publish appends n messages for a device and pushes what can be.
func (g *gateway) publish(user, device string, n int, payload string) {
	g.mu.Lock()
	q := g.queueLocked(protocol.UserID(user), protocol.DeviceID(device))
	for range n {
		q.log = append(q.log, &protocol.Message{
			ID: protocol.MessageID(fmt.Sprintf("m%d", len(q.log)+1)), Type: "t", Priority: protocol.PriorityHigh, Payload: []byte(payload),
			ContentType: protocol.ContentTypeJSON, CreatedMS: time.Now().UnixMilli(), ExpiresMS: time.Now().UnixMilli() + 60_000,
		})
	}
	s := q.stream
	g.mu.Unlock()
	if s != nil {
		s.pump()
	}
}

// each calls f for the stream of every device.
func (g *gateway) each(f func(s *gatewayStream)) {
	g.mu.Lock()
	var all []*gatewayStream
	for _, q := range g.devices {
		if q.stream != nil {
			all = append(all, q.stream)
		}
	}
	g.mu.Unlock()
	for _, s := range all {
		f(s)
	}
}

func (g *gateway) close(reason protocol.Reason, detail string) {
	g.each(func(s *gatewayStream) { s.end(func(r link.Receiver) { r.Closed(s.opens, reason, detail) }) })
}

func (g *gateway) lose() {
	g.each(func(s *gatewayStream) { s.end(func(r link.Receiver) { r.Lost(s.opens, link.Loss{}) }) })
}

// end makes the last call of a stream.
func (s *gatewayStream) end(last func(r link.Receiver)) {
	s.g.mu.Lock()
	if s.over {
		s.g.mu.Unlock()
		return
	}
	s.over = true
	s.g.streams--
	if s.q.stream == s {
		s.q.stream = nil
	}
	s.late = append(s.late, last)
	s.g.changeLocked()
	s.g.mu.Unlock()
	s.pump()
}

func (s *gatewayStream) call(f func(r link.Receiver)) {
	s.g.mu.Lock()
	if !s.over {
		s.late = append(s.late, f)
	}
	s.g.mu.Unlock()
	s.pump()
}

// pump makes the calls that are due, one goroutine at a time.
func (s *gatewayStream) pump() {
	s.g.mu.Lock()
	if s.pumping {
		s.g.mu.Unlock()
		return
	}
	s.pumping = true
	for {
		if len(s.late) > 0 {
			f := s.late[0]
			s.late = s.late[1:]
			s.g.mu.Unlock()
			f(s.r)
			s.g.mu.Lock()
			continue
		}
		batch, more := s.batchLocked()
		if s.over || len(batch) == 0 {
			break
		}
		s.g.mu.Unlock()
		s.r.Push(s.opens, batch, more)
		s.g.mu.Lock()
	}
	s.pumping = false
	s.g.mu.Unlock()
}

func (s *gatewayStream) batchLocked() (batch []protocol.Push, more bool) {
	can := func() bool {
		return s.credit > 0 && int(s.sent) < len(s.q.log) && int(s.sent-s.q.acked) < s.window
	}
	for can() && len(batch) < 16 {
		s.sent++
		p := protocol.Push{Seq: s.sent, Cursor: s.q.cursor(s.sent), Message: s.q.log[s.sent-1]}
		s.credit -= p.Cost()
		batch = append(batch, p)
	}
	return batch, can()
}

func (s *gatewayStream) Credit(n int) {
	s.g.mu.Lock()
	s.credit += n
	s.g.mu.Unlock()
	s.pump()
}

func (s *gatewayStream) Ack(seq protocol.Seq, cursor string) {
	s.g.mu.Lock()
	ok := true
	if seq == 0 {
		seq, ok = s.q.seq(cursor)
	}
	if ok && !s.over {
		s.q.acked = max(s.q.acked, seq)
	}
	s.g.changeLocked()
	s.g.mu.Unlock()
	if !ok {
		s.end(func(r link.Receiver) { r.Closed(s.opens, protocol.ReasonInvalidArgument, "cursor cannot be honoured") })
		return
	}
	s.pump()
}

func (s *gatewayStream) Refresh(c *protocol.DeviceContext) {
	s.g.mu.Lock()
	s.q.context = c
	s.g.changeLocked()
	s.g.mu.Unlock()
}

func (s *gatewayStream) Measured(rtt uint32) {
	s.g.mu.Lock()
	s.q.rtts = append(s.q.rtts, rtt)
	s.g.changeLocked()
	s.g.mu.Unlock()
}

func (s *gatewayStream) Close(protocol.Reason) {
	s.g.mu.Lock()
	if !s.over {
		s.over = true
		s.g.streams--
		if s.q.stream == s {
			s.q.stream = nil
		}
	}
	s.late = nil
	s.g.changeLocked()
	s.g.mu.Unlock()
}
