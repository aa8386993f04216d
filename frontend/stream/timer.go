package stream

import (
	"fmt"
	"time"

	"ramen/protocol"
)

// onTimer does what is due: it ends the stream, asks it to leave, writes its heartbeat, or only looks when it is due again. It
// answers that time, and by how much earlier it may come; 0 where the stream has ended. It allocates nothing.
func (s *Stream) onTimer(now int64) (next, slack int64) {
	s.mu.Lock()
	if s.state == closed {
		s.mu.Unlock()
		return 0, 0
	}
	if reason := s.overdueLocked(now); reason != protocol.ReasonNone {
		detail := s.overdueDetail(reason)
		s.mu.Unlock()
		s.Finish(reason, detail)
		return 0, 0
	}
	s.leaveLocked(now)
	s.heartbeatLocked(now)
	retry := s.retryDueLocked(now)
	s.releaseBackpressureLocked()
	next, slack = s.nextTimerLocked(now)
	if retry {
		s.findOwnerLocked()
	} else {
		s.mu.Unlock()
	}
	return next, slack
}

// maxMissedHeartbeats is how many intervals without a word end a two-way stream. SPEC 2.8.
const maxMissedHeartbeats = 3

func (s *Stream) overdueLocked(now int64) protocol.Reason {
	switch {
	case s.leaving != protocol.ReasonNone && now >= s.moveMS:
		return s.leaving
	case s.set.closing.Load():
		return protocol.ReasonDrain
	case s.expiresMS != 0 && now >= s.expiresMS:
		return protocol.ReasonUnauthenticated
	case s.buffered > 0 && now >= s.tooSlowLocked():
		return protocol.ReasonTooSlow
	case s.transport.TwoWay() && s.buffered == 0 && now >= s.silentLocked():
		return protocol.ReasonAckTimeout
	case s.state == detached && now >= s.abandonLocked():
		return protocol.ReasonUnavailable
	}
	return protocol.ReasonNone
}

// tooSlowLocked is when a stream with buffered bytes has taken nothing for too long.
func (s *Stream) tooSlowLocked() int64 {
	since := s.backpressure.stalledMS
	return since + s.set.cfg.TooSlow.Milliseconds() + s.PausedMS(since)
}

// silentLocked is when a two-way stream has said nothing for too long.
func (s *Stream) silentLocked() int64 {
	return s.heardMS + maxMissedHeartbeats*int64(s.intervalMS) + s.PausedMS(s.heardMS)
}

func (s *Stream) overdueDetail(r protocol.Reason) string {
	switch r {
	case protocol.ReasonUnauthenticated:
		return "the token has expired: come back with another, or refresh it in time"
	case protocol.ReasonTooSlow:
		return fmt.Sprintf("the connection took nothing for %v", s.set.cfg.TooSlow)
	case protocol.ReasonAckTimeout:
		return fmt.Sprintf("nothing was heard for %d intervals of %d ms: heartbeats want an echo", maxMissedHeartbeats, s.intervalMS)
	case protocol.ReasonUnavailable:
		return "no owner of the user was found in time"
	case protocol.ReasonDrain:
		return "the server goes away"
	}
	return "the stream had the time to move"
}

// leaveLocked asks a stream to leave whose server drains, or that is old enough. SPEC 2.12.
func (s *Stream) leaveLocked(now int64) {
	reason := protocol.ReasonNone
	switch {
	case s.leaving != protocol.ReasonNone:
	case s.set.draining.Load():
		reason = protocol.ReasonDrain
	case s.moveMS != 0 && now >= s.moveMS:
		reason = protocol.ReasonRebalance
	}
	if reason == protocol.ReasonNone {
		return
	}
	s.leaving, s.moveMS = reason, now+s.set.cfg.DrainTime.Milliseconds()
	w := s.out.WriteGoAway(&protocol.GoAway{
		Reason: reason, ReconnectMS: s.set.reconnectMS(),
		Detail: "open another stream within the time, and read this one until it ends",
	})
	s.wroteLocked(now, w, 0)
}

// heartbeatLocked writes a heartbeat where nothing was written for an interval, or nothing heard on a two-way stream: a device that
// is pushed to and does not ack for a while still has to be asked whether it lives. None is written behind buffered bytes: these
// are the sign of life. SPEC 2.8.
func (s *Stream) heartbeatLocked(now int64) {
	if s.intervalMS == 0 {
		return
	}
	if s.buffered > 0 {
		s.heartbeatSkipped = true
		return
	}
	due := s.heartbeatDueLocked()
	if now < due-s.slackMS() {
		return
	}
	s.set.metrics.late.Observe(float64(max(now-due, 0)) / 1000)
	s.set.metrics.heartbeats[s.transport].Inc()
	s.heartbeatMS, s.echoDue = now, s.transport.TwoWay()
	s.wroteLocked(now, s.out.WriteHeartbeat(time.Now().UnixMilli()), 0)
}

func (s *Stream) heartbeatDueLocked() int64 {
	due := s.wroteMS + int64(s.intervalMS)
	if s.transport.TwoWay() {
		due = min(due, max(s.heardMS, s.heartbeatMS)+int64(s.intervalMS))
	}
	return due
}

// slackMS is by how much a heartbeat may come early, so that streams can be kept apart.
func (s *Stream) slackMS() int64 { return int64(s.intervalMS) / 8 }

// nextTimerLocked is when the stream is due again.
func (s *Stream) nextTimerLocked(now int64) (next, slack int64) {
	next = now + wheelHorizon
	if s.intervalMS != 0 {
		if s.buffered == 0 {
			next, slack = s.heartbeatDueLocked(), s.slackMS()
		} else {
			next = now + int64(s.intervalMS)
		}
	}
	by := func(at int64) {
		if at < next {
			next, slack = at, 0
		}
	}
	if s.buffered > 0 {
		by(s.tooSlowLocked())
	} else if s.transport.TwoWay() {
		by(s.silentLocked())
	}
	if s.expiresMS != 0 {
		by(s.expiresMS)
	}
	if s.moveMS != 0 {
		by(s.moveMS)
	}
	if s.state == detached {
		by(s.abandonLocked())
		if s.reconnect.retryMS != 0 {
			by(s.reconnect.retryMS)
		}
	}
	return next, slack
}
