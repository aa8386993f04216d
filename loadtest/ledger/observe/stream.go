package observe

import (
	"context"
	"errors"
	"time"

	"ramen/clients/go/wire"
	"ramen/loadtest/ledger/judge"
	"ramen/protocol"
)

// mostUnread is about how long a device does not read before it breaks off: shorter than three heartbeats, after which a server ends a two-way
// stream.
const mostUnread = 4 * time.Second

// drainAcks is how many pushes a draining device acks together.
const drainAcks = 50

// stream is one stream of a device while it is open.
type stream struct {
	d      *device
	conn   wire.Conn
	rec    *judge.Stream
	index  int
	drain  bool
	life   time.Duration // with drain: how long nothing may have come
	left   int           // frames until the device has had enough
	unread time.Duration // then it reads no longer, and breaks off after so long; 0: it leaves at once
	acked  int           // with drain: pushes acked
	shift  int           // of the numbers of pushes, by tampering
}

// hold reads until the stream ends, its time is over, or the device has had enough of it. It reports whether its time was over.
func (s *stream) hold(ctx context.Context) bool {
	ended, cancel := context.WithCancel(ctx)
	defer cancel()
	over := time.AfterFunc(s.life, cancel)
	defer over.Stop()
	defer context.AfterFunc(ended, func() { _ = s.conn.Close() })()
	defer s.leave()
	for s.drain || s.left > 0 {
		var f protocol.ServerFrame
		if err := s.conn.Next(&f); err != nil {
			if ended.Err() == nil {
				s.d.checkEnd(s.rec, err)
			}
			return ended.Err() != nil && ctx.Err() == nil
		}
		if f.Kind == protocol.ServerPush && s.drain {
			over.Reset(s.life)
		}
		s.take(ended, &f)
		s.left--
	}
	if s.unread > 0 {
		over.Stop()
		sleep(ctx, s.unread)
	}
	return false
}

// leave closes the connection, which with bytes unread is a reset, or forgets it as a phone does that has left the network.
func (s *stream) leave() {
	s.rec.Ended = s.d.clients.cfg.Clock.Now()
	s.d.dropGhost()
	if s.left > 0 || s.drain || s.unread > 0 || s.d.rng.IntN(3) > 0 {
		_ = s.conn.Close()
		return
	}
	s.d.ghost = s.conn
}

func (s *stream) take(ctx context.Context, f *protocol.ServerFrame) {
	d := s.d
	switch f.Kind {
	case protocol.ServerHello:
		h := &f.Hello
		s.rec.Greeted, s.rec.Resumed, s.rec.Seq, s.rec.ServerMS, s.rec.Expired = d.clients.cfg.Clock.Now(), h.Resumed, uint64(h.Seq), h.TimeMS, h.Expired
		if d.clients.tampering.repeat(d.rec, s.rec) {
			s.shift++
		}
		if h.Cursor != "" && d.rng.IntN(2) == 0 { // the place of a device that processes no push on this stream. SPEC 2.2.14
			d.processed(h.Cursor, judge.Place{Stream: s.index})
		}
	case protocol.ServerPush:
		if s.rec.Greeted == 0 {
			d.fault("over %s: push %s came before hello", s.rec.Transport, f.Push.Message.ID)
		}
		if d.clients.tampering.drops(d.rec.User, string(f.Push.Message.ID)) {
			s.shift--
			return
		}
		d.received(s.rec, &f.Push, s.shift)
		s.process(ctx, &f.Push)
	case protocol.ServerHeartbeat:
		_ = s.conn.Echo(f.TimeMS) // an end is seen by Next
	case protocol.ServerGoAway:
		s.rec.End = f.GoAway.Reason.String()
		d.checkReason(s.rec, f.GoAway.Reason, f.GoAway.Detail)
	}
}

// process takes pushes as processed, some at a time, and acks some of those times.
func (s *stream) process(ctx context.Context, p *protocol.Push) {
	d, n := s.d, len(s.rec.Pushes)
	if !s.drain && d.rng.IntN(4) > 0 {
		return
	}
	d.processed(p.Cursor, judge.Place{Stream: s.index, Pushes: n})
	if s.drain {
		if n-s.acked >= drainAcks {
			s.acked = n
			s.ack(ctx, p)
		}
		return
	}
	seldom := 2
	if s.rec.Transport == string(wire.SSE) {
		seldom = 15
	}
	if d.rng.IntN(seldom) == 0 {
		s.ack(ctx, p)
	}
}

func (s *stream) ack(ctx context.Context, p *protocol.Push) {
	a := judge.Ack{Sent: s.d.clients.cfg.Clock.Now(), Pushes: len(s.rec.Pushes)}
	err := s.conn.Ack(ctx, p.Seq, p.Cursor)
	var refused *protocol.Error
	if errors.As(err, &refused) && refused.Code != protocol.CodeUnavailable {
		s.d.fault("ack of %s over %s: %v", p.Cursor, s.rec.Transport, err)
	}
	if err == nil && s.rec.Transport == string(wire.SSE) {
		a.Confirmed = s.d.clients.cfg.Clock.Now()
	}
	s.rec.Acks = append(s.rec.Acks, a)
}
