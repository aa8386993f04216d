package backend

import (
	"context"
	"time"

	"ramen/link"
	"ramen/protocol"
)

// batch is one publish request on its way: what is left to ask for, and the results, those of rejected messages already
// there. A result whose status is unspecified waits for the next answer of asked, in order.
type batch struct {
	asked   []link.Publish
	results []protocol.PublishResult
	bytes   int64 // of the request: what it holds of the bytes under way
	began   time.Time
}

// prepare checks and completes the messages of a request. They are not needed afterwards.
func (s *Server) prepare(messages []protocol.Publish) *batch {
	n := 0
	for i := range messages {
		n += messages[i].Count()
	}
	b, made := newBatch(n, len(messages))
	for i := range messages {
		b.add(&messages[i], &made[i], &s.cfg.Publish)
	}
	return b
}

// newBatch has room for n messages that are made of so many asked for. Gateways keep copies: it lives no longer than its
// request. One message, the most usual, takes one allocation.
func newBatch(n, messages int) (*batch, []protocol.Message) {
	if n == 1 {
		b := new(struct {
			batch
			asked   [1]link.Publish
			results [1]protocol.PublishResult
			made    [1]protocol.Message
		})
		b.batch.asked, b.batch.results = b.asked[:0], b.results[:0]
		return &b.batch, b.made[:]
	}
	return &batch{asked: make([]link.Publish, 0, n), results: make([]protocol.PublishResult, 0, n)}, make([]protocol.Message, messages)
}

// add checks p, makes m of it, and asks for it for each of its users.
func (b *batch) add(p *protocol.Publish, m *protocol.Message, l *protocol.PublishLimits) {
	err := asError(p.Check(l))
	if err == nil {
		*m = protocol.Message{ID: protocol.MessageID(p.ID), Type: p.Type, Priority: p.Priority, Payload: p.Payload,
			ContentType: p.ContentType, CollapseKey: p.CollapseKey, Headers: p.Headers}
	} else if protocol.CheckMessageID(p.ID) != nil {
		p.ID = "" // a bad id is not repeated, which could be as long as the request, for each of its users
	}
	if len(p.Users) == 0 {
		b.ask(p, m, p.User, err)
		return
	}
	for _, user := range p.Users {
		of := err
		if of == nil {
			of = asError(protocol.CheckUser(user))
		}
		b.ask(p, m, user, of)
	}
}

func (b *batch) ask(p *protocol.Publish, m *protocol.Message, user string, err *protocol.Error) {
	if err != nil {
		b.results = append(b.results, protocol.PublishResult{ID: p.ID, Status: protocol.PublishRejected, Err: err})
		return
	}
	b.results = append(b.results, protocol.PublishResult{ID: p.ID})
	b.asked = append(b.asked, link.Publish{User: protocol.UserID(user), Device: protocol.DeviceID(p.Device), Where: p.Where, Message: m, TTLMS: p.TTLMS})
}

// publish asks for batches in one call and fills in their results.
func (s *Server) publish(ctx context.Context, from side, batches ...*batch) {
	answers := s.ask(ctx, together(batches))
	for _, b := range batches {
		for i := range b.results {
			r := &b.results[i]
			if r.Status != protocol.PublishUnspecified {
				continue
			}
			fill(r, answers[0])
			answers = answers[1:]
		}
		s.metrics.results(from, b.results)
	}
}

// together is all that is asked for, in order.
func together(batches []*batch) []link.Publish {
	if len(batches) == 1 {
		return batches[0].asked
	}
	n := 0
	for _, b := range batches {
		n += len(b.asked)
	}
	asked := make([]link.Publish, 0, n)
	for _, b := range batches {
		asked = append(asked, b.asked...)
	}
	return asked
}

func (s *Server) ask(ctx context.Context, asked []link.Publish) []link.Result {
	if len(asked) == 0 {
		return nil
	}
	if s.limiter == nil || s.limiter.AllowN(time.Now(), len(asked)) {
		return s.router.Publish(ctx, asked)
	}
	err := protocol.Errorf(protocol.CodeResourceExhausted, "this server accepts %v messages per second: send fewer, and retry these later", s.cfg.PublishesPerSecond)
	answers := make([]link.Result, len(asked))
	for i := range answers {
		answers[i] = link.Result{Status: link.StatusRejected, Err: err}
	}
	return answers
}

// fill puts an owner's answer into r. The numbers of the statuses are the wire's on both sides.
func fill(r *protocol.PublishResult, a link.Result) {
	r.Status, r.Devices = protocol.PublishStatus(a.Status), uint32(a.Devices)
	if a.Status == link.StatusRejected {
		r.Err = asError(a.Err)
	}
}

// borrow is room for the messages of a request, until back.
func (s *Server) borrow() *[]protocol.Publish {
	if room, ok := s.scratch.Get().(*[]protocol.Publish); ok {
		return room
	}
	return new([]protocol.Publish)
}

// back takes room back with nothing in it: it must keep no request's memory alive.
func (s *Server) back(room *[]protocol.Publish, used []protocol.Publish) {
	clear(used) // beyond them it is clear already
	*room = used[:0]
	s.scratch.Put(room)
}
