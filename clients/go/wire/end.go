package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gorilla/websocket"
	"google.golang.org/grpc/status"

	"ramen/protocol"
	"ramen/protocol/grpcstatus"
)

// EndError is how a stream, or the attempt to open one, ended.
type EndError struct {
	Reason     protocol.Reason // as the server said; ReasonNone where it said nothing: the network, a proxy, nobody there
	Detail     string          // the server's words
	RetryAfter time.Duration   // when the server wants the device back at the earliest; 0: it did not say
	Err        error           // the cause, where there is one
}

func (e *EndError) Error() string {
	s := "wire: stream ended"
	if e.Reason != protocol.ReasonNone {
		s += ": " + e.Reason.String()
	}
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	if e.Err != nil && (e.Detail == "" || !e.saidBefore()) {
		s += ": " + e.Err.Error()
	}
	return s
}

// saidBefore reports that the cause is what the server said, in the words of Detail: once is enough.
func (e *EndError) saidBefore() bool {
	var said *protocol.Error
	return errors.As(e.Err, &said) || strings.Contains(e.Err.Error(), e.Detail)
}

func (e *EndError) Unwrap() error { return e.Err }

// maxRetryAfter bounds what a server may ask for.
const maxRetryAfter = time.Minute

// cut is an end that nobody announced.
func cut(err error) *EndError {
	var e *EndError
	if errors.As(err, &e) {
		return e
	}
	return &EndError{Err: err}
}

// ReadError reads the answer to a refused request. An answer that does not bear SPEC 4.4.1's body came from something
// in between, and has no reason; but 401 stands for itself, so that no token is ever tried twice.
func ReadError(resp *http.Response) *EndError {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	e := &EndError{RetryAfter: retryAfter(resp.Header)}
	if said, ok := protocol.DecodeErrorJSON(body); ok && said.Code != "" {
		e.Detail = said.Message
		if said.Code != protocol.CodeNotFound { // a server without this transport: another one may do
			e.Reason = protocol.ReasonOf(said.Code)
		}
		said.RetryAfter = e.RetryAfter
		e.Err = said
		return e
	}
	if resp.StatusCode == http.StatusUnauthorized {
		e.Reason = protocol.ReasonUnauthenticated
	}
	e.Err = &StatusError{Code: resp.StatusCode}
	return e
}

// StatusError is an HTTP status without the body of SPEC 4.4.1: the answer of a proxy, or of a server that is not RAMEN.
type StatusError struct{ Code int }

func (e *StatusError) Error() string {
	return fmt.Sprintf("http status %d %s", e.Code, http.StatusText(e.Code))
}

func retryAfter(h http.Header) time.Duration {
	s, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || s <= 0 {
		return 0
	}
	return min(time.Duration(s)*time.Second, maxRetryAfter)
}

// closeReasons are the close codes that mean one reason alone. 1001 and 1013 stand for several, and are not final: after
// their goaway the code adds nothing. SPEC 6.3.
var closeReasons = func() map[int]protocol.Reason {
	m := make(map[int]protocol.Reason)
	for _, r := range protocol.Reasons() {
		if c := r.CloseCode(); c > websocket.CloseNormalClosure {
			if _, taken := m[c]; !taken {
				m[c] = r
			}
		}
	}
	return m
}()

// endOfWS reads the end of a WebSocket. What a code 44xx or 45xx says that is not known here, its hundreds say. SPEC 6.3.15
func endOfWS(err error) *EndError {
	var ce *websocket.CloseError
	if !errors.As(err, &ce) {
		return cut(err)
	}
	reason := closeReasons[ce.Code]
	if reason == protocol.ReasonNone { // of a newer server
		switch ce.Code / 100 {
		case 44:
			reason = protocol.ReasonDisconnected
		case 45:
			reason = protocol.ReasonUnavailable
		}
	}
	return &EndError{Reason: reason, Detail: ce.Text, Err: err}
}

// endOfGRPC reads the status of a stream. SPEC 7.2.
func endOfGRPC(err error) *EndError {
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, context.Canceled) {
		return cut(err)
	}
	s, ok := status.FromError(err)
	if !ok {
		return cut(err)
	}
	reason, detail := grpcstatus.ReadStreamEnd(s)
	return &EndError{Reason: reason, Detail: detail, Err: err}
}
