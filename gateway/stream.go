package gateway

import (
	"time"

	"ramen/gateway/mailbox"
	"ramen/link"
	"ramen/protocol"
)

// stream is the gateway's end of a device's live connection. Its life:
//
//	attached ──▶ ended(reason) ──▶ told        superseded, disconnected, ack_timeout, a bad ack
//	    │ └────▶ lost ───────────▶ told        the shard was given up
//	    └──────▶ gone                          the frontend closed it; nothing more is told
//
// One goroutine at a time delivers to the receiver: it holds busy, and works until nothing is left under the lock under
// which whoever comes meanwhile has made his change. So a push is never made under a lock, and pushes keep their order.
type stream struct {
	mailbox.Window // guarded by box.mu

	box *box // immutable

	// guarded by box.mu
	receiver    link.Receiver // once ended with endClosed a *closing
	next        *stream       // of its box
	end         endKind
	busy        bool
	ackedBeside bool // something was acked by another way, which is to be told
	timed       bool // it is among the ack deadlines

	generation link.Generation // immutable: of the receiver's Open
}

// closing is the receiver of a stream that has ended, with what it is told.
type closing struct {
	link.Receiver
	reason protocol.Reason
	detail string
}

// endKind is what a receiver is still to be told at the end. All but endNone: the stream is no longer the device's.
type endKind uint8

const (
	endNone endKind = iota
	endClosed
	endLost
	endTold // nothing more is said
)

func (s *stream) detached() bool { return s.end != endNone }

var _ link.Stream = (*stream)(nil)

// Credit allows that many more bytes of pushes.
func (s *stream) Credit(bytes int) {
	if s.box.enter() != nil {
		return
	}
	idle := !s.AddCredit(bytes) || s.detached()
	s.box.unlock()
	if !idle {
		s.deliver()
	}
}

// Ack moves the device's cursor, and pushes what the window has room for then.
func (s *stream) Ack(seq protocol.Seq, cursor string) {
	if s.box.enter() == nil { // else the frontend opens the stream again with it
		if !s.detached() {
			s.ack(seq, cursor)
		}
		s.box.unlock()
	}
	s.deliver()
}

func (s *stream) ack(seq protocol.Seq, cursor string) {
	moved, err := s.Device().Ack(seq, cursor)
	switch {
	case err != nil:
		s.close(protocol.ReasonOf(err.Code), err.Message)
	case moved:
		if seq == 0 && cursor != "" {
			s.ackedBeside = true // the frontend did not know its seq
		}
		s.progress()
	}
}

// progress starts the ack timeout afresh: something was acked.
func (s *stream) progress() {
	s.Progress()
	if s.timed {
		s.timed = false
		s.box.g.ackDeadlines.remove(s)
	}
	s.timeAcks()
}

// timeAcks gives the device its time to ack where the window is full. SPEC 2.9.
func (s *stream) timeAcks() {
	if !s.Full() || s.timed {
		return
	}
	if limit := s.box.g.cfg.ackTimeout(s.Device().Transport()); limit > 0 {
		s.timed = true
		s.box.g.ackDeadlines.add(s, time.Now().Add(limit))
	}
}

// Refresh replaces the context of the device. What where has matched stands.
func (s *stream) Refresh(c *protocol.DeviceContext) {
	if s.box.enter() != nil {
		return
	}
	defer s.box.unlock()
	if !s.detached() {
		s.Window.Refresh(c, s.box.g.nowMS())
	}
}

// Measured reports the round trip of the last heartbeat.
func (s *stream) Measured(rttMS uint32) {
	s.box.lock()
	defer s.box.unlock()
	s.SetRTT(rttMS)
}

// Close says that the frontend has ended the stream, or, with ReasonNone, takes it to another owner. In that case an end that is
// still to be told is told, so that the stream does not live on there.
func (s *stream) Close(reason protocol.Reason) {
	s.box.lock()
	if reason != protocol.ReasonNone || s.end != endClosed {
		s.detach(endTold)
	}
	s.box.unlock()
}

// close ends the stream with a reason that its device will be told. The caller delivers afterwards. With box.mu held, as all that
// follows but deliver.
func (s *stream) close(reason protocol.Reason, detail string) {
	if !s.detached() {
		s.detach(endClosed)
		s.receiver = &closing{s.receiver, reason, detail}
	}
}

// lose ends the stream so that its frontend opens it again at the owner.
func (s *stream) lose() {
	if !s.detached() {
		s.detach(endLost)
	}
}

// detach takes the stream off its device and its box.
func (s *stream) detach(end endKind) {
	before, b := s.end, s.box
	s.end = end
	if before != endNone {
		return
	}
	if s.timed {
		s.timed = false
		b.g.ackDeadlines.remove(s)
	}
	s.Detach(b.g.nowMS())
	for at := &b.streams; *at != nil; at = &(*at).next {
		if *at == s {
			*at, s.next = s.next, nil
			break
		}
	}
	b.g.streams.Add(-1)
	b.g.release(b)
}

// deliver tells the receiver everything that there is to tell, unless another goroutine is at it.
func (s *stream) deliver() {
	b := s.box
	b.lock()
	if s.busy {
		b.unlock()
		return
	}
	s.busy = true
	for {
		c := s.nextCall()
		if c.kind == callNone {
			s.busy = s.end == endTold // after the last word nobody delivers again
			b.unlock()
			return
		}
		r := s.receiver
		b.unlock()
		c.make(s, r)
		b.lock()
	}
}

// call is one call of a receiver.
type call struct {
	kind  callKind
	more  bool
	seq   protocol.Seq
	batch *mailbox.Batch
}

type callKind uint8

const (
	callNone callKind = iota
	callPush
	callAcked
	callClosed
	callLost
)

func (c *call) make(s *stream, r link.Receiver) {
	switch c.kind {
	case callPush:
		r.Push(s.generation, c.batch.Pushes, c.more)
		c.batch.Free()
	case callAcked:
		r.Acked(s.generation, c.seq)
	case callClosed:
		e := r.(*closing)
		e.Receiver.Closed(s.generation, e.reason, e.detail)
	case callLost:
		r.Lost(s.generation, s.box.lossNow())
	}
}

// nextCall is the next call of the receiver: the end before all else, then an ack from beside, then pushes.
func (s *stream) nextCall() call {
	switch s.end {
	case endClosed:
		s.end = endTold
		return call{kind: callClosed}
	case endLost:
		s.end = endTold
		return call{kind: callLost}
	case endTold:
		return call{}
	}
	if s.ackedBeside {
		s.ackedBeside = false
		return call{kind: callAcked, seq: s.Device().AckedSeq()}
	}
	if s.box.gate() != nil {
		return call{}
	}
	batch, more := s.Next(s.box.g.nowMS())
	s.timeAcks()
	if batch == nil {
		return call{}
	}
	return call{kind: callPush, batch: batch, more: more}
}
