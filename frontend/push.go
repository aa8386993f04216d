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
		if s.ring == nil {
			s.ring = rings.Get().(*ring)
		}
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
		x := s.strainLocked()
		x.stalledMS, x.took, x.tookMS = now, 0, uint32(now)
		if slow := s.srv.cfg.TooSlow.Milliseconds(); int64(s.intervalMS) > slow { // else a visit comes in time
			s.srv.wheel.sooner(s, now+slow)
		}
	}
	if int(kept) < w.n {
		s.wroteMS = now
	}
	if x := s.strain; x != nil && kept == 0 {
		x.held = max(x.held-int32(cost), 0)
	}
	s.kept += kept
	s.owed += int32(cost)
}

// Credit follows the drain. While the socket takes all and has room, the gateway may have Config.Credit under way. When bytes
// had to wait, what the gateway gets until they have gone is what the device takes in drainTime, so that the next push is chosen
// when there is room for it, and a high message waits behind no more; the rest of the credit is held back. It is given again as
// pushes go out without waiting. One push always goes out, however long: with a credit of 1 byte the gateway sends one.
//
// On a link of 1 Mbit/s, 100 ms and 25 KB of queue, with 1 MiB of low messages of 16 KiB pending, the worst of the high ones took
// 2.6 s (ws, SSE) and 3.1 s (gRPC) while the kernel's buffer grew as it liked (210 KB), 1.1 s and 1.7 s with TCP_NOTSENT_LOWAT
// alone, and 0.3 to 0.6 s on all three with room asked for (package sock) and this, the link used to 94 % all the while. A small
// SO_SNDBUF did as well here (0.9 s), but it is the most that is in flight on a long fast way too.
const (
	drainTime   = 64      // ms
	leastCredit = 4 << 10 // bytes
)

// followLocked sets what is held back, n kept bytes having gone out. Fewer bytes than leastCredit say nothing of the device's
// rate: over gRPC and TLS a heartbeat is kept for a moment too.
func (s *stream) followLocked(now int64, n int) {
	x := s.strainLocked()
	x.stalledMS = now
	if x.took += int32(n); x.took < leastCredit {
		if int32(n) >= s.kept {
			x.held = max(x.held-int32(n), 0)
		}
		return
	}
	ms, most := int64(max(uint32(now)-x.tookMS, 1)), int64(s.credit())
	x.held = int32(most - min(max(int64(x.took)*drainTime/ms, leastCredit), most))
	x.took, x.tookMS = 0, uint32(now)
}

// written is told by the outlet that n of the kept bytes went out.
func (s *stream) written(n int) {
	now := s.srv.clock.now()
	s.mu.Lock()
	s.followLocked(now, n)
	s.wroteMS = now
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
	held := s.heldLocked()
	give = int(s.due - held)
	if s.state != live || give < (s.credit()-int(held))/4 {
		return 0
	}
	s.due = held
	return give
}

// gone is told by the outlet that the connection has ended.
func (s *stream) gone() { s.finish(protocol.ReasonGone, "") }
