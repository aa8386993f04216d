package accept

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"sync"
	"time"

	"ramen/frontend/httpconn"
	"ramen/frontend/sock"
)

// Frontend opens what requests ask for.
type Frontend interface {
	// ServeHTTP serves a request that http.ReadRequest has read. It may hijack the connection.
	http.Handler
	// Open serves a request whose head is in the usual form: it attaches the connection of r to a stream, or answers through r.
	// False: net/http is to serve it, and r is as it was.
	Open(r *Request) bool
	// ResponseHeader is what the header of an answer that Open gives to h begins with.
	ResponseHeader(h *RequestHead) http.Header
}

// Config sets up an Acceptor.
type Config struct {
	Paths        []string      // those on which a GET with a query opens a stream
	HeadTimeout  time.Duration // how long a request's head may take
	MaxHeadBytes int           // most bytes of a request's head
	Loop         *sock.Loop    // serves the connections of streams
	Frontend     Frontend
	Context      context.Context // of the requests
	Logger       *slog.Logger
}

// Acceptor stands before net/http on a plain listener: it implements net.Listener with the connections that it leaves to net/http.
type Acceptor struct {
	// immutable
	cfg      Config
	prefixes prefixes
	l        net.Listener
	other    chan net.Conn   // for net/http
	requests chan rawRequest // to an opener that waits for the next one
	idle     chan struct{}   // of the openers that wait, or are about to
	opens    sync.WaitGroup  // openers; added to by run

	buf [maxHead]byte // of raw, owned by run

	wg     sync.WaitGroup
	done   chan struct{}
	mu     sync.Mutex
	closed bool
	conns  map[net.Conn]struct{} // whose head is not whole
}

// rawRequest is a bare connection with the whole head of its first request.
type rawRequest struct {
	conn sock.RawConn
	head string // and what came behind it
	end  int    // of the head
}

// New makes an Acceptor for l.
func New(cfg Config, l net.Listener) *Acceptor {
	return &Acceptor{cfg: cfg, prefixes: prefixesOf(cfg.Paths), l: l, other: make(chan net.Conn), requests: make(chan rawRequest),
		idle: make(chan struct{}, maxIdle), done: make(chan struct{}), conns: map[net.Conn]struct{}{}}
}

// maxHead is the longest head that is read here, in bytes; those with longer tokens are net/http's.
const maxHead = 4 << 10

var headBuffers = sync.Pool{New: func() any { return new([maxHead]byte) }}

// logEvery is how often a failing accept is logged: it may fail at every try.
const logEvery = 10 * time.Second

// Serve accepts until h is closed, and has h serve what is not served here.
func (a *Acceptor) Serve(h *http.Server) error {
	a.wg.Go(a.run)
	err := httpconn.Serve(h, a, nil)
	a.Close()
	a.wg.Wait()
	a.opens.Wait()
	return err
}

// run accepts until the listener is closed.
func (a *Acceptor) run() {
	accept := a.acceptOne
	if raw, err := a.cfg.Loop.RawAcceptor(a.l); err == nil {
		accept = func() error { return raw.Accept(a.raw) }
	} else if !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, net.ErrClosed) {
		a.cfg.Logger.Warn("frontend: raw accept unavailable; using net.Listener", "err", err)
	}
	pause, logged := time.Duration(0), time.Time{}
	for {
		err := accept()
		if err == nil {
			pause = 0
			runtime.Gosched() // to what opens streams
			continue
		}
		if errors.Is(err, net.ErrClosed) {
			a.Close()
			return
		}
		// Out of descriptors, most likely.
		pause = min(max(2*pause, 5*time.Millisecond), time.Second)
		if time.Since(logged) > logEvery {
			logged = time.Now()
			a.cfg.Logger.Warn("frontend: accept failed; retrying: raise the limit of open files, or set max_streams below it", "err", err)
		}
		select {
		case <-time.After(pause):
		case <-a.done:
			return
		}
	}
}

