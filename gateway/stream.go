package gateway

import (
	"math"
	"sync"
	"time"

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
	// immutable
	d           *device
	receiver    link.Receiver
	windowBytes int32 // of payload
	window      uint16

	// guarded by d.mb.mu
	rttMS  uint32
	credit int32
	end    endKind
	busy   bool
	noted  bool  // something was acked by another way, which is to be told
	full   bool  // the window
	why    *last // with endClosed
}

// last is what a receiver is told at the end.
type last struct {
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

// batchPushes and batchBytes bound what one Receiver.Push carries.
const (
	batchPushes = 256
	batchBytes  = 256 << 10
)

// Credit allows that many more bytes of pushes.
func (s *stream) Credit(bytes int) {
	b := s.d.mb
	b.mu.Lock()
	s.credit = int32(min(int64(s.credit)+int64(bytes), math.MaxInt32))
	idle := s.detached() || s.credit <= 0
	b.mu.Unlock()
	if !idle {
		s.deliver()
	}
}

// Ack moves the device's cursor, and pushes what the window has room for then.
func (s *stream) Ack(seq protocol.Seq, cursor string) {
	b := s.d.mb
	b.mu.Lock()
	if !s.detached() {
		if err := s.ackLocked(seq, cursor); err != nil {
			s.endLocked(protocol.ReasonOf(err.Code), err.Message)
		}
	}
	b.mu.Unlock()
	s.deliver()
}

func (s *stream) ackLocked(seq protocol.Seq, cursor string) *protocol.Error {
	d := s.d
	switch {
	case seq > d.pushedLocked().Seq:
		return protocol.Invalidf("ack of seq %d is beyond the last push, %d", seq, d.pushedLocked().Seq)
	case seq > 0 || cursor == "":
		if !d.ackSeqLocked(seq) {
			return nil
		}
	default:
		c, err := d.mb.honour(d.id, cursor)
		if err != nil {
			return protocol.Invalidf("the cursor acked cannot be honoured: it is not one that this device was pushed")
		}
		if !d.ackLocked(c) {
			return nil
		}
		s.noted = true // the frontend did not know its seq
	}
	s.progressLocked()
	return nil
}

// progressLocked starts the ack timeout afresh: something was acked.
func (s *stream) progressLocked() {
	if s.full {
		s.full = false
		s.d.mb.g.stalls.remove(s)
	}
	if s.d.unackedLocked() >= int(s.window) {
		s.fillLocked()
	}
}

// fillLocked notes that the window is full. From now the device has its time to ack. SPEC 2.9.
func (s *stream) fillLocked() {
	if limit := s.d.mb.g.cfg.ackTimeout(s.d.transport); !s.full && limit > 0 {
		s.full = true
		s.d.mb.g.stalls.add(s, time.Now().Add(limit))
	}
}

// Refresh replaces the context of the device. Verdicts of where stand.
func (s *stream) Refresh(c *protocol.DeviceContext) {
	b := s.d.mb
	b.mu.Lock()
	defer b.mu.Unlock()
	if !s.detached() {
		s.d.nextLocked(b.g.nowMS()) // what is the next by now is judged by what the device was
		s.d.changeLocked(c)
		b.g.saver.dirtyLocked(s.d)
	}
}

// Measured reports the round trip of the last heartbeat.
func (s *stream) Measured(rttMS uint32) {
	b := s.d.mb
	b.mu.Lock()
	defer b.mu.Unlock()
	s.rttMS = rttMS
}

// Close says that the socket is gone.
func (s *stream) Close() {
	b := s.d.mb
	b.mu.Lock()
	s.detachLocked(endTold)
	b.mu.Unlock()
}

// endLocked ends the stream with a reason that its device will be told. The caller delivers afterwards.
func (s *stream) endLocked(reason protocol.Reason, detail string) {
	if !s.detached() {
		s.detachLocked(endClosed)
		s.why = &last{reason, detail}
	}
}

// loseLocked ends the stream so that its frontend opens it again at the owner.
func (s *stream) loseLocked() {
	if !s.detached() {
		s.detachLocked(endLost)
	}
}

// detachLocked takes the stream off its device. What was pushed and not acked stays in the device's sent, for an ack
// that comes beside the stream.
func (s *stream) detachLocked(end endKind) {
	before := s.end
	s.end = end
	if before != endNone {
		return
	}
	d := s.d
	if s.full {
		d.mb.g.stalls.remove(s)
	}
	if d.stream == s {
		d.nextLocked(d.mb.g.nowMS()) // what was the next was judged by what the device was
		d.stream = nil
		d.mb.g.memory.Add(-streamBytes(d.transport))
		d.sinceMS = d.mb.g.nowMS()
		d.mb.g.saver.dirtyLocked(d)
	}
	d.mb.g.streams.Add(-1)
	d.mb.g.release(d.mb)
}

// deliver tells the receiver everything that there is to tell, unless another goroutine is at it.
func (s *stream) deliver() {
	b := s.d.mb
	b.mu.Lock()
	if s.busy {
		b.mu.Unlock()
		return
	}
	s.busy = true
	for {
		c := s.nextLocked()
		if c.kind == callNone {
			s.busy = s.end == endTold // after the last word nobody delivers again
			b.mu.Unlock()
			return
		}
		b.mu.Unlock()
		c.make(s.receiver)
		if c.buffer != nil {
			c.buffer.free()
		}
		b.mu.Lock()
	}
}

// call is one call of a receiver.
type call struct {
	kind   callKind
	more   bool
	reason protocol.Reason
	detail string
	seq    protocol.Seq
	buffer *pushBuffer
}

// pushBuffer is the slice of one Receiver.Push.
type pushBuffer struct{ list []protocol.Push }

var pushBuffers = sync.Pool{New: func() any { return new(pushBuffer) }}

func (p *pushBuffer) free() {
	clear(p.list)
	p.list = p.list[:0]
	pushBuffers.Put(p)
}

type callKind uint8

const (
	callNone callKind = iota
	callPush
	callAcked
	callClosed
	callLost
)

func (c *call) make(r link.Receiver) {
	switch c.kind {
	case callPush:
		r.Push(c.buffer.list, c.more)
	case callAcked:
		r.Acked(c.seq)
	case callClosed:
		r.Closed(c.reason, c.detail)
	case callLost:
		r.Lost()
	}
}

// nextLocked is the next call of the receiver: the end before all else, then an ack from beside, then pushes.
func (s *stream) nextLocked() call {
	switch s.end {
	case endClosed:
		s.end = endTold
		return call{kind: callClosed, reason: s.why.reason, detail: s.why.detail}
	case endLost:
		s.end = endTold
		return call{kind: callLost}
	case endTold:
		return call{}
	}
	if s.noted {
		s.noted = false
		return call{kind: callAcked, seq: s.d.pushedLocked().Seq - protocol.Seq(s.d.unackedLocked())}
	}
	if buffer, more := s.batchLocked(); buffer != nil {
		return call{kind: callPush, buffer: buffer, more: more}
	}
	return call{}
}

// batchLocked takes from the mailbox what window and credit have room for; nil where that is nothing.
func (s *stream) batchLocked() (batch *pushBuffer, more bool) {
	d, bytes, nowMS := s.d, 0, s.d.mb.g.nowMS()
	for batch == nil || len(batch.list) < batchPushes && bytes < batchBytes {
		e := d.nextLocked(nowMS)
		if e == nil || !s.roomLocked(e) {
			return batch, false
		}
		if batch == nil {
			batch = pushBuffers.Get().(*pushBuffer)
		}
		p := d.sendLocked(e)
		s.credit -= int32(p.Cost())
		bytes += p.Cost()
		batch.list = append(batch.list, p)
		if d.unackedLocked() >= int(s.window) {
			s.fillLocked()
		}
	}
	e := d.nextLocked(nowMS)
	return batch, e != nil && s.roomLocked(e)
}

// roomLocked reports whether e may go out now. One push always fits the window. SPEC 2.10.
func (s *stream) roomLocked(e *entry) bool {
	if s.fullForLocked(e) {
		s.fillLocked()
		return false
	}
	return s.credit > 0
}

// fullForLocked reports whether the window is full: at its number of pushes, or e does not fit.
func (s *stream) fullForLocked(e *entry) bool {
	f := s.d.flow
	return f != nil && len(f.sent) > 0 && (len(f.sent) >= int(s.window) || e != nil && f.bytes+len(e.msg.Payload) > int(s.windowBytes))
}

// stalledLocked reports whether the window is still full: what did not fit may have gone.
func (s *stream) stalledLocked(nowMS int64) bool {
	if s.fullForLocked(s.d.nextLocked(nowMS)) {
		return true
	}
	s.full = false
	s.d.mb.g.stalls.remove(s)
	return false
}
