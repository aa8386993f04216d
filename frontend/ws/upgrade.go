package ws

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// Negotiated is what a handshake has agreed on.
type Negotiated struct {
	Subprotocol string // SubprotocolJSON where none was asked for
	Deflate     bool   // permessage-deflate, without context takeover in both directions
	Early       []byte // what the client sent behind its handshake, to be fed to the Reader first; usually none
	Head        []byte // the response, for the caller to send before anything else
}

// HandshakeError says why a request is no handshake. Nothing has been answered yet, but headers may have been set.
type HandshakeError struct {
	Status int // of HTTP: 400, 403, 405, 500
	Text   string
}

func (e *HandshakeError) Error() string {
	return fmt.Sprintf("frontend/ws: upgrade request: status %d: %s", e.Status, e.Text)
}

// Handshake agrees to a client's handshake, and takes the connection over; the caller sends the response, Negotiated.Head,
// together with what it has to say first. origin decides on the Origin header. An error is a *HandshakeError, for the caller to
// answer, or one of the connection, which is then lost.
func Handshake(w http.ResponseWriter, r *http.Request, cfg Config, origin func(*http.Request) bool) (net.Conn, Negotiated, error) {
	n, err := negotiate(r, cfg, origin)
	if err != nil {
		if err.Status == http.StatusBadRequest {
			w.Header().Set("Sec-Websocket-Version", version) // RFC 6455 4.4
		}
		return nil, n, err
	}
	c, rw, hijackErr := http.NewResponseController(w).Hijack()
	switch {
	case errors.Is(hijackErr, http.ErrNotSupported):
		return nil, n, &HandshakeError{http.StatusInternalServerError, "the connection cannot be taken over: use HTTP/1.1"}
	case hijackErr != nil:
		return nil, n, fmt.Errorf("frontend/ws: upgrade: %w", hijackErr)
	}
	if early := rw.Reader.Buffered(); early > 0 {
		n.Early = make([]byte, early)
		_, _ = rw.Reader.Read(n.Early) // whole: it is buffered
	}
	_ = c.SetDeadline(time.Time{}) // net/http's, of the request
	return c, n, nil
}

// negotiate judges the Origin last, so that what is no handshake counts as no page that was kept out.
func negotiate(r *http.Request, cfg Config, origin func(*http.Request) bool) (Negotiated, *HandshakeError) {
	o := offerOf(r.Header)
	n, err := o.Answer(cfg)
	switch {
	case err != nil:
	case r.Method != http.MethodGet:
		err = &HandshakeError{http.StatusMethodNotAllowed, notWebSocket + "request method is not GET"}
	case !origin(r):
		err = &HandshakeError{http.StatusForbidden, "request origin is not allowed"}
	}
	return n, err
}
