package transport

import (
	"errors"
	"net/http"
	"strconv"
	"time"

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
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	switch status {
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", "Bearer")
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		h.Set("Retry-After", strconv.Itoa(retryAfter(e)))
	}
	body := append(protocol.AppendErrorJSON(nil, e), '\n')
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	w.Write(body)
}

// retryAfter is e's in whole seconds, 1 at least.
func retryAfter(e *protocol.Error) int {
	return max(1, int((e.RetryAfter+time.Second-1)/time.Second))
}
