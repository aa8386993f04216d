package frontend

import (
	"bytes"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"
)

// door stands before net/http on a plain listener. It reads the head of each connection's first request into a pooled buffer:
// where that opens a stream of events or a WebSocket it is served from here, which halves what a connect costs and leaves no
// buffers of net/http behind a wave of them. Everything else goes to net/http with the bytes that were read.
//
// Goroutines: one that accepts, and one a connection until its head is there; serve waits for all.
type door struct {
	s     *Server
	l     net.Listener
	other chan net.Conn // for net/http

	wg     sync.WaitGroup
	done   chan struct{}
	mu     sync.Mutex
	closed bool
	conns  map[net.Conn]struct{} // whose head is not there yet
}

func newDoor(s *Server, l net.Listener) *door {
	return &door{s: s, l: l, other: make(chan net.Conn), done: make(chan struct{}), conns: map[net.Conn]struct{}{}}
}

// doorHead is the longest head that is looked at here, in bytes; those with longer tokens are net/http's.
const doorHead = 4 << 10

var heads = sync.Pool{New: func() any { return new([doorHead]byte) }}

// sayAgain is how often a failing accept is logged: it may fail at every pause.
const sayAgain = 10 * time.Second

// run accepts until the listener is closed.
func (d *door) run() {
	defer d.wg.Done()
	pause, said := time.Duration(0), time.Time{}
	for {
		c, err := d.l.Accept()
		if err == nil {
			pause = 0
			if d.enter(c) {
				go d.first(c)
			}
			continue
		}
		if errors.Is(err, net.ErrClosed) {
			d.Close()
			return
		}
		// Out of descriptors, most likely.
		pause = min(max(2*pause, 5*time.Millisecond), time.Second)
		if time.Since(said) > sayAgain {
			said = time.Now()
			d.s.log.Warn("frontend: connections cannot be accepted, and are tried again; raise the limit of open files, or set max_streams below it", "err", err)
		}
		select {
		case <-time.After(pause):
		case <-d.done:
			return
		}
	}
}

// enter registers c, or closes it where the door is closed.
func (d *door) enter(c net.Conn) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		c.Close()
		return false
	}
	d.conns[c] = struct{}{}
	d.wg.Add(1)
	return true
}

func (d *door) leave(c net.Conn) {
	d.mu.Lock()
	delete(d.conns, c)
	d.mu.Unlock()
}

// first reads c's first head and finds who serves it.
func (d *door) first(c net.Conn) {
	defer d.wg.Done()
	buf := heads.Get().(*[doorHead]byte)
	defer heads.Put(buf)
	c.SetReadDeadline(time.Now().Add(d.s.cfg.ReadHeaderTimeout))
	n, end, err := readHead(c, buf[:])
	d.leave(c)
	if err != nil {
		c.Close()
		return
	}
	c.SetReadDeadline(time.Time{})
	if end > 0 && d.s.serveFirst(c, buf[:end], buf[end:n]) {
		return
	}
	select {
	case d.other <- &replayed{Conn: c, b: bytes.Clone(buf[:n])}:
	case <-d.done:
		c.Close()
	}
}

// A head ends with an empty line. One that ends with a bare LF is rare, and left to net/http. RFC 9112 2.2.
var headEnd, bareEnd = []byte("\n\r\n"), []byte("\n\n")

// readHead reads until the head of a request that the door may serve is whole. end is where it ends; 0: it is net/http's.
func readHead(c net.Conn, buf []byte) (n, end int, err error) {
	for n < len(buf) {
		got, err := c.Read(buf[n:])
		if got == 0 && err != nil {
			return n, 0, err
		}
		n += got
		if !opensStream(buf[:n]) {
			return n, 0, nil
		}
		from := max(0, n-got-len(headEnd))
		at := bytes.Index(buf[from:n], headEnd)
		if bare := bytes.Index(buf[from:n], bareEnd); bare >= 0 && (at < 0 || bare < at) {
			return n, 0, nil
		}
		if at >= 0 {
			return n, from + at + len(headEnd), nil
		}
	}
	return n, 0, nil
}

// opensStream reports whether b begins like a request for a stream, as far as it goes.
func opensStream(b []byte) bool {
	for _, prefix := range [...]string{"GET /ramen/receive?", "GET /ramen/ws?"} {
		if k := min(len(b), len(prefix)); string(b[:k]) == prefix[:k] {
			return true
		}
	}
	return false
}

// replayed is a connection of which something was read already.
type replayed struct {
	net.Conn
	b []byte
}

// Read implements net.Conn.
func (r *replayed) Read(p []byte) (int, error) {
	if len(r.b) == 0 {
		return r.Conn.Read(p)
	}
	n := copy(p, r.b)
	if r.b = r.b[n:]; len(r.b) == 0 {
		r.b = nil
	}
	return n, nil
}

// bare is the connection itself once everything was read again, so that a socket loop knows it.
func bare(c net.Conn) net.Conn {
	if r, ok := c.(*replayed); ok && len(r.b) == 0 {
		return r.Conn
	}
	return c
}

// Accept implements net.Listener, for net/http.
func (d *door) Accept() (net.Conn, error) {
	select {
	case c := <-d.other:
		return c, nil
	case <-d.done:
		return nil, http.ErrServerClosed
	}
}

// Addr implements net.Listener.
func (d *door) Addr() net.Addr { return d.l.Addr() }

// Close implements net.Listener: connections whose head is not there yet are closed.
func (d *door) Close() error {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return nil
	}
	d.closed = true
	close(d.done)
	for c := range d.conns {
		c.Close()
	}
	d.mu.Unlock()
	return d.l.Close()
}
