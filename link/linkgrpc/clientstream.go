package linkgrpc

import (
	"sync/atomic"
	"time"

	"ramen/link"
	"ramen/link/linkgrpc/frame"
	"ramen/protocol"
)

// stream is the frontend's end of a device stream over a link.
//
//	open ──▶ moved ──▶ closed    its socket goes on at another owner: an end that was decided before is still told
//	  └────────────────▶ closed
type stream struct {
	// immutable
	a          *attachment
	id         uint64
	receiver   link.Receiver
	generation link.Generation
	prompt     bool // its acks are sent at once: its window is small

	state   atomic.Uint32
	unacked atomic.Int32 // pushes since the last ack that was sent at once, roughly
}

// promptAcks is how many pushes an ack may cover that waits to be sent with something else: a quarter of the usual window, so that no device
// waits for the rest of it.
const promptAcks = 64

const (
	streamOpen uint32 = iota
	streamMoved
	streamClosed
)

var _ link.Stream = (*stream)(nil)

// Credit implements link.Stream.
func (s *stream) Credit(bytes int) {
	if s.state.Load() == streamOpen {
		s.a.out.put(func(b []byte) []byte { return frame.AppendCredit(b, s.id, bytes) })
	}
}

// Ack implements link.Stream.
func (s *stream) Ack(seq protocol.Seq, cursor string) {
	if s.state.Load() == streamOpen {
		encode := func(b []byte) []byte { return frame.AppendStreamAck(b, s.id, seq, cursor) }
		if s.prompt || s.unacked.Load() >= promptAcks {
			s.unacked.Store(0)
			s.a.out.put(encode)
			return
		}
		s.a.out.putDeferred(encode)
	}
}

// Refresh implements link.Stream.
func (s *stream) Refresh(c *protocol.DeviceContext) {
	if s.state.Load() == streamOpen {
		s.a.out.put(func(b []byte) []byte { return frame.AppendRefresh(b, s.id, c) })
	}
}

// Measured implements link.Stream.
func (s *stream) Measured(rttMS uint32) {
	if s.state.Load() == streamOpen {
		s.a.out.putDeferred(func(b []byte) []byte { return frame.AppendMeasured(b, s.id, rttMS) })
	}
}

// Close implements link.Stream.
func (s *stream) Close(reason protocol.Reason) {
	next := streamClosed
	if reason == protocol.ReasonNone {
		next = streamMoved
	}
	if !s.state.CompareAndSwap(streamOpen, next) {
		if next == streamClosed && s.state.Swap(streamClosed) == streamMoved {
			s.a.remove(s.id)
		}
		return
	}
	if next == streamClosed {
		s.a.remove(s.id)
	} else {
		s.a.mu.Lock()
		s.a.moved = append(s.a.moved, movedStream{s.id, time.Now()})
		s.a.mu.Unlock()
	}
	s.a.out.put(func(b []byte) []byte { return frame.AppendClose(b, s.id, reason) })
}
