package frontend

import (
	"fmt"
	"time"

	"ramen/protocol"
)

// visit is what the wheel does with a stream that is due: it ends it, asks it to leave, writes its heartbeat, or only looks
// when it is due again. It answers that time, and by how much earlier it may come; 0 where the stream has ended. It allocates
// nothing.
func (s *stream) visit(now int64) (next, spare int64) {
	s.mu.Lock()
	if s.state == closed {
		s.mu.Unlock()
		return 0, 0
	}
	if reason := s.overdueLocked(now); reason != protocol.ReasonNone {
		detail := s.overdueDetail(reason)
		s.mu.Unlock()
		s.finish(reason, detail)
		return 0, 0
	}
	s.leaveLocked(now)
	s.beatLocked(now)
	look := s.state == detached && s.strain.retryMS != 0 && s.strain.retryMS <= now
	if look {
		s.strain.retryMS = 0
	}
	s.easeLocked()
	next, spare = s.nextLocked(now)
	s.mu.Unlock()

	if look {
		s.srv.reopens.add(s)
	}
	return next, spare
}

// silences is how many intervals without a word end a two-way stream. SPEC 2.8.
const silences = 3

func (s *stream) overdueLocked(now int64) protocol.Reason {
	switch {
	case s.leaving != protocol.ReasonNone && now >= s.strain.endMS:
		return s.leaving
	case s.srv.closing.Load():
		return protocol.ReasonDrain
	case s.expiresMS != 0 && now >= s.expiresMS:
		return protocol.ReasonUnauthenticated
	case s.kept > 0 && now >= s.stuckLocked():
		return protocol.ReasonTooSlow
	case s.transport.TwoWay() && s.kept == 0 && now >= s.silentLocked():
		return protocol.ReasonAckTimeout
	}
	return protocol.ReasonNone
}

// stuckLocked is when a stream with kept bytes has taken nothing for too long.
func (s *stream) stuckLocked() int64 {
	since := s.strain.stalledMS
	return since + s.srv.cfg.TooSlow.Milliseconds() + s.srv.wheel.pauses.since(since)
}

// silentLocked is when a two-way stream has said nothing for too long.
func (s *stream) silentLocked() int64 {
	return s.heardMS + silences*int64(s.intervalMS) + s.srv.wheel.pauses.since(s.heardMS)
}

func (s *stream) overdueDetail(r protocol.Reason) string {
	switch r {
	case protocol.ReasonUnauthenticated:
		return "the token has expired: come back with another, or refresh it in time"
	case protocol.ReasonTooSlow:
		return fmt.Sprintf("the connection took nothing for %v", s.srv.cfg.TooSlow)
	case protocol.ReasonAckTimeout:
		return fmt.Sprintf("nothing was heard for %d intervals of %d ms: heartbeats want an echo", silences, s.intervalMS)
	case protocol.ReasonDrain:
		return "the server goes away"
	}
	return "the stream had the time to move"
}

// leaveLocked asks a stream to leave whose server drains, or that is old enough. SPEC 2.12.
func (s *stream) leaveLocked(now int64) {
	reason := protocol.ReasonNone
	switch {
	case s.leaving != protocol.ReasonNone:
	case s.srv.draining.Load():
		reason = protocol.ReasonDrain
	case s.ageMS != 0 && now >= s.ageMS:
		reason = protocol.ReasonRebalance
	}
	if reason == protocol.ReasonNone {
		return
	}
	s.leaving, s.strainLocked().endMS = reason, now+s.srv.cfg.DrainTime.Milliseconds()
	w := s.out.goaway(&protocol.GoAway{
		Reason: reason, ReconnectMS: s.srv.reconnectMS(),
		Detail: "open another stream within the time, and read this one until it ends",
	})
	s.wroteLocked(now, w, 0)
}

// beatLocked writes a heartbeat where nothing was written for an interval, or nothing heard on a two-way stream: a device that
// is pushed to and does not ack for a while still has to be asked whether it lives. None is written behind kept bytes: these
// are the sign of life. SPEC 2.8.
func (s *stream) beatLocked(now int64) {
	if s.intervalMS == 0 {
		return
	}
	if s.kept > 0 {
		s.unbeaten = true
		return
	}
	due := s.beatDueLocked()
	if now < due-s.spareMS() {
		return
	}
	if late := now - due; late > 0 {
		s.srv.metrics.late.Observe(float64(late) / 1000)
	} else {
		s.srv.metrics.late.Observe(0)
	}
	s.srv.metrics.heartbeats[s.transport].Inc()
	s.beatMS, s.echoDue = now, s.transport.TwoWay()
	s.wroteLocked(now, s.out.heartbeat(time.Now().UnixMilli()), 0)
}

func (s *stream) beatDueLocked() int64 {
	due := s.wroteMS + int64(s.intervalMS)
	if s.transport.TwoWay() {
		due = min(due, max(s.heardMS, s.beatMS)+int64(s.intervalMS))
	}
	return due
}

// spareMS is by how much a heartbeat may come early, so that streams can be kept apart.
func (s *stream) spareMS() int64 { return int64(s.intervalMS) / 8 }

// nextLocked is when the stream is due again.
func (s *stream) nextLocked(now int64) (next, spare int64) {
	next = now + wheelHorizon
	if s.intervalMS != 0 {
		if s.kept == 0 {
			next, spare = s.beatDueLocked(), s.spareMS()
		} else {
			next = now + int64(s.intervalMS)
		}
	}
	sooner := func(at int64) {
		if at < next {
			next, spare = at, 0
		}
	}
	if s.kept > 0 {
		sooner(s.stuckLocked())
	} else if s.transport.TwoWay() {
		sooner(s.silentLocked())
	}
	if s.expiresMS != 0 {
		sooner(s.expiresMS)
	}
	if s.leaving != protocol.ReasonNone {
		sooner(s.strain.endMS)
	} else if s.ageMS != 0 {
		sooner(s.ageMS)
	}
	if s.strain != nil && s.strain.retryMS != 0 {
		sooner(s.strain.retryMS)
	}
	return next, spare
}

// heard is told that the device said something; echo, that it was the answer to a heartbeat.
func (s *stream) heard(echo bool) {
	now := s.srv.clock.now()
	s.mu.Lock()
	s.heardMS = now
	if !echo || !s.echoDue {
		s.mu.Unlock()
		return
	}
	s.echoDue = false
	rtt, known := uint32(now-s.beatMS), s.rttMS
	moved := known == 0 || rtt > known+known/4+1 || rtt+1 < known-known/4
	if moved { // a steady round trip is not worth a frame on the link with every heartbeat
		s.rttMS = max(rtt, 1)
	}
	lk := s.link
	s.mu.Unlock()
	if moved && lk != nil {
		lk.Measured(rtt)
	}
}
