package sock

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ramen/internal/testcert"

	"go.uber.org/goleak"
)

// patience is how long a test waits for what must come: long, since it only matters where something is broken.
const patience = 30 * time.Second

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// implementation is one way to a Conn; the suite runs over all.
type implementation struct {
	name   string
	reads  bool // Handler.Read is called, and the peer's end noticed
	idle   bool // an idle connection has no goroutine
	config func(*Config)
	tls    bool
}

var implementations = []implementation{
	{name: "portable", reads: true, config: func(c *Config) { c.Portable = true }},
	{name: "tls", reads: true, tls: true},
	{name: "outbox", idle: true},
}

func init() {
	if runtime.GOOS == "linux" {
		implementations = append(implementations, implementation{name: "epoll", reads: true, idle: true})
	}
}

// over runs test over every implementation.
func over(t *testing.T, test func(t *testing.T, im implementation)) {
	for _, im := range implementations {
		t.Run(im.name, func(t *testing.T) { test(t, im) })
	}
}

// bench is a Loop with a listener, and connections between them.
type bench struct {
	tb   testing.TB
	im   implementation
	cfg  Config
	loop *Loop
	l    net.Listener
}

// newBench starts a loop. change, where not nil, changes its configuration.
func newBench(tb testing.TB, im implementation, change func(*Config)) *bench {
	tb.Helper()
	cfg := Default()
	cfg.Pollers = 2
	if im.config != nil {
		im.config(&cfg)
	}
	if change != nil {
		change(&cfg)
	}
	loop, err := NewLoop(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	l, err := Listen(context.Background(), "127.0.0.1:0", cfg)
	if err != nil {
		tb.Fatal(err)
	}
	b := &bench{tb: tb, im: im, cfg: cfg, loop: loop, l: l}
	tb.Cleanup(func() {
		_ = l.Close()
		if err := loop.Close(); err != nil {
			tb.Errorf("close loop: %v", err)
		}
		if n := loop.Len(); n != 0 {
			tb.Errorf("%d connections are left in a closed loop", n)
		}
	})
	return b
}

// dial makes both ends of a connection, the server's not yet in the loop.
func (b *bench) dial() (server, peer net.Conn) {
	b.tb.Helper()
	type accepted struct {
		c   net.Conn
		err error
	}
	got := make(chan accepted, 1)
	go func() {
		c, err := b.l.Accept()
		got <- accepted{c, err}
	}()
	peer, err := net.Dial("tcp", b.l.Addr().String())
	if err != nil {
		b.tb.Fatal(err)
	}
	a := <-got
	if a.err != nil {
		b.tb.Fatal(a.err)
	}
	if b.im.tls {
		return b.secure(a.c, peer)
	}
	return a.c, peer
}

var certificate = sync.OnceValue(func() tls.Certificate { return testcert.SelfSigned("ramen").TLS() })

// secure puts TLS over both ends.
func (b *bench) secure(server, peer net.Conn) (net.Conn, net.Conn) {
	s := tls.Server(server, &tls.Config{Certificates: []tls.Certificate{certificate()}})
	p := tls.Client(peer, &tls.Config{InsecureSkipVerify: true})
	done := make(chan error, 1)
	go func() { done <- s.Handshake() }()
	if err := errors.Join(p.Handshake(), <-done); err != nil {
		b.tb.Fatal(err)
	}
	return s, p
}

// connect makes a connection that is served with h, and its peer.
func (b *bench) connect(h Handler) (Conn, net.Conn) {
	b.tb.Helper()
	server, peer := b.dial()
	b.tb.Cleanup(func() { _ = peer.Close() })
	if b.im.name == "outbox" {
		return b.outbox(server, h), peer
	}
	c, err := b.loop.Add(server, h)
	if err != nil {
		b.tb.Fatal(err)
	}
	return c, peer
}

// echo makes a connection that answers what it reads.
func (b *bench) echo() (*recorder, net.Conn) {
	b.tb.Helper()
	r := newRecorder(b.tb)
	var mu sync.Mutex // held around Add, as the contract says
	var c Conn
	r.onRead = func(in []byte) {
		mu.Lock()
		defer mu.Unlock()
		_, _ = c.Write(in)
	}
	mu.Lock()
	defer mu.Unlock()
	var peer net.Conn
	c, peer = b.connect(r)
	return r, peer
}

// outbox serves c as an HTTP/2 handler would.
func (b *bench) outbox(c net.Conn, h Handler) Conn {
	o := Outbox(func(p []byte) error { _, err := c.Write(p); return err }, func() { _ = c.Close() }, h, c.RemoteAddr())
	o.(*outbox).cfg = b.cfg
	b.tb.Cleanup(o.Close)
	return o
}

// recorder is a Handler that keeps everything, and sees to it that callbacks keep to the contract.
type recorder struct {
	tb     testing.TB
	onRead func(b []byte)

	busy    atomic.Bool
	written atomic.Int64
	closed  chan struct{}
	ended   atomic.Bool
	err     error // once closed

	mu   sync.Mutex
	cond *sync.Cond
	in   []byte
}

func newRecorder(tb testing.TB) *recorder {
	r := &recorder{tb: tb, closed: make(chan struct{})}
	r.cond = sync.NewCond(&r.mu)
	return r
}

// enter checks that no callback is under way and Closed has not been.
func (r *recorder) enter(name string) func() {
	if !r.busy.CompareAndSwap(false, true) {
		r.tb.Errorf("%s while another callback is under way", name)
	}
	if r.ended.Load() {
		r.tb.Errorf("%s after Closed", name)
	}
	return func() { r.busy.Store(false) }
}

func (r *recorder) Read(b []byte) {
	defer r.enter("Read")()
	r.mu.Lock()
	r.in = append(r.in, b...)
	r.cond.Broadcast()
	r.mu.Unlock()
	if r.onRead != nil {
		r.onRead(b)
	}
}

func (r *recorder) Written(n int) {
	defer r.enter("Written")()
	if n <= 0 {
		r.tb.Errorf("Written(%d)", n)
	}
	r.written.Add(int64(n))
	r.mu.Lock()
	r.cond.Broadcast()
	r.mu.Unlock()
}

func (r *recorder) Closed(err error) {
	defer r.enter("Closed")()
	r.ended.Store(true)
	r.err = err
	close(r.closed)
}

// wait waits until ok, which is looked at after each Read and Written.
func (r *recorder) wait(what string, ok func() bool) {
	r.tb.Helper()
	late := time.AfterFunc(patience, func() {
		r.tb.Errorf("%s does not come", what)
		r.mu.Lock()
		defer r.mu.Unlock()
		ok = func() bool { return true }
		r.cond.Broadcast()
	})
	defer late.Stop()
	r.mu.Lock()
	defer r.mu.Unlock()
	for !ok() {
		r.cond.Wait()
	}
}

// end waits for Closed.
func (r *recorder) end() error {
	r.tb.Helper()
	select {
	case <-r.closed:
		return r.err
	case <-time.After(patience):
		r.tb.Fatal("Closed does not come")
		return nil
	}
}

// account sums what Writes buffered, by the contract's min(len(b), buffered).
type account struct{ buffered int64 }

func (a *account) write(c Conn, b []byte) error {
	n, err := c.Write(b)
	a.buffered += int64(min(len(b), n))
	return err
}

// readAll reads to the peer's end, bounded in time.
func readAll(tb testing.TB, c net.Conn) []byte {
	tb.Helper()
	_ = c.SetReadDeadline(time.Now().Add(patience))
	b, err := io.ReadAll(c)
	if err != nil {
		tb.Fatalf("read to the end: %v", err)
	}
	return b
}

// readN reads exactly n bytes.
func readN(tb testing.TB, c net.Conn, n int) []byte {
	tb.Helper()
	_ = c.SetReadDeadline(time.Now().Add(patience))
	b := make([]byte, n)
	if _, err := io.ReadFull(c, b); err != nil {
		tb.Fatalf("read %d bytes: %v", n, err)
	}
	return b
}
