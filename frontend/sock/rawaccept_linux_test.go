package sock

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// rawAccepting is a loop, a listener with a RawAcceptor, and the connections of it.
type rawAccepting struct {
	tb   testing.TB
	loop *Loop
	l    net.Listener
	got  chan RawConn
	end  chan error
}

func newRawAccepting(tb testing.TB, configure func(*Config), change func(net.Listener) net.Listener) *rawAccepting {
	tb.Helper()
	cfg := Default()
	cfg.Pollers = 1
	if configure != nil {
		configure(&cfg)
	}
	loop, err := NewLoop(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	l, err := Listen(context.Background(), "127.0.0.1:0", cfg)
	if err != nil {
		tb.Fatal(err)
	}
	if change != nil {
		l = change(l)
	}
	a := &rawAccepting{tb: tb, loop: loop, l: l, got: make(chan RawConn, 100), end: make(chan error, 1)}
	acceptor, err := loop.RawAcceptor(l)
	if err != nil {
		tb.Fatal(err)
	}
	go func() {
		for {
			if err := acceptor.Accept(func(c RawConn) { a.got <- c }); err != nil {
				a.end <- err
				return
			}
		}
	}()
	tb.Cleanup(func() {
		_ = l.Close()
		if err := <-a.end; !errors.Is(err, net.ErrClosed) {
			tb.Errorf("accept ended with %v", err)
		}
		if err := loop.Close(); err != nil {
			tb.Error(err)
		}
	})
	return a
}

func (a *rawAccepting) dial(say string) net.Conn {
	a.tb.Helper()
	c, err := net.Dial("tcp", a.l.Addr().String())
	if err == nil {
		_, err = io.WriteString(c, say)
	}
	if err != nil {
		a.tb.Fatal(err)
	}
	a.tb.Cleanup(func() { c.Close() })
	return c
}

// A raw connection is accepted with what it has sent, and served by the Loop like every other.
func TestRawConnsComeWithTheirFirstBytes(t *testing.T) {
	a := newRawAccepting(t, nil, nil)
	var all sync.WaitGroup
	for range 20 {
		peer := a.dial("hello")
		c := <-a.got
		if c.Remote.String() != peer.LocalAddr().String() {
			t.Errorf("it is of %v, not %v", c.Remote, peer.LocalAddr())
		}
		var b [16]byte
		n, err := c.Read(b[:])
		if string(b[:n]) != "hello" || err != nil {
			t.Fatalf("%q %v", b[:n], err)
		}
		if n, err := c.Read(b[:]); n != 0 || err != nil { // nothing yet, and no waiting
			t.Errorf("%d %v", n, err)
		}
		r := newRecorder(t)
		conn, err := c.Attach(r)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write([]byte("world")); err != nil {
			t.Error(err)
		}
		if _, err := io.ReadFull(peer, b[:5]); err != nil || string(b[:5]) != "world" {
			t.Errorf("%q %v", b[:5], err)
		}
		all.Go(func() {
			_ = peer.Close()
			if err := r.end(); err != nil {
				t.Errorf("Closed(%v)", err)
			}
		})
	}
	all.Wait()
	if err := a.loop.Check(); err != nil {
		t.Error(err)
	}
}

// One that is not for the Loop is package net's, with all that has not been read.
func TestRawConnBecomesANetConn(t *testing.T) {
	a := newRawAccepting(t, nil, nil)
	peer := a.dial("hello")
	c := <-a.got
	var b [16]byte
	if _, err := c.Read(b[:2]); err != nil {
		t.Fatal(err)
	}
	conn, err := c.Conn()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.ReadFull(conn, b[:3]); err != nil || string(b[:3]) != "llo" {
		t.Errorf("%q %v", b[:3], err)
	}
	if conn.RemoteAddr().String() != peer.LocalAddr().String() {
		t.Error(conn.RemoteAddr())
	}
	if _, err := conn.Write([]byte("bye")); err != nil {
		t.Error(err)
	}
	conn.Close()
	if said, err := io.ReadAll(peer); string(said) != "bye" || err != nil {
		t.Errorf("%q %v", said, err)
	}
}

// The peer's end is told by Read, whether it came with bytes or without.
func TestRawConnThatHasEnded(t *testing.T) {
	a := newRawAccepting(t, nil, nil)
	peer := a.dial("")
	_ = peer.(*net.TCPConn).CloseWrite()
	c := <-a.got
	if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("%d %v", n, err)
	}
	c.Close()
	if _, err := peer.Read(make([]byte, 1)); err == nil {
		t.Error("it is still open")
	}
}

