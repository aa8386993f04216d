package frontend

import (
	"errors"

	"ramen/protocol"
)

// takeFrame does what one frame of a device says, of which err was the decoder's opinion. False where it ended the stream.
// Acks are joined into a where there is one, for the caller to apply.
func (s *stream) takeFrame(f *protocol.DeviceFrame, err error, a *acks) bool {
	var broken *protocol.FrameError
	switch {
	case err == nil:
	case errors.As(err, &broken):
		s.finish(protocol.ReasonProtocolError, broken.Message) // no goaway. SPEC 2.12
		return false
	default:
		s.finish(endOf(err))
		return false
	}
	s.heard(f.Kind == protocol.FrameHeartbeat)
	switch f.Kind {
	case protocol.FrameAck:
		a.add(f)
	case protocol.FrameRefresh:
		s.refresh(f)
	}
	return true
}
