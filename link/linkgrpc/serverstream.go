package linkgrpc

import (
	"sync"

	"ramen/link"
	"ramen/link/linkgrpc/frame"
	"ramen/protocol"
)

// serverStream stands between a stream of the gateway's and its frontend.
//
//	opening ──▶ open ──▶ ended    the gateway ended it or gave up its shard; the frontend closed it; the link ended
//
// The frontend's credit is passed on in portions, and none while too much waits on the link: what the gateway has been given it may
// push at any time, and that has to have room here. What waits beyond that waits in the mailbox, where a higher priority overtakes it.
type serverStream struct {
	// immutable
	session *session
	id      uint64

	mu sync.Mutex
	// guarded by mu
	inner   link.Stream // immutable once the session has the stream
	reserve int64       // bytes of credit that the gateway has not been given
	left    int64       // bytes that it was given and has not used; below 0 by a push that was larger
	early   *earlyCalls // what came while opening
	told    bool        // the frontend knows that it is open
	ended   bool
	stalled bool // waits for the link to have room
}

// earlyCalls is what a gateway has told of a stream before Open has returned.
type earlyCalls struct {
	acked  protocol.Seq
	closed func(b []byte) []byte // the frame of its end
}

// portion is how much of its credit a stream is given at once, in bytes, while the link has plenty of room.
const portion = 32 << 10

var _ link.Receiver = (*serverStream)(nil)

// begin tells the frontend that the stream is open, and then what came before.
func (s *serverStream) begin(opened *link.Opened) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told = true
	early := s.early
	s.early = nil
	out := s.session.out
	out.put(func(b []byte) []byte { return frame.AppendOpened(b, s.id, opened) })
	if early == nil {
		return
	}
	if early.acked != 0 {
		out.put(func(b []byte) []byte { return frame.AppendAcked(b, s.id, early.acked) })
	}
	if early.closed != nil {
		s.endLocked()
		out.put(early.closed)
		s.session.remove(s)
	}
}

// credit takes what the frontend has room for.
func (s *serverStream) credit(bytes uint64) {
	s.mu.Lock()
	s.reserve += int64(min(bytes, 1<<62))
	s.mu.Unlock()
	s.topUp()
}

// topUp passes on credit, as far as the link has room.
func (s *serverStream) topUp() {
	s.mu.Lock()
	give := s.giveLocked()
	stalled := s.stalled
	s.mu.Unlock()
	if give > 0 {
		s.inner.Credit(int(give))
	}
	if stalled { // the link may have become empty meanwhile: then nobody else looks
		s.session.giveStalled()
	}
}

// giveLocked takes from the reserve what the gateway is to be given now.
func (s *serverStream) giveLocked() int64 {
	if s.ended || s.stalled || s.reserve <= 0 || s.left > portion/2 {
		return 0
	}
	l := s.session
	waiting, limit := int64(l.out.waiting()), int64(l.out.limit)
	if waiting >= limit/2 {
		s.stalled = true
		l.stall(s)
		return 0
	}
	target := int64(portion)
	if waiting+l.exposed.Load()+target > limit/2 { // one push at a time
		target = 1
	}
	give := min(s.reserve, target-s.left)
	if give <= 0 {
		return 0
	}
	s.reserve -= give
	s.left += give
	l.exposed.Add(give)
	return give
}

// Push implements link.Receiver.
func (s *serverStream) Push(_ link.Generation, batch []protocol.Push, more bool) {
	cost := int64(0)
	for i := range batch {
		cost += int64(batch[i].Cost())
	}
	s.mu.Lock()
	if s.ended {
		s.mu.Unlock()
		return
	}
	s.left -= cost
	s.mu.Unlock()
	s.session.exposed.Add(-cost)
	s.session.out.put(func(b []byte) []byte { return frame.AppendPushes(b, s.id, batch, more) })
	s.topUp()
}

// Acked implements link.Receiver.
func (s *serverStream) Acked(_ link.Generation, seq protocol.Seq) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.told {
		s.earlyLocked().acked = seq
		return
	}
	if !s.ended {
		s.session.out.put(func(b []byte) []byte { return frame.AppendAcked(b, s.id, seq) })
	}
}

// Closed implements link.Receiver. It is told though the frontend has closed the stream: that knows whether it counts.
func (s *serverStream) Closed(_ link.Generation, reason protocol.Reason, detail string) {
	s.last(func(b []byte) []byte { return frame.AppendClosed(b, s.id, reason, detail) })
}

// Lost implements link.Receiver.
func (s *serverStream) Lost(_ link.Generation, l link.Loss) {
	s.last(func(b []byte) []byte { return frame.AppendLost(b, s.id, l) })
}

// last tells the end of the stream.
func (s *serverStream) last(closed func(b []byte) []byte) {
	s.mu.Lock()
	if !s.told {
		s.earlyLocked().closed = closed
		s.mu.Unlock()
		return
	}
	s.endLocked()
	s.session.out.put(closed)
	s.mu.Unlock()
	s.session.remove(s)
}

func (s *serverStream) earlyLocked() *earlyCalls {
	if s.early == nil {
		s.early = new(earlyCalls)
	}
	return s.early
}

func (s *serverStream) endLocked() {
	if !s.ended {
		s.ended = true
		s.session.exposed.Add(-s.left)
	}
}

// close ends the stream at the gateway.
func (s *serverStream) close(reason protocol.Reason) {
	s.mu.Lock()
	s.endLocked()
	inner := s.inner
	s.mu.Unlock()
	inner.Close(reason)
}

// stall notes a stream that waits for the link to have room.
func (l *session) stall(s *serverStream) {
	l.metrics.stalls.Inc()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.ended {
		l.stalled = append(l.stalled, s)
	}
}

// giveStalled gives credit to streams that wait for it, once there is room again.
func (l *session) giveStalled() {
	for {
		l.mu.Lock()
		n := len(l.stalled)
		if n == 0 || l.out.waiting() >= l.out.limit/4 {
			l.mu.Unlock()
			return
		}
		s := l.stalled[0]
		if l.stalled = l.stalled[1:]; n == 1 {
			l.stalled = nil
		}
		l.mu.Unlock()
		s.mu.Lock()
		s.stalled = false
		s.mu.Unlock()
		s.topUp()
	}
}
