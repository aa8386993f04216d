package frontend

import (
	"log/slog"
	"sync"
	"time"

	"ramen/frontend/admission"
	"ramen/link"
	"ramen/protocol"
)

// stream is one device's stream over any transport: what was pushed and not acked, what the socket has room for, when to speak
// and when to end. Its life:
//
//	          hello                     Lost
//	opening ────────▶ live ───────────────────────▶ detached
//	   │               │ ▲  reopen (same number,      │
//	   │               │ │  acked and sent)           │
//	   │               │ └────────────────────────────┘
//	   │ refused       │ finish(reason)               │ finish(reason)
//	   ▼               ▼                              ▼
//	 nothing ◀─────── closed: goaway, the transport's end, link.Close, off the wheel
//
// A stream that was asked to leave (drain, rebalance) is live or detached with leaving set: it is pushed to until endMS.
//
// Invariants:
//  1. acked is the cursor of the push up to which all is acked, and the ring holds those behind it, up to sent.
//  2. kept is what the outlet keeps, less what Written still has to report; owed is the credit of what is in it. Credit is
//     given back when bytes left for the kernel, so owed + due + what the gateway may still send is Config.Credit.
//  3. mu is held while the outlet writes (which never blocks), and never while a link.Stream or the router is called.
type stream struct {
	// immutable once opened
	srv        *Server
	out        outlet
	names      string           // of the user, and of the device behind it
	permit     admission.Permit // none where its handler has it: one that writes the end itself
	openedMS   int64
	intervalMS int32  // of heartbeats; 0: none
	window     uint16 // as asked for; 0: the transport's most
	transport  protocol.Transport
	userLen    uint8 // of names

	// guarded by wheel.mu
	wish int64 // when to visit it at the latest, asked for while it was in no slot; 0: nothing was
	pos  int32
	slot int16 // -1: in no slot
	on   bool  // was put on the wheel
	off  bool  // off it for good

	mu sync.Mutex
	// guarded by mu
	state     state
	leaving   protocol.Reason // ReasonNone: not asked to leave
	early     protocol.Reason // came from the gateway before hello
	lost      bool            // Lost came while an open was under way
	echoDue   bool            // a heartbeat was written and not answered
	unbeaten  bool            // kept bytes stood where a heartbeat was due
	kept      int32           // bytes
	owed      int32           // credit of what is kept
	due       int32           // credit to give back with the next
	pushes    uint32
	rttMS     uint32
	ring      *ring       // nil while all is acked
	strain    *strain     // nil while all is well
	link      link.Stream // nil but while live
	number    protocol.StreamNumber
	context   *protocol.DeviceContext
	acked     string // cursor
	sent      protocol.Seq
	wroteMS   int64 // when bytes last left
	heardMS   int64 // when the device last said something
	beatMS    int64 // when the last heartbeat was written
	expiresMS int64 // of the token; 0: never
	ageMS     int64 // when to ask it to leave; 0: never
}

// strain is what a stream needs that is slow, has to leave, or has lost its gateway. Hardly any is at a time, so that an idle
// stream has no room for it: visit takes it off one that is well again.
type strain struct {
	held      int32  // how much of due stays with us: push.go
	took      int32  // bytes that went out since tookMS, while some are kept
	tookMS    uint32 //
	stalledMS int64  // since when the socket has taken nothing of what is kept
	endMS     int64  // when a leaving stream ends
	lostMS    int64  // when it was detached
	retryMS   int64  // when to look for the owner again; 0: a re-open is queued or under way
	lateAck   string // a cursor that came while detached and is not in the ring
}

var strains = sync.Pool{New: func() any { return new(strain) }}

// strainLocked is the stream's strain to change.
func (s *stream) strainLocked() *strain {
	if s.strain == nil {
		s.strain = strains.Get().(*strain)
	}
	return s.strain
}

// easeLocked gives the strain back, where there is none.
func (s *stream) easeLocked() {
	x := s.strain
	if x == nil || s.state != live || s.kept > 0 || x.held != 0 || s.leaving != protocol.ReasonNone || x.lateAck != "" {
		return
	}
	s.strain = nil
	*x = strain{}
	strains.Put(x)
}

// heldLocked is how much of due stays with us.
func (s *stream) heldLocked() int32 {
	if s.strain == nil {
		return 0
	}
	return s.strain.held
}

func (s *stream) user() protocol.UserID     { return protocol.UserID(s.names[:s.userLen]) }
func (s *stream) device() protocol.DeviceID { return protocol.DeviceID(s.names[s.userLen:]) }

// ackedLocked is the seq up to which all is acked.
func (s *stream) ackedLocked() protocol.Seq { return s.sent - protocol.Seq(s.ring.len()) }

type state uint8

const (
	opening state = iota
	live
	detached
	closed
)

// outlet is how a transport writes. All calls are made under the stream's mutex; none blocks or calls back.
type outlet interface {
	// push writes pushes, in one piece where the transport can.
	push(batch []protocol.Push, more bool) written
	heartbeat(unixMS int64) written
	goaway(g *protocol.GoAway) written
	// end closes the transport in order, behind what was written.
	end(reason protocol.Reason, detail string)
	// abort closes it at once: the peer is gone or takes nothing.
	abort(reason protocol.Reason, detail string)
}

// written is what became of one write: its bytes, and how many the outlet keeps in all.
type written struct{ n, kept int }

