package httpconn

import (
	"net/http"
	"strconv"
	"time"

	"ramen/protocol"
)

// WriteError answers a request with e. status is that of e's code, unless HTTP has a closer one. SPEC 4.
func WriteError(w http.ResponseWriter, status int, e *protocol.Error) {
	h := w.Header()
	switch status {
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", "Bearer")
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		h.Set("Retry-After", strconv.FormatInt(retryAfter(e), 10))
	}
	WriteJSON(w, status, protocol.AppendErrorJSON(nil, e))
}

// WriteJSON answers a request with body, one JSON value.
func WriteJSON(w http.ResponseWriter, status int, body []byte) {
	body = append(body, '\n') // for people and their terminals
	h := w.Header()
	JSONHeader(h)
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(status)
	w.Write(body) // a client that went away is told nothing
}

// JSONHeader says that what follows is JSON and not to be cached. It allocates nothing.
func JSONHeader(h http.Header) { h["Content-Type"], h["Cache-Control"] = typeJSON, noStore }

var (
	typeJSON = []string{"application/json"}
	noStore  = []string{"no-store"} // what waits for users, and who they are, is no matter of caches
)

// retryAfter is e's in whole seconds, 1 at least.
func retryAfter(e *protocol.Error) int64 {
	return max(1, int64((e.RetryAfter+time.Second-1)/time.Second))
}
