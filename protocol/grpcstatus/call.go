package grpcstatus

import (
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"ramen/protocol"
)

// ErrorCode is the status code of a call that failed with c.
func ErrorCode(c protocol.Code) codes.Code {
	switch c {
	case protocol.CodeInvalidArgument:
		return codes.InvalidArgument
	case protocol.CodeUnauthenticated:
		return codes.Unauthenticated
	case protocol.CodePermissionDenied:
		return codes.PermissionDenied
	case protocol.CodeNotFound:
		return codes.NotFound
	case protocol.CodeTooLarge, protocol.CodeResourceExhausted:
		return codes.ResourceExhausted
	case protocol.CodeUnavailable:
		return codes.Unavailable
	}
	return codes.Internal
}

// CallError is e as the error of a gRPC call.
func CallError(e *protocol.Error) error { return status.Error(ErrorCode(e.Code), e.Message) }

// ReadCallError is the server's *protocol.Error, as far as the status of a call can tell it; false where the server did not say it.
func ReadCallError(err error) (*protocol.Error, bool) {
	s, ok := status.FromError(err)
	if !ok {
		return nil, false
	}
	var code protocol.Code
	switch s.Code() {
	case codes.InvalidArgument, codes.Unimplemented:
		code = protocol.CodeInvalidArgument
	case codes.Unauthenticated:
		code = protocol.CodeUnauthenticated
	case codes.PermissionDenied:
		code = protocol.CodePermissionDenied
	case codes.NotFound:
		code = protocol.CodeNotFound
	case codes.ResourceExhausted:
		code = protocol.CodeResourceExhausted
	case codes.Unavailable:
		code = protocol.CodeUnavailable
	default:
		return nil, false
	}
	return &protocol.Error{Code: code, Message: s.Message()}, true
}