// A RawAcceptor leaves the descriptors alone that are reserved, as Accept does.
func TestRawAcceptorLeavesWhatIsReserved(t *testing.T) {
	most := 0
	a := newRawAccepting(t, nil, func(l net.Listener) net.Listener {
		f, err := os.Open(os.DevNull) // what a next connection of either side may have at the least
		if err != nil {
			t.Fatal(err)
		}
		most = int(f.Fd())
		_ = f.Close()
		return ReserveDescriptors(l, descriptors()-most, slog.New(slog.DiscardHandler))
	})
	peer := a.dial("hello")
	if _, err := peer.Read(make([]byte, 1)); err == nil {
		t.Error("a connection was served with a reserved descriptor")
	}
	if len(a.got) != 0 {
		t.Errorf("it was accepted; the first reserved is %d", most)
	}
}

// Listeners that are not this package's, and loops without an epoll set, are accepted from as usual.
func TestRawAcceptorIsForOurOwnListeners(t *testing.T) {
	loop, err := NewLoop(Default())
	if err != nil {
		t.Fatal(err)
	}
	defer loop.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := loop.RawAcceptor(l); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("a listener of package net: %v", err)
	}
	cfg := Default()
	cfg.Portable = true
	portable, err := NewLoop(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer portable.Close()
	own, err := Listen(t.Context(), "127.0.0.1:0", cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := portable.RawAcceptor(own); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("a portable loop: %v", err)
	}
	own.Close()
	if _, err := loop.RawAcceptor(own); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a closed listener: %v", err)
	}
}

// One that was reset before it is handed on has no address any more, for which others ask without looking.
func TestRawConnThatWasResetIsNotHandedOn(t *testing.T) {
	a := newRawAccepting(t, nil, nil)
	peer := a.dial("hello")
	c := <-a.got
	_ = peer.(*net.TCPConn).SetLinger(0)
	_ = peer.Close()
	for b := make([]byte, 16); ; runtime.Gosched() {
		if _, err := c.Read(b); err != nil {
			break
		}
	}
	if conn, err := c.Conn(); err == nil {
		t.Errorf("it is handed on as one of %v", conn.RemoteAddr())
		_ = conn.Close()
	}
}

// A connection that is handed on keeps the options of the configuration: package net would set its own keepalive.
func TestRawConnKeepsItsOptions(t *testing.T) {
	for _, every := range []time.Duration{0, time.Minute} {
		a := newRawAccepting(t, func(c *Config) { c.KeepAlive = every }, nil)
		a.dial("hello")
		conn, err := (<-a.got).Conn()
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		raw, err := conn.(*net.TCPConn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		var on, idle, between, timeout int
		err = raw.Control(func(fd uintptr) {
			on, _ = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_KEEPALIVE)
			idle, _ = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_KEEPIDLE)
			between, _ = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_KEEPINTVL)
			timeout, _ = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT)
		})
		if s := int(every.Seconds()); err != nil || (on == 1) != (s > 0) || s > 0 && (idle != s || between != s) {
			t.Errorf("keep_alive %v: %d, after %d s, every %d s, %v", every, on, idle, between, err)
		}
		if want := int(Default().UserTimeout.Milliseconds()); timeout != want {
			t.Errorf("the user timeout is %d ms, not %d", timeout, want)
		}
	}
}
