package grpcstatus

import (
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"ramen/protocol"
)

// ErrorCode is the status code of a call that failed with c: that of a stream which it would end, and two that only calls have.
func ErrorCode(c protocol.Code) codes.Code {
	switch c {
	case protocol.CodeNotFound:
		return codes.NotFound
	case protocol.CodeTooLarge:
		return codes.ResourceExhausted
	}
	return ReasonCode(protocol.ReasonOf(c))
}

// CallError is e as the error of a gRPC call.
func CallError(e *protocol.Error) error { return status.Error(ErrorCode(e.Code), e.Message) }

// errorCodes are how statuses are read: those that a server of this contract writes, and UNIMPLEMENTED, which grpc-go answers to a call
// that the server does not know.
var errorCodes = map[codes.Code]protocol.Code{
	codes.InvalidArgument:   protocol.CodeInvalidArgument,
	codes.Unimplemented:     protocol.CodeInvalidArgument,
	codes.Unauthenticated:   protocol.CodeUnauthenticated,
	codes.PermissionDenied:  protocol.CodePermissionDenied,
	codes.NotFound:          protocol.CodeNotFound,
	codes.ResourceExhausted: protocol.CodeResourceExhausted,
	codes.Unavailable:       protocol.CodeUnavailable,
}

// ReadCallError is the server's *protocol.Error, as far as the status of a call can tell it; false where the server did not say it.
func ReadCallError(err error) (*protocol.Error, bool) {
	s, ok := status.FromError(err)
	if !ok {
		return nil, false
	}
	code, known := errorCodes[s.Code()]
	if !known {
		return nil, false
	}
	return &protocol.Error{Code: code, Message: s.Message()}, true
}