// start makes an opened stream live. connect gives the stream its connection and writes hello; it is called under mu, so that
// callbacks of the connection wait. The stream closes permit when it has ended.
func (s *stream) start(lk link.Stream, o link.Opened, permit admission.Permit, connect func(h *protocol.Hello) (written, error)) {
	now := s.srv.clock.now()
	h := hellos.Get().(*protocol.Hello)
	*h = s.hello(&o)
	s.mu.Lock()
	s.permit = permit
	s.link, s.number = lk, o.Number
	s.acked, s.sent = o.Cursor, o.Seq
	s.heardMS, s.beatMS, s.state = now, now, live
	s.owed = int32(s.credit())
	s.ageMS = s.srv.ageLimit(now)
	w, err := connect(h)
	hellos.Put(h)
	var give int
	if err == nil {
		s.wroteLocked(now, w, 0)
		give = s.settleLocked()
	}
	next, spare := s.nextLocked(now)
	if spare > 0 {
		spare *= 4 // the first visit finds each its own place in the interval
	}
	early, lost := s.early, s.lost
	s.lost = false
	s.mu.Unlock()

	s.srv.opened(s, o.Resumed)
	s.srv.wheel.add(s, next, spare)
	switch {
	case err != nil:
		s.srv.log.Debug("frontend: connection was gone before hello", "transport", s.transport, "err", err)
		s.finish(protocol.ReasonGone, "")
	case early != protocol.ReasonNone:
		s.dropLink()
		s.finish(early, "the stream was ended while it was opened")
	case lost:
		s.Lost()
	case give > 0:
		lk.Credit(give)
	}
}

// hellos are pooled: a connect that leaves less behind leaves fewer holes among what stays.
var hellos = sync.Pool{New: func() any { return new(protocol.Hello) }}

func (s *stream) hello(o *link.Opened) protocol.Hello {
	h := protocol.Hello{
		Resumed: o.Resumed, Stream: o.Name, Seq: o.Seq, Expired: o.Expired, Cursor: o.Cursor,
		HeartbeatMS: uint32(s.intervalMS), TimeoutMS: uint32(s.intervalMS) * 7 / 4, // SPEC 2.8
		AckMS: ackOneWayMS, TimeMS: time.Now().UnixMilli(),
	}
	if s.transport.TwoWay() {
		h.AckMS = ackTwoWayMS
	}
	return h
}

// SPEC 2.9: within what time a device acks.
const (
	ackTwoWayMS = 100
	ackOneWayMS = 30_000
)

// credit is what may be under way to this stream in all, in bytes.
func (s *stream) credit() int {
	if s.transport == protocol.TransportPoll {
		return s.srv.cfg.PollBytes
	}
	return s.srv.cfg.Credit
}

// farewell is how much of an end a device is told.
type farewell uint8

const (
	silently  farewell = iota // the connection is gone or stuck
	formally                  // the transport's own end alone
	withWords                 // goaway before it. SPEC 2.12
)

// finish ends the stream for reason. Later calls do nothing.
func (s *stream) finish(reason protocol.Reason, detail string) {
	how := withWords
	switch reason {
	case protocol.ReasonGone, protocol.ReasonTooSlow:
		how = silently
	case protocol.ReasonNone, protocol.ReasonProtocolError, protocol.ReasonTooBig:
		how = formally
	}
	s.finishWith(reason, detail, how)
}

// bye ends a stream whose device has closed it in order.
func (s *stream) bye() { s.finishWith(protocol.ReasonGone, "", formally) }

func (s *stream) finishWith(reason protocol.Reason, detail string, how farewell) {
	s.mu.Lock()
	if s.state == closed {
		s.mu.Unlock()
		return
	}
	s.state = closed
	lk := s.link
	s.link = nil
	if how == withWords && s.leaving != reason { // a leaving stream has had its goaway
		g := protocol.GoAway{Reason: reason, Detail: detail}
		if reason == protocol.ReasonDrain || reason == protocol.ReasonRebalance {
			g.ReconnectMS = s.srv.reconnectMS()
		}
		s.out.goaway(&g)
	}
	if how == silently {
		s.out.abort(reason, detail)
	} else {
		s.out.end(reason, detail)
	}
	s.ring.free()
	s.ring = nil
	pushes := s.pushes
	s.mu.Unlock()

	if lk != nil {
		lk.Close()
	}
	s.srv.wheel.remove(s)
	s.srv.ended(s, reason)
	if s.srv.debug() {
		s.srv.log.LogAttrs(s.srv.ctx, slog.LevelDebug, "frontend: stream ended",
			slog.String("transport", s.transport.String()), slog.String("user", string(s.user())),
			slog.String("device", string(s.device())), slog.String("reason", reasonLabel(reason)), slog.String("detail", detail),
			slog.Int64("lived_ms", s.srv.clock.now()-s.openedMS), slog.Uint64("pushes", uint64(pushes)))
	}
}

// dropLink lets go of a link that has ended by itself.
func (s *stream) dropLink() {
	s.mu.Lock()
	s.link = nil
	s.mu.Unlock()
}

// Closed implements link.Receiver: the gateway has ended the stream.
func (s *stream) Closed(reason protocol.Reason, detail string) {
	s.mu.Lock()
	s.link = nil
	if s.state == opening {
		s.early = reason
		s.mu.Unlock()
		return
	}
	s.mu.Unlock()
	s.finish(reason, detail)
}

// Lost implements link.Receiver: the gateway is gone, the socket stays, and the owner is looked for.
func (s *stream) Lost() {
	s.mu.Lock()
	switch s.state {
	case opening:
		s.lost = true
	case detached: // while its re-open was under way, which will see it
		s.lost = true
	case live:
		s.link, s.state = nil, detached
		s.strainLocked().lostMS = s.srv.clock.now()
		s.mu.Unlock()
		s.srv.reopens.add(s)
		return
	}
	s.mu.Unlock()
}
