package protocol

import (
	"fmt"
	"time"
)

// Code is the machine-readable kind of an error, as in SPEC 4.4.
type Code string

// The codes of SPEC 4.4, and internal.
const (
	CodeInvalidArgument   Code = "invalid_argument"
	CodeUnauthenticated   Code = "unauthenticated"
	CodePermissionDenied  Code = "permission_denied"
	CodeNotFound          Code = "not_found"
	CodeTooLarge          Code = "too_large"
	CodeResourceExhausted Code = "resource_exhausted"
	CodeUnavailable       Code = "unavailable"
	CodeInternal          Code = "internal"
)

// Error is what a device or a backend is told: what was wrong, and what would be right.
type Error struct {
	Code       Code
	Message    string
	RetryAfter time.Duration // when to try again, for resource_exhausted and unavailable; zero: the default of 1 s
}

func (e *Error) Error() string { return string(e.Code) + ": " + e.Message }

// Errorf makes an Error of code.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Invalidf makes an invalid_argument.
func Invalidf(format string, args ...any) *Error {
	return Errorf(CodeInvalidArgument, format, args...)
}

// HTTPStatus is the status that SPEC 4.4 gives c.
func (c Code) HTTPStatus() int {
	switch c {
	case CodeInvalidArgument:
		return 400
	case CodeUnauthenticated:
		return 401
	case CodePermissionDenied:
		return 403
	case CodeNotFound:
		return 404
	case CodeTooLarge:
		return 413
	case CodeResourceExhausted:
		return 429
	case CodeUnavailable:
		return 503
	}
	return 500
}
