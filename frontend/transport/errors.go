package transport

import (
	"errors"
	"net/http"

	"ramen/frontend/httpconn"
	"ramen/frontend/stream"
	"ramen/protocol"
)

// ErrorOf is err as a device may see it: the text of others is the log's.
func ErrorOf(err error) *protocol.Error {
	if e, ok := errors.AsType[*protocol.Error](err); ok {
		return e
	}
	reason, detail := stream.EndOf(err)
	switch reason {
	case protocol.ReasonUnavailable, protocol.ReasonSuperseded:
		return protocol.Errorf(protocol.CodeUnavailable, "%s", detail)
	}
	return protocol.Errorf(protocol.CodeInternal, "%s", detail)
}

// WriteError answers an error with its status and body, and counts it. SPEC 4.
func (r Refusals) WriteError(w http.ResponseWriter, err error) {
	e := ErrorOf(err)
	r.WriteErrorAs(w, e.Code.HTTPStatus(), e)
}

// WriteErrorAs is WriteError with a status that is not the code's.
func (r Refusals) WriteErrorAs(w http.ResponseWriter, status int, e *protocol.Error) {
	r.Count(e.Code)
	httpconn.WriteError(w, status, e)
}
