package frontend

import (
	"bytes"
	"errors"
	"net"
	"net/http"
	"runtime"
	"sync"
	"time"

	"ramen/frontend/sock"
)

// door stands before net/http on a plain listener. It reads the head of each connection's first request: where that opens a
// stream of events or a WebSocket it is served from here, which costs less than half of what net/http does and leaves no
// buffers behind a wave of connects. There are three ways, each for what the one before leaves:
//
//	arrive   a bare descriptor, and a head that came whole and in the usual form: no net.Conn, no http.Request
//	first    a net.Conn, whose head may be late, in pieces or unusual: http.ReadRequest, but no server of net/http
//	other    everything else is net/http's, with the bytes that were read
//
// Where package sock has no arrivals, all connections begin with the second.
//
// Goroutines: one that accepts, those of openers, and one a connection of the second way until its head is there; serve
// waits for all.
type door struct {
	s       *Server
	l       net.Listener
	other   chan net.Conn // for net/http
	openers openers

	buf [doorHead]byte // of arrive

	wg     sync.WaitGroup
	done   chan struct{}
	mu     sync.Mutex
	closed bool
	conns  map[net.Conn]struct{} // whose head is not there yet
}

func newDoor(s *Server, l net.Listener) *door {
	d := &door{s: s, l: l, other: make(chan net.Conn), done: make(chan struct{}), conns: map[net.Conn]struct{}{}}
	d.openers.open = d.open
	return d
}

// doorHead is the longest head that is looked at here, in bytes; those with longer tokens are net/http's.
const doorHead = 4 << 10

var heads = sync.Pool{New: func() any { return new([doorHead]byte) }}

// sayAgain is how often a failing accept is logged: it may fail at every pause.
const sayAgain = 10 * time.Second

// run accepts until the listener is closed.
func (d *door) run() {
	defer d.wg.Done()
	accept := d.acceptOne
	if a, err := d.s.loop.Arrivals(d.l); err == nil {
		accept = func() error { return a.Accept(d.arrive) }
	} else if !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, net.ErrClosed) {
		d.s.log.Warn("frontend: connections are accepted in a way that costs more", "err", err)
	}
	pause, said := time.Duration(0), time.Time{}
	for {
		err := accept()
		if err == nil {
			pause = 0
			runtime.Gosched() // who opens them has its turn
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

// acceptOne accepts as net does.
func (d *door) acceptOne() error {
	c, err := d.l.Accept()
	if err == nil && d.enter(c) {
		go d.first(c)
	}
	return err
}

// arrive takes a connection that has sent something, most likely a whole head.
func (d *door) arrive(c sock.Arrival) {
	n, err := c.Read(d.buf[:])
	if err != nil {
		c.Close()
		return
	}
	b := d.buf[:n]
	if opensStream(b) {
		if end := bytes.Index(b, wholeEnd); end >= 0 && end+len(wholeEnd) <= d.s.cfg.MaxHeaderBytes {
			d.openers.give(knock{c, string(b), end + len(wholeEnd)})
			return
		}
	}
	d.pass(c, bytes.Clone(b))
}

var wholeEnd = []byte("\r\n\r\n")

// open opens a stream for a connection that arrived with a whole head.
func (d *door) open(k *knock) {
	if !d.s.serveKnock(k) {
		d.pass(k.c, []byte(k.head))
	}
}

// pass goes on with c, of which b was read, in the second way.
func (d *door) pass(c sock.Arrival, b []byte) {
	conn, err := c.Conn()
	if err != nil {
		d.s.log.Debug("frontend: connection was lost at the door", "err", err)
		return
	}
	if len(b) > 0 {
		conn = &replayed{Conn: conn, b: b}
	}
	if d.enter(conn) {
		go d.first(conn)
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
	by := time.Now().Add(d.s.cfg.ReadHeaderTimeout)
	c.SetReadDeadline(by)
	n, end, err := readHead(c, buf[:])
	d.leave(c)
	if err != nil {
		c.Close()
		return
	}
	c.SetReadDeadline(time.Time{})
	if end > 0 && d.s.serveFirst(bare(c), buf[:end], buf[end:n]) {
		return
	}
	select {
	case d.other <- &replayed{Conn: bare(c), b: bytes.Clone(buf[:n]), by: by}:
	case <-d.done:
		c.Close()
	}
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
	d.openers.close()
	return d.l.Close()
}
