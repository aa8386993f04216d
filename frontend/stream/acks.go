package stream

import (
	"fmt"

	"ramen/link"
	"ramen/protocol"
)

// Acks joins the acks of one read: they are cumulative, so only the furthest counts.
type Acks struct {
	some   bool
	seq    protocol.Seq
	cursor string // the last one; it counts where no seq is further
}

func (a *Acks) add(f *protocol.DeviceFrame) {
	a.some = true
	if f.Cursor != "" {
		a.cursor = f.Cursor
	} else {
		a.seq = max(a.seq, f.Seq)
	}
}

// OnAcks takes what the device has acked on the stream. SPEC 2.9.
func (s *Stream) OnAcks(a *Acks) {
	if !a.some {
		return
	}
	s.mu.Lock()
	if s.state == closed {
		s.mu.Unlock()
		return
	}
	if a.seq > s.sent {
		sent := s.sent
		s.mu.Unlock()
		s.Finish(protocol.ReasonInvalidArgument, fmt.Sprintf("ack of seq %d: the last push was %d", a.seq, sent))
		return
	}
	seq, unknown := a.seq, ""
	if a.cursor != "" && a.cursor != s.acked {
		if i := s.ring.find(a.cursor); i >= 0 {
			seq = max(seq, s.ackedLocked()+1+protocol.Seq(i))
		} else {
			unknown = a.cursor
		}
	}
	moved := s.ackLocked(seq)
	lk, acked := s.link, s.acked
	if s.state == detached && unknown != "" {
		s.reconnect.lateAck = unknown
	}
	s.mu.Unlock()

	if lk == nil { // the re-open carries it
		return
	}
	if moved {
		lk.Ack(seq, acked)
	}
	if unknown != "" {
		lk.Ack(0, unknown) // the gateway knows whether it can be honoured
	}
}

// ackLocked moves acked up to seq, and says whether it moved.
func (s *Stream) ackLocked(seq protocol.Seq) bool {
	was := s.ackedLocked()
	if seq <= was || seq > s.sent {
		return false
	}
	now := uint32(s.set.clock.now())
	n := int(seq - was)
	for range n {
		u := s.ring.pop()
		s.acked = u.cursor
		s.set.metrics.acked(u.priority, now-u.atMS)
	}
	if s.ring.len() == 0 {
		s.ring.free()
		s.ring = nil
	}
	s.set.metrics.acks[s.transport].Add(float64(n))
	return true
}

// Acked implements link.Receiver: the device acked by another way, such as POST /ramen/ack.
func (s *Stream) Acked(g link.Generation, seq protocol.Seq) {
	s.mu.Lock()
	if s.state != closed && s.currentLocked(g) {
		s.ackLocked(seq)
	}
	s.mu.Unlock()
}