// acceptOne accepts as net does.
func (a *Acceptor) acceptOne() error {
	c, err := a.l.Accept()
	if err == nil && a.register(c) {
		go a.early(c)
	}
	return err
}

// raw takes a connection that has sent something, most likely a whole head.
func (a *Acceptor) raw(c sock.RawConn) {
	n, err := c.Read(a.buf[:])
	if err != nil {
		c.Close()
		return
	}
	b := a.buf[:n]
	if a.prefixes.match(b) {
		if end := bytes.Index(b, wholeEnd); end >= 0 && end+len(wholeEnd) <= a.cfg.MaxHeadBytes {
			r := rawRequest{c, string(b), end + len(wholeEnd)}
			select {
			case a.requests <- r:
			default:
				a.opens.Go(func() { a.openAll(r) }) // it may wait for the owner and its store
			}
			return
		}
	}
	a.handOn(c, bytes.Clone(b))
}

var wholeEnd = []byte("\r\n\r\n")

// maxIdle is how many openers wait for another request at most. A goroutine that has opened one has a stack that is large enough for the
// next: growing it costs a new one 6 µs, a twentieth of a connect.
const maxIdle = 64

// openAll serves a raw request, and then those that come while there are not too many that wait for them.
func (a *Acceptor) openAll(r rawRequest) {
	for {
		a.open(&r)
		r = rawRequest{}
		select {
		case a.idle <- struct{}{}:
		default:
			return
		}
		select {
		case r = <-a.requests:
			<-a.idle
		case <-a.done:
			return
		}
	}
}

// open serves a raw request, or hands its connection on.
func (a *Acceptor) open(r *rawRequest) {
	if !a.serveRaw(r) {
		a.handOn(r.conn, []byte(r.head))
	}
}

// handOn moves c, of which b was read, to the second path.
func (a *Acceptor) handOn(c sock.RawConn, b []byte) {
	conn, err := c.Conn()
	if err != nil {
		a.cfg.Logger.Debug("frontend: connection lost before its request", "err", err)
		return
	}
	if len(b) > 0 {
		conn = &prefixConn{Conn: conn, b: b}
	}
	if a.register(conn) {
		go a.early(conn)
	}
}

// register adds c to those that Close closes, or closes it where that was called.
func (a *Acceptor) register(c net.Conn) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		c.Close()
		return false
	}
	a.conns[c] = struct{}{}
	a.wg.Add(1)
	return true
}

func (a *Acceptor) unregister(c net.Conn) {
	a.mu.Lock()
	delete(a.conns, c)
	a.mu.Unlock()
}

// early reads c's first head, and serves it or leaves it to net/http.
func (a *Acceptor) early(c net.Conn) {
	defer a.wg.Done()
	buf := headBuffers.Get().(*[maxHead]byte)
	defer headBuffers.Put(buf)
	by := time.Now().Add(a.cfg.HeadTimeout)
	c.SetReadDeadline(by)
	n, end, err := a.prefixes.readHead(c, buf[:])
	a.unregister(c)
	if err != nil {
		c.Close()
		return
	}
	c.SetReadDeadline(time.Time{})
	if end > 0 && a.serveEarly(Unwrap(c), buf[:end], buf[end:n]) {
		return
	}
	select {
	case a.other <- &prefixConn{Conn: Unwrap(c), b: bytes.Clone(buf[:n]), by: by}:
	case <-a.done:
		c.Close()
	}
}

// Accept implements net.Listener, for net/http.
func (a *Acceptor) Accept() (net.Conn, error) {
	select {
	case c := <-a.other:
		return c, nil
	case <-a.done:
		return nil, http.ErrServerClosed
	}
}

// Addr implements net.Listener.
func (a *Acceptor) Addr() net.Addr { return a.l.Addr() }

// Close implements net.Listener: connections whose head is not whole are closed.
func (a *Acceptor) Close() error {
	a.mu.Lock()
	if a.closed {
		a.mu.Unlock()
		return nil
	}
	a.closed = true
	close(a.done)
	for c := range a.conns {
		c.Close()
	}
	a.mu.Unlock()
	return a.l.Close()
}
