package stream

import (
	"errors"
	"math"

	"ramen/protocol"
)

// OnFrame does what one frame of a device says; err is the decoder's. False where it ended the stream. Acks are joined into a, for
// the caller to apply with OnAcks.
func (s *Stream) OnFrame(f *protocol.DeviceFrame, err error, a *Acks) bool {
	if err != nil {
		if broken, ok := errors.AsType[*protocol.FrameError](err); ok {
			s.Finish(protocol.ReasonProtocolError, broken.Message) // no goaway. SPEC 2.12
		} else {
			s.Finish(EndOf(err))
		}
		return false
	}
	s.OnInbound(f.Kind == protocol.FrameHeartbeat)
	switch f.Kind {
	case protocol.FrameAck:
		a.add(f)
	case protocol.FrameRefresh:
		s.refresh(f)
	}
	return true
}

// OnInbound is told that the device said something; echo: that it was the answer to a heartbeat.
func (s *Stream) OnInbound(echo bool) {
	now := s.set.clock.now()
	s.mu.Lock()
	s.heardMS = now
	if !echo || !s.echoDue {
		s.mu.Unlock()
		return
	}
	s.echoDue = false
	rtt, known := uint32(now-s.heartbeatMS), uint32(s.rttMS)
	moved := known == 0 || rtt > known+known/4+1 || rtt+1 < known-known/4
	if moved { // a steady round trip is not worth a frame on the link with every heartbeat
		s.rttMS = uint16(min(max(rtt, 1), math.MaxUint16))
	}
	lk := s.link
	s.mu.Unlock()
	if moved && lk != nil {
		lk.Measured(rtt)
	}
}

// refresh takes a new token and context on an open stream. SPEC 4, 6.
func (s *Stream) refresh(f *protocol.DeviceFrame) {
	if f.Token != "" && s.set.tokens != nil && !s.renew(f.Token) {
		return
	}
	if f.Context == nil {
		return
	}
	if err := protocol.CheckContext(f.Context); err != nil {
		s.Finish(EndOf(err))
		return
	}
	s.mu.Lock()
	s.context = f.Context
	lk := s.link
	s.mu.Unlock()
	if lk != nil {
		lk.Refresh(f.Context)
	} // else the re-open carries it
}

// renew moves the stream's end to the new token's; false where it ended the stream instead.
func (s *Stream) renew(token string) bool {
	c, err := s.set.tokens.Verify(token)
	switch {
	case err != nil:
		s.Finish(EndOf(err))
	case c.User != s.User():
		s.Finish(protocol.ReasonPermissionDenied, "the new token is another user's: open another stream with it")
	case c.Device != "" && c.Device != s.Device():
		s.Finish(protocol.ReasonPermissionDenied, "the new token is another device's: open another stream with it")
	default:
		at := s.set.clock.at(c.Expires)
		s.mu.Lock()
		s.expiresMS = at
		s.mu.Unlock()
		s.timers().reschedule(s, at)
		return true
	}
	return false
}
