package httpconn

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"ramen/protocol"
)

// Serve serves h on l until h is closed or shut down: over TLS where t is not nil, with the protocols that t names, or HTTP/2 and
// HTTP/1.1. It replaces h's Handler, ConnContext and TLSConfig, and returns what h.Serve does.
func Serve(h *http.Server, l net.Listener, t *tls.Config) error {
	h.Handler, h.ConnContext = closeAmbiguous(h.Handler), withConn
	h.DisableGeneralOptionsHandler = true // OPTIONS * is a handler's to answer, like all others
	most := h.MaxHeaderBytes
	if most == 0 {
		most = http.DefaultMaxHeaderBytes
	}
	if t == nil {
		return h.Serve(&plainListener{l, most})
	}
	t = t.Clone()
	for _, p := range []string{"h2", "http/1.1"} {
		if !slices.Contains(t.NextProtos, p) {
			t.NextProtos = append(t.NextProtos, p)
		}
	}
	h.TLSConfig = t.Clone() // net/http writes to its own
	s := &secureListener{Listener: l, h: h, config: t, most: most, ready: make(chan net.Conn), done: make(chan struct{}), pending: map[net.Conn]struct{}{}}
	s.wg.Go(s.run)
	err := h.Serve(s)
	s.Close()
	s.wg.Wait()
	return err
}

func newConn(c net.Conn, most int) *conn {
	return &conn{Conn: c, maxHeader: most, lengths: lineCounter{name: "\ncontent-length"}, codings: lineCounter{name: "\ntransfer-encoding"}}
}

// plainListener accepts connections in cleartext.
type plainListener struct {
	net.Listener
	most int
}

// Accept implements net.Listener.
func (l *plainListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return newConn(c, l.most), nil
}

// secureListener accepts connections whose TLS handshake is done: those of HTTP/2 as net/http wants them, those of HTTP/1.1 as conns.
type secureListener struct {
	net.Listener
	h      *http.Server
	config *tls.Config
	most   int
	ready  chan net.Conn
	done   chan struct{}
	wg     sync.WaitGroup

	mu      sync.Mutex
	failed  error                 // of the listener
	closed  bool                  // done is
	pending map[net.Conn]struct{} // whose handshake is under way
}

// run accepts until the listener fails.
func (l *secureListener) run() {
	for pause := time.Duration(0); ; {
		c, err := l.Listener.Accept()
		//lint:ignore SA1019 as net/http does: out of descriptors, say
		if ne, ok := errors.AsType[net.Error](err); ok && ne.Temporary() {
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			select {
			case <-time.After(pause):
				continue
			case <-l.done:
			}
		}
		if err != nil {
			l.end(err)
			return
		}
		pause = 0
		if l.enter(c) {
			l.wg.Go(func() { l.handshake(c) })
		}
	}
}

func (l *secureListener) enter(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		c.Close()
		return false
	}
	l.pending[c] = struct{}{}
	return true
}

// handshake makes c's TLS handshake, within the time of a head, and hands the connection on.
func (l *secureListener) handshake(c net.Conn) {
	t := tls.Server(c, l.config)
	if d := l.h.ReadHeaderTimeout; d > 0 {
		c.SetDeadline(time.Now().Add(d))
	}
	err := t.Handshake()
	l.mu.Lock()
	delete(l.pending, c)
	l.mu.Unlock()
	if err != nil {
		l.refuse(c, err)
		return
	}
	c.SetDeadline(time.Time{})
	state := t.ConnectionState()
	var ready net.Conn = t
	if state.NegotiatedProtocol != "h2" {
		of := newConn(t, l.most)
		of.tls = &state
		ready = secure{of}
	}
	select {
	case l.ready <- ready:
	case <-l.done:
		t.Close()
	}
}

// refuse closes a connection whose handshake failed. One that speaks plain HTTP is answered first.
func (l *secureListener) refuse(c net.Conn, err error) {
	if re, ok := errors.AsType[tls.RecordHeaderError](err); ok && re.Conn != nil && looksLikeHTTP(re.RecordHeader) {
		_, _ = c.Write(answer(http.StatusBadRequest, protocol.Invalidf("this port speaks TLS: use https")))
		linger(c)
	}
	if log := l.h.ErrorLog; log != nil {
		log.Printf("http: TLS handshake error from %s: %v", c.RemoteAddr(), err)
	}
	c.Close()
}

// looksLikeHTTP reports whether b, which should have begun a TLS record, begins an HTTP request.
func looksLikeHTTP(b [5]byte) bool {
	return slices.Contains([]string{"GET /", "HEAD ", "POST ", "PUT /", "OPTIO", "DELET"}, string(b[:]))
}

// Accept implements net.Listener.
func (l *secureListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.ready:
		return c, nil
	case <-l.done:
		l.mu.Lock()
		defer l.mu.Unlock()
		return nil, l.failed
	}
}

// Close implements net.Listener: it ends handshakes under way.
func (l *secureListener) Close() error {
	l.end(net.ErrClosed)
	return l.Listener.Close()
}

func (l *secureListener) end(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	l.closed, l.failed = true, err
	close(l.done)
	for c := range l.pending {
		c.Close()
	}
}
