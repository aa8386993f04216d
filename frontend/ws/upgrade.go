package ws

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/gorilla/websocket"
)

// The subprotocols of SPEC 6.
const (
	SubprotocolJSON  = "ramen.v1.json"
	SubprotocolProto = "ramen.v1.proto"
)

// Negotiated is what a handshake has settled.
type Negotiated struct {
	Subprotocol string // SubprotocolJSON where none was asked for
	Deflate     bool   // permessage-deflate, without context takeover in both directions
	Early       []byte // what the client sent behind its handshake, to be fed to the Reader first; usually none
	Head        []byte // of Handshake: the response, for the caller to send before anything else
}

// HandshakeError says why a request is no handshake. Nothing has been answered yet, but headers may have been set.
type HandshakeError struct {
	Status int // of HTTP: 400, 403, 405, 500
	Text   string
}

func (e *HandshakeError) Error() string {
	return fmt.Sprintf("frontend/ws: upgrade request: status %d: %s", e.Status, e.Text)
}

// Upgrade answers a handshake, and hands over the connection. origin decides on the Origin header; nil: the server's own
// alone. An error is a *HandshakeError, for the caller to answer, or one of the connection, which is then closed.
func Upgrade(w http.ResponseWriter, r *http.Request, cfg Config, origin func(*http.Request) bool) (net.Conn, Negotiated, error) {
	c, n, err := Handshake(w, r, cfg, origin)
	if err != nil {
		return nil, n, err
	}
	if _, err := c.Write(n.Head); err != nil {
		_ = c.Close()
		return nil, n, fmt.Errorf("frontend/ws: answer handshake: %w", err)
	}
	n.Head = nil
	return c, n, nil
}

// Handshake is Upgrade but for sending the response: a caller that has a hello to send sends both in one write.
func Handshake(w http.ResponseWriter, r *http.Request, cfg Config, origin func(*http.Request) bool) (net.Conn, Negotiated, error) {
	var n Negotiated
	var answer http.Header
	var err error
	n.Subprotocol, answer, err = chooseSubprotocol(r)
	if err != nil {
		return nil, n, err
	}
	n.Deflate = cfg.Deflate && offersDeflate(r.Header)
	var refused *HandshakeError
	u := websocket.Upgrader{
		CheckOrigin:       origin,
		EnableCompression: n.Deflate,
		Error: func(_ http.ResponseWriter, _ *http.Request, status int, reason error) {
			refused = &HandshakeError{status, strings.TrimPrefix(reason.Error(), "websocket: ")}
		},
	}
	tap := &tap{ResponseWriter: w, bufs: tapBuffers.Get().(*tapBuffer)}
	_, err = u.Upgrade(tap, r, answer) // its Conn is dropped: it would hold buffers
	tapBuffers.Put(tap.bufs)
	switch {
	case refused != nil:
		if refused.Status == http.StatusBadRequest {
			w.Header().Set("Sec-Websocket-Version", "13") // RFC 6455 4.4
		}
		return nil, n, refused
	case err != nil:
		return nil, n, fmt.Errorf("frontend/ws: upgrade: %w", err)
	}
	n.Early, n.Head = tap.early, tap.head
	return tap.conn, n, nil
}

// chooseSubprotocol takes the first that the client asks for and the server knows. answer is the response's header: without
// one where the client has asked for none. RFC 6455 4.2.2.
func chooseSubprotocol(r *http.Request) (chosen string, answer http.Header, err error) {
	lines := r.Header.Values("Sec-Websocket-Protocol")
	if len(lines) == 0 {
		return SubprotocolJSON, nil, nil
	}
	for _, line := range lines {
		if name, ok := choose(line); ok {
			return name, http.Header{"Sec-Websocket-Protocol": {name}}, nil
		}
	}
	return "", nil, &HandshakeError{http.StatusBadRequest, fmt.Sprintf("subprotocol %q is unknown: ask for %s, %s or none",
		strings.Join(lines, ", "), SubprotocolJSON, SubprotocolProto)}
}

// choose takes the first of a list of subprotocols that the server knows.
func choose(list string) (string, bool) {
	for name := range strings.SplitSeq(list, ",") {
		switch name = strings.TrimSpace(name); name {
		case SubprotocolJSON, SubprotocolProto:
			return name, true
		}
	}
	return "", false
}

func offersDeflate(h http.Header) bool {
	return slices.ContainsFunc(h.Values("Sec-Websocket-Extensions"), takesDeflate)
}

// takesDeflate says whether an offer of the client's can be taken as it is: gorilla's answer promises no smaller window,
// so that one which demands it is no use. RFC 7692 7.1.2.1.
func takesDeflate(list string) bool {
	for offer := range strings.SplitSeq(list, ",") {
		params := strings.Split(offer, ";")
		if strings.TrimSpace(params[0]) != "permessage-deflate" {
			continue
		}
		if !slices.ContainsFunc(params[1:], func(p string) bool {
			name, _, _ := strings.Cut(p, "=")
			switch strings.TrimSpace(name) {
			case "server_no_context_takeover", "client_no_context_takeover", "client_max_window_bits":
				return false
			}
			return true
		}) {
			return true
		}
	}
	return false
}

// tap stands between gorilla's handshake and the connection: it keeps the response for the caller, and what the client sent
// early, for which gorilla would refuse it. It lends small buffers, so that gorilla makes none of its own.
type tap struct {
	http.ResponseWriter
	bufs  *tapBuffer
	conn  net.Conn
	early []byte
	head  []byte
}

// tapConn is the connection as gorilla sees it.
type tapConn struct {
	net.Conn
	t *tap
}

// tapBuffer holds the sizes above which gorilla takes what it is given: 256 bytes to read, 14 + 256 to write.
type tapBuffer struct {
	r bufio.Reader
	w bufio.Writer
}

var tapBuffers = sync.Pool{New: func() any {
	return &tapBuffer{*bufio.NewReaderSize(nil, 272), *bufio.NewWriterSize(nil, 512)}
}}

// Write keeps the response.
func (c tapConn) Write(b []byte) (int, error) {
	c.t.head = append(c.t.head, b...)
	return len(b), nil
}

// Hijack implements http.Hijacker.
func (t *tap) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := http.NewResponseController(t.ResponseWriter).Hijack()
	if err != nil {
		if errors.Is(err, http.ErrNotSupported) {
			err = errors.New("the connection cannot be taken over: use HTTP/1.1")
		}
		return nil, nil, err
	}
	if n := rw.Reader.Buffered(); n > 0 {
		t.early = make([]byte, n)
		_, _ = rw.Reader.Read(t.early) // whole: it is buffered
	}
	t.conn = c
	conn := tapConn{c, t}
	t.bufs.r.Reset(conn)
	t.bufs.w.Reset(conn)
	return conn, bufio.NewReadWriter(&t.bufs.r, &t.bufs.w), nil
}
