package grpcstatus

import (
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"ramen/protocol"
)

// reasonCodes are the statuses of SPEC 7.2, and those of the reasons that only the server sees.
var reasonCodes = [...]codes.Code{
	protocol.ReasonNone:              codes.OK,
	protocol.ReasonDrain:             codes.Unavailable,
	protocol.ReasonRebalance:         codes.Unavailable,
	protocol.ReasonSuperseded:        codes.Aborted,
	protocol.ReasonUnauthenticated:   codes.Unauthenticated,
	protocol.ReasonPermissionDenied:  codes.PermissionDenied,
	protocol.ReasonInvalidArgument:   codes.InvalidArgument,
	protocol.ReasonResourceExhausted: codes.ResourceExhausted,
	protocol.ReasonAckTimeout:        codes.DeadlineExceeded,
	protocol.ReasonTooSlow:           codes.ResourceExhausted,
	protocol.ReasonUnavailable:       codes.Unavailable,
	protocol.ReasonDisconnected:      codes.Canceled,
	protocol.ReasonInternal:          codes.Internal,
	protocol.ReasonGone:              codes.Canceled,
	protocol.ReasonProtocolError:     codes.InvalidArgument,
	protocol.ReasonTooBig:            codes.InvalidArgument,
}

// ReasonCode is the status code of a stream that ended for r; INTERNAL for a reason of a newer peer.
func ReasonCode(r protocol.Reason) codes.Code {
	if int(r) >= len(reasonCodes) {
		return codes.Internal
	}
	return reasonCodes[r]
}

// StreamEnd is the status of a stream that ended for reason: its text is the reason's name, and then detail. It is OK where the
// device itself closed the stream.
func StreamEnd(reason protocol.Reason, detail string) *status.Status {
	if reason == protocol.ReasonGone {
		return status.New(codes.OK, "")
	}
	text := reason.String()
	if detail != "" {
		text += ": " + detail
	}
	return status.New(ReasonCode(reason), text)
}

// ReadStreamEnd is what the status of a stream says to a device; ReasonNone where grpc-go may have made it.
func ReadStreamEnd(s *status.Status) (reason protocol.Reason, detail string) {
	switch c := s.Code(); c {
	case codes.Aborted:
		reason = protocol.ReasonSuperseded
	case codes.InvalidArgument, codes.Unauthenticated, codes.PermissionDenied, codes.ResourceExhausted:
		reason = protocol.ReasonOf(errorCodes[c])
	}
	return reason, strings.TrimPrefix(s.Message(), reason.String()+": ")
}
