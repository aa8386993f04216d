package stream

import (
	"log/slog"
	"sync"
	"time"

	"ramen/frontend/admission"
	"ramen/link"
	"ramen/protocol"
)

// This file has every change of a stream's state: the diagram is in doc.go.

// Opened is a stream as its owner has opened it.
type Opened struct {
	Link link.Stream
	link.Opened
}

// Start makes an opened stream live. connect gives the transport its connection and writes hello; it is called under the mutex,
// so that callbacks of the connection wait. The stream closes permit when it ends.
func (s *Stream) Start(o Opened, permit admission.Permit, connect func(h *protocol.Hello) (WriteResult, error)) {
	now := s.set.clock.now()
	h := hellos.Get().(*protocol.Hello)
	*h = s.hello(&o.Opened)
	s.mu.Lock()
	s.permit, s.client = permit, s.set.clients.opened(s.context)
	s.link, s.number = o.Link, o.Number
	s.acked, s.sent = o.Cursor, o.Seq
	s.wroteMS, s.heardMS, s.heartbeatMS, s.state = now, now, now, live
	s.creditInFlight = int32(s.credit())
	s.moveMS = s.set.ageLimit(now)
	w, err := connect(h)
	hellos.Put(h)
	var give int
	if err == nil {
		s.wroteLocked(now, w, 0)
		give = s.returnCreditLocked()
	}
	next, slack := s.nextTimerLocked(now)
	if slack > 0 {
		slack *= 4 // the first timer finds each stream its own place in the interval
	}
	early, lost := s.closedEarly, s.lost
	stale := !s.shard().attach(s, o.Epoch)
	s.lost = notDetached
	s.mu.Unlock()

	s.set.opened(s, o.Resumed)
	s.timers().add(s, next, slack)
	switch {
	case err != nil:
		s.set.log.Debug("frontend: connection ended before hello", "transport", s.transport, "err", err)
		s.Finish(protocol.ReasonGone, "")
	case early != protocol.ReasonNone:
		s.dropLink()
		s.Finish(early, "the stream was ended while it was opened")
	case lost != notDetached || stale:
		s.mu.Lock()
		if !s.currentLocked(0) { // a newer view has detached it already: what is under way now is its re-open
			s.mu.Unlock()
			return
		}
		if lost != notDetached {
			s.loseLocked(lost)
		} else { // a newer view came while it was opened, and its gateway has not said so
			s.loseLocked(detachedByView)
			o.Link.Close(protocol.ReasonNone)
		}
	case give > 0:
		o.Link.Credit(give)
	}
}

// hellos are pooled: a connect that leaves less behind leaves fewer holes among what stays.
var hellos = sync.Pool{New: func() any { return new(protocol.Hello) }}

