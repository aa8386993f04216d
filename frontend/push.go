package frontend

import (
	"fmt"
	"time"

	"ramen/link"
	"ramen/protocol"
)

var _ link.Receiver = (*stream)(nil)

// Push implements link.Receiver: all of batch goes out in one write, or is kept by the outlet. It never waits for the device.
func (s *stream) Push(batch []protocol.Push, more bool) {
	now := s.srv.clock.now()
	s.mu.Lock()
	if s.state != live {
		s.mu.Unlock()
		return
	}
	cost := 0
	for i := range batch {
		p := &batch[i]
		if p.Seq != s.sent+1 {
			want := s.sent + 1
			s.mu.Unlock()
			s.finish(protocol.ReasonInternal, fmt.Sprintf("push %d came where %d was next", p.Seq, want))
			return
		}
		s.sent = p.Seq
		s.ring.push(unacked{cursor: p.Cursor, bytes: uint32(len(p.Message.Payload)), atMS: uint32(now), priority: p.Message.Priority})
		cost += p.Cost()
	}
	s.pushes += uint32(len(batch))
	w := s.out.push(batch, more)
	s.wroteLocked(now, w, cost)
	give := s.settleLocked()
	lk := s.link
	s.mu.Unlock()

	if give > 0 {
		lk.Credit(give)
	}
	s.srv.metrics.pushed(s.transport, batch, w.n, time.Now().UnixMilli())
}

// wroteLocked books a write with the credit that it owes.
func (s *stream) wroteLocked(now int64, w written, cost int) {
	kept := int32(min(w.n, w.kept)) // of this write: package sock, invariant 2
	if kept > 0 && s.kept == 0 {
		s.stalledMS = now
		if slow := s.srv.cfg.TooSlow.Milliseconds(); int64(s.intervalMS) > slow { // else a visit comes in time
			s.srv.wheel.sooner(s, now+slow)
		}
	}
	if int(kept) < w.n {
		s.wroteMS = now
	}
	s.kept += kept
	s.owed += int32(cost)
}

// written is told by the outlet that n of the kept bytes went out.
func (s *stream) written(n int) {
	now := s.srv.clock.now()
	s.mu.Lock()
	s.wroteMS, s.stalledMS = now, now
	if left := s.kept - int32(n); left > 0 {
		part := int32(int64(s.owed) * int64(n) / int64(s.kept))
		s.owed -= part
		s.due += part
		s.kept = left
	} else {
		s.kept = 0
		if s.unbeaten { // meanwhile it was sent no heartbeat to echo: its silence counts anew
			s.unbeaten = false
			s.heardMS = max(s.heardMS, now-int64(s.intervalMS))
		}
	}
	give := s.settleLocked()
	lk := s.link
	s.mu.Unlock()
	if give > 0 && lk != nil {
		lk.Credit(give)
	}
}

// settleLocked returns the credit to give back now. It goes back in steps of a quarter, so that on a link it is a frame for
// many pushes; what is held back meanwhile leaves the gateway enough to go on.
func (s *stream) settleLocked() (give int) {
	if s.kept == 0 {
		s.due += s.owed
		s.owed = 0
	}
	if s.state != live || int(s.due) < s.credit()/4 {
		return 0
	}
	give, s.due = int(s.due), 0
	return give
}

// gone is told by the outlet that the connection has ended.
func (s *stream) gone() { s.finish(protocol.ReasonGone, "") }
