package ws

import (
	"encoding/binary"
	"fmt"
	"unicode/utf8"
)

// The close codes of RFC 6455 7.4.1 that are used here; SPEC 6 has the others.
const (
	CodeNormal        = 1000
	CodeGoingAway     = 1001
	CodeProtocolError = 1002
	CodeNoStatus      = 1005 // never on the wire: a close frame without a code
	CodeInvalidData   = 1007
	CodePolicy        = 1008
	CodeTooBig        = 1009
)

// CloseError is how a connection is to be closed.
type CloseError struct {
	Code int
	Text string
}

func (e *CloseError) Error() string { return fmt.Sprintf("frontend/ws: close %d: %s", e.Code, e.Text) }

func protocolErrorf(format string, args ...any) *CloseError {
	return &CloseError{CodeProtocolError, fmt.Sprintf(format, args...)}
}

// ParseClose reads a close frame's payload. Without a code it is CodeNoStatus. The error is a *CloseError.
func ParseClose(payload []byte) (code int, text string, err error) {
	switch {
	case len(payload) == 0:
		return CodeNoStatus, "", nil
	case len(payload) == 1:
		return 0, "", protocolErrorf("a close frame has half a code")
	}
	code = int(binary.BigEndian.Uint16(payload))
	if !sendable(code) {
		return 0, "", protocolErrorf("close code %d is not one to send: use 1000 to 1003, 1007 to 1014 or 3000 to 4999", code)
	}
	if !utf8.Valid(payload[2:]) {
		return 0, "", &CloseError{CodeInvalidData, "the reason of a close frame is not UTF-8"}
	}
	return code, string(payload[2:]), nil
}

// sendable says whether code may stand in a close frame: RFC 6455 7.4 and IANA's registry.
func sendable(code int) bool {
	switch {
	case code >= 3000 && code <= 4999, code >= 1000 && code <= 1003, code >= 1007 && code <= 1014:
		return true
	}
	return false
}