func (s *Stream) hello(o *link.Opened) protocol.Hello {
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

// Lost implements link.Receiver: the gateway is gone. The connection stays, and the owner is looked for.
func (s *Stream) Lost(g link.Generation, l link.Loss) {
	if l.Below != 0 {
		s.shard().raise(l.Below)
	}
	s.mu.Lock()
	if !s.currentLocked(g) {
		s.mu.Unlock()
		return
	}
	s.loseLocked(causeOf(l.Reason))
}

// loseLocked detaches the stream, and unlocks it.
func (s *Stream) loseLocked(c detachCause) {
	switch s.state {
	case opening:
		s.lost = c
	case detached: // while its re-open was under way, which will see it
		s.lost = c
	case live:
		s.shard().leave(s)
		s.detachLocked(c)
		return
	}
	s.mu.Unlock()
}

// detachStale detaches a stream that is live at an epoch which is over, as a newer view says: its gateway has not said so.
func (s *Stream) detachStale(h *shard) {
	s.mu.Lock()
	if s.state != live || s.link == nil || !h.takeStale(s) { // without a link it is about to end: its gateway has ended it
		s.mu.Unlock()
		return
	}
	lk := s.link
	s.detachLocked(detachedByView)
	lk.Close(protocol.ReasonNone)
}

// detachLocked makes a live stream look for its owner, and unlocks it. It is out of its shard.
func (s *Stream) detachLocked(c detachCause) {
	s.set.metrics.detached[c].Inc()
	s.link, s.state = nil, detached
	s.opens++
	s.ensureReconnectLocked().lostMS = s.set.clock.now()
	s.findOwnerLocked()
}

// findOwnerLocked queues a detached stream for its re-open, once there is somebody to ask, and unlocks it.
func (s *Stream) findOwnerLocked() {
	if s.shard().await(s) {
		s.timers().reschedule(s, s.abandonLocked())
		s.mu.Unlock()
		return
	}
	s.mu.Unlock()
	s.set.reopener.add(s)
}

// asked is what the owner was told with a re-open. What the device says while that is under way is told after it.
type asked struct {
	acked   protocol.Seq
	context *protocol.DeviceContext
}

// reattach makes a detached stream live at its new owner.
func (s *Stream) reattach(lk link.Stream, o link.Opened, told asked) {
	s.mu.Lock()
	if s.state != detached { // ended meanwhile
		s.mu.Unlock()
		lk.Close(protocol.ReasonGone)
		return
	}
	if s.lost != notDetached {
		s.findOwnerLocked()
		return
	}
	if !s.shard().attach(s, o.Epoch) { // a newer view came meanwhile
		s.opens++
		s.findOwnerLocked()
		lk.Close(protocol.ReasonNone)
		return
	}
	s.link, s.state, s.number = lk, live, o.Number
	s.rttMS = 0 // the new owner does not know it
	give := s.credit() - int(s.creditInFlight)
	s.creditToReturn = int32(min(give, 0)) // one push beyond the credit may wait for the connection: it counts before more is given
	acked, ackedSeq, sent, context := s.acked, s.ackedLocked(), s.sent, s.context
	late := s.reconnect.lateAck
	s.releaseReconnectLocked()
	s.mu.Unlock()

	if o.Seq != sent {
		// Another place than this connection's: the store was wiped, say. Only a new hello can say so.
		s.Finish(protocol.ReasonUnavailable, "the new owner of the user cannot resume this stream: open another")
		return
	}
	s.set.metrics.reopens["ok"].Inc()
	if ackedSeq > told.acked {
		lk.Ack(ackedSeq, acked)
	}
	if context != told.context {
		lk.Refresh(context)
	}
	if late != "" {
		lk.Ack(0, late)
	}
	if give > 0 {
		lk.Credit(give)
	}
}

// Closed implements link.Receiver: the gateway has ended the stream. A final end counts though a newer view has taken the stream from
// that gateway meanwhile, or a stream that a backend has ended would live on at the next owner. Acks are timed anew there.
func (s *Stream) Closed(g link.Generation, reason protocol.Reason, detail string) {
	s.mu.Lock()
	if !s.currentLocked(g) {
		s.mu.Unlock()
		if reason.Final() {
			s.Finish(reason, detail)
		}
		return
	}
	s.link = nil
	if s.state == opening {
		s.closedEarly = reason
		s.mu.Unlock()
		return
	}
	s.mu.Unlock()
	s.Finish(reason, detail)
}

// dropLink lets go of a link that has ended by itself.
func (s *Stream) dropLink() {
	s.mu.Lock()
	s.link = nil
	s.mu.Unlock()
}

// OnGone is told that the connection has ended.
func (s *Stream) OnGone() { s.Finish(protocol.ReasonGone, "") }

// OnPeerClose is told that the device has closed the stream in order.
func (s *Stream) OnPeerClose() { s.finish(protocol.ReasonGone, "", closeQuietly) }

// closeMode is how much of an end a device is told.
type closeMode uint8

const (
	abort           closeMode = iota // nothing: the connection is gone or stuck
	closeQuietly                     // the transport's own end alone
	closeWithGoAway                  // goaway before it. SPEC 2.12
)

// Finish ends the stream for reason. Later calls do nothing.
func (s *Stream) Finish(reason protocol.Reason, detail string) {
	mode := closeWithGoAway
	switch reason {
	case protocol.ReasonGone, protocol.ReasonTooSlow:
		mode = abort
	case protocol.ReasonNone, protocol.ReasonProtocolError, protocol.ReasonTooBig:
		mode = closeQuietly
	}
	s.finish(reason, detail, mode)
}

func (s *Stream) finish(reason protocol.Reason, detail string, mode closeMode) {
	s.mu.Lock()
	if s.state == closed {
		s.mu.Unlock()
		return
	}
	s.state = closed
	lk := s.link
	s.link = nil
	if mode == closeWithGoAway && s.leaving != reason { // a leaving stream has had its goaway
		g := protocol.GoAway{Reason: reason, Detail: detail}
		if reason == protocol.ReasonDrain || reason == protocol.ReasonRebalance {
			g.ReconnectMS = s.set.reconnectMS()
		}
		s.out.WriteGoAway(&g)
	}
	if mode == abort {
		s.out.Abort(reason, detail)
	} else {
		s.out.End(reason, detail)
	}
	s.ring.free()
	s.ring = nil
	s.shard().leave(s)
	s.releaseReconnectLocked()
	pushes := s.pushes
	s.mu.Unlock()

	if lk != nil {
		lk.Close(reason)
	}
	s.timers().remove(s)
	s.set.ended(s, reason)
	if s.set.debug() {
		s.set.log.LogAttrs(s.set.ctx, slog.LevelDebug, "frontend: stream ended",
			slog.String("transport", s.transport.String()), slog.String("user", string(s.User())),
			slog.String("device", string(s.Device())), slog.String("reason", reasonLabel(reason)), slog.String("detail", detail),
			slog.Int64("lived_ms", int64(uint32(s.set.clock.now())-s.openedMS)), slog.Uint64("pushes", uint64(pushes)))
	}
}
