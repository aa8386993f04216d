package stream

import (
	"fmt"
	"time"

	"ramen/link"
	"ramen/protocol"
)

// Push implements link.Receiver: all of batch goes out in one write, or is buffered by the transport. It never waits for the device.
func (s *Stream) Push(g link.Generation, batch []protocol.Push, more bool) {
	now := s.set.clock.now()
	s.mu.Lock()
	if s.state != live || !s.currentLocked(g) {
		s.mu.Unlock()
		return
	}
	cost := 0
	for i := range batch {
		p := &batch[i]
		if p.Seq != s.sent+1 {
			want := s.sent + 1
			s.mu.Unlock()
			s.Finish(protocol.ReasonInternal, fmt.Sprintf("internal error: got push %d, expected %d", p.Seq, want))
			return
		}
		s.sent = p.Seq
		if s.ring == nil {
			s.ring = rings.Get().(*ring)
		}
		s.ring.push(unacked{cursor: p.Cursor, bytes: uint32(len(p.Message.Payload)), atMS: uint32(now), priority: p.Message.Priority})
		cost += p.Cost()
	}
	s.pushes += uint32(len(batch))
	w := s.out.WritePushes(batch, more)
	s.wroteLocked(now, w, cost)
	give := s.returnCreditLocked()
	lk := s.link
	s.mu.Unlock()

	if give > 0 {
		lk.Credit(give)
	}
	s.set.metrics.pushed(s.transport, batch, w.N, time.Now().UnixMilli())
}

// wroteLocked accounts for a write and the credit that its pushes took.
func (s *Stream) wroteLocked(now int64, w WriteResult, cost int) {
	buffered := int32(min(w.N, w.Buffered)) // of this write: package sock, invariant 2
	if buffered > 0 && s.buffered == 0 {
		s.ensureBackpressureLocked().begin(now)
		if slow := s.set.cfg.TooSlow.Milliseconds(); int64(s.intervalMS) > slow { // else a timer comes in time
			s.timers().reschedule(s, now+slow)
		}
	}
	if int(buffered) < w.N {
		s.wroteMS = now
	}
	if b := s.backpressure; b != nil && buffered == 0 {
		b.creditWithheld = max(b.creditWithheld-int32(cost), 0)
	}
	s.buffered += buffered
	s.creditInFlight += int32(cost)
}

// OnWritten is told that n of the buffered bytes went out.
func (s *Stream) OnWritten(n int) {
	now := s.set.clock.now()
	s.mu.Lock()
	s.adaptCreditLocked(now, n)
	s.wroteMS = now
	if left := s.buffered - int32(n); left > 0 {
		part := int32(int64(s.creditInFlight) * int64(n) / int64(s.buffered))
		s.creditInFlight -= part
		s.creditToReturn += part
		s.buffered = left
	} else {
		s.buffered = 0
		if s.heartbeatSkipped { // meanwhile it was sent no heartbeat to echo: its silence counts anew
			s.heartbeatSkipped = false
			s.heardMS = max(s.heardMS, now-int64(s.intervalMS))
		}
	}
	give := s.returnCreditLocked()
	lk := s.link
	s.mu.Unlock()
	if give > 0 && lk != nil {
		lk.Credit(give)
	}
}
