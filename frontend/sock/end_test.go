package sock

import (
	"bytes"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"
)

// tcp is the TCP connection under c.
func tcp(c net.Conn) *net.TCPConn {
	if u, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = u.NetConn()
	}
	return c.(*net.TCPConn)
}

// needsReads skips where the peer's end is not noticed by the connection itself.
func needsReads(t *testing.T, im implementation) {
	if !im.reads {
		t.Skip("an Outbox only writes: that its peer ended is its caller's to notice")
	}
}

func TestShutdownDeliversEverythingThenEnds(t *testing.T) {
	over(t, func(t *testing.T, im implementation) {
		b := newBench(t, im, small)
		r := newRecorder(t)
		c, peer := b.connect(r)
		all := noise(seeded(t), 1<<20)
		if err := new(account).write(c, all); err != nil {
			t.Fatal(err)
		}
		// Input that nobody reads would turn the end into a reset, and that would take the goodbye with it.
		if _, err := peer.Write(make([]byte, 3000)); err != nil {
			t.Fatal(err)
		}
		c.Shutdown()
		if _, err := c.Write([]byte("late")); !errors.Is(err, ErrClosed) {
			t.Errorf("write after shutdown: %v, not ErrClosed", err)
		}
		if im.reads {
			if got := readAll(t, peer); !bytes.Equal(got, all) {
				t.Fatalf("%d bytes arrived, not what was written", len(got))
			}
		} else { // an outbox's input is its request's: here nobody reads it
			if got := readN(t, peer, len(all)); !bytes.Equal(got, all) {
				t.Fatal("what arrived is not what was written")
			}
		}
		_ = peer.Close()
		if err := r.end(); err != nil {
			t.Errorf("Closed(%v), not nil", err)
		}
	})
}

func TestShutdownWithNothingKept(t *testing.T) {
	over(t, func(t *testing.T, im implementation) {
		b := newBench(t, im, nil)
		r := newRecorder(t)
		c, peer := b.connect(r)
		c.Shutdown()
		if got := readAll(t, peer); len(got) != 0 {
			t.Errorf("got %q", got)
		}
		_ = peer.Close()
		if err := r.end(); err != nil {
			t.Errorf("Closed(%v), not nil", err)
		}
	})
}

func TestShutdownEndsBesidePeerThatStays(t *testing.T) {
	over(t, func(t *testing.T, im implementation) {
		needsReads(t, im)
		b := newBench(t, im, func(c *Config) { c.Linger = 50 * time.Millisecond })
		r := newRecorder(t)
		c, peer := b.connect(r)
		if _, err := c.Write([]byte("goodbye")); err != nil {
			t.Fatal(err)
		}
		c.Shutdown()
		if got := readAll(t, peer); string(got) != "goodbye" {
			t.Errorf("got %q", got)
		}
		if err := r.end(); !errors.Is(err, ErrLingered) {
			t.Errorf("Closed(%v), not ErrLingered", err)
		}
	})
}

func TestShutdownEndsBesidePeerThatTakesNothing(t *testing.T) {
	over(t, func(t *testing.T, im implementation) {
		b := newBench(t, im, func(c *Config) { small(c); c.Flush = 50 * time.Millisecond })
		r := newRecorder(t)
		c, _ := b.connect(r)
		for buffered := 0; buffered < 1<<20; {
			var err error
			if buffered, err = c.Write(make([]byte, 64<<10)); err != nil {
				t.Fatal(err)
			}
		}
		c.Shutdown()
		if err := r.end(); !errors.Is(err, ErrLingered) {
			t.Errorf("Closed(%v), not ErrLingered", err)
		}
	})
}

func TestHalfClosedPeerStillGetsTheGoodbye(t *testing.T) {
	over(t, func(t *testing.T, im implementation) {
		needsReads(t, im)
		b := newBench(t, im, small)
		r := newRecorder(t)
		c, peer := b.connect(r)
		all := noise(seeded(t), 1<<20)
		if _, err := c.Write(all); err != nil {
			t.Fatal(err)
		}
		c.Shutdown()
		if err := tcp(peer).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if got := readAll(t, peer); !bytes.Equal(got, all) {
			t.Fatalf("%d bytes arrived, not what was written", len(got))
		}
		if err := r.end(); err != nil {
			t.Errorf("Closed(%v), not nil", err)
		}
	})
}

func TestPeersEndIsNil(t *testing.T) {
	over(t, func(t *testing.T, im implementation) {
		needsReads(t, im)
		for _, end := range []func(net.Conn) error{
			func(c net.Conn) error { return c.Close() },
			func(c net.Conn) error { return tcp(c).CloseWrite() },
		} {
			b := newBench(t, im, nil)
			r := newRecorder(t)
			_, peer := b.connect(r)
			if _, err := peer.Write([]byte("last words")); err != nil {
				t.Fatal(err)
			}
			if err := end(peer); err != nil {
				t.Fatal(err)
			}
			if err := r.end(); err != nil {
				t.Errorf("Closed(%v), not nil", err)
			}
			if string(r.in) != "last words" {
				t.Errorf("read %q before the end", r.in)
			}
		}
	})
}

func TestPeersResetIsAnError(t *testing.T) {
	over(t, func(t *testing.T, im implementation) {
		needsReads(t, im)
		b := newBench(t, im, small)
		for _, buffered := range []int{0, 1 << 20} {
			r := newRecorder(t)
			c, peer := b.connect(r)
			if buffered > 0 {
				if _, err := c.Write(make([]byte, buffered)); err != nil {
					t.Fatal(err)
				}
			}
			_ = tcp(peer).SetLinger(0)
			_ = tcp(peer).Close()
			if err := r.end(); err == nil {
				t.Error("Closed(nil) for a reset")
			}
			if _, err := c.Write([]byte("x")); err == nil {
				t.Error("write after a reset succeeds")
			}
		}
	})
}

// resetOnWrite is a connection whose reset the system has told to a write: a read then sees an end.
type resetOnWrite struct {
	net.Conn
	writing, closed chan struct{}
}

func (c *resetOnWrite) Read([]byte) (int, error) {
	<-c.writing
	return 0, io.EOF
}

func (c *resetOnWrite) Write([]byte) (int, error) {
	close(c.writing)
	<-c.closed // the reader was first to say so
	return 0, syscall.ECONNRESET
}

func (c *resetOnWrite) Close() error {
	close(c.closed)
	return nil
}

func (c *resetOnWrite) RemoteAddr() net.Addr { return &net.TCPAddr{} }

func TestResetThatAWriteWasToldIsNoEnd(t *testing.T) {
	b := newBench(t, implementations[0], nil)
	r := newRecorder(t)
	c, err := b.loop.Add(&resetOnWrite{writing: make(chan struct{}), closed: make(chan struct{})}, r)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := r.end(); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("Closed(%v), not a reset", err)
	}
}

func TestResetDuringShutdownEndsIt(t *testing.T) {
	over(t, func(t *testing.T, im implementation) {
		needsReads(t, im)
		b := newBench(t, im, func(c *Config) { small(c); c.Linger, c.Flush = time.Hour, time.Hour })
		for _, half := range []bool{false, true} {
			r := newRecorder(t)
			c, peer := b.connect(r)
			if _, err := c.Write(make([]byte, 1<<20)); err != nil {
				t.Fatal(err)
			}
			c.Shutdown()
			if half { // the end of the peer's side is seen before the reset
				_ = tcp(peer).CloseWrite()
			}
			_ = tcp(peer).SetLinger(0)
			_ = tcp(peer).Close()
			if err := r.end(); err == nil {
				t.Error("Closed(nil) for a reset")
			}
		}
	})
}

func TestCloseIsSeenByThePeer(t *testing.T) {
	over(t, func(t *testing.T, im implementation) {
		b := newBench(t, im, nil)
		r := newRecorder(t)
		c, peer := b.connect(r)
		c.Close()
		_ = peer.SetReadDeadline(time.Now().Add(patience))
		if _, err := peer.Read(make([]byte, 1)); err == nil || errors.Is(err, io.ErrNoProgress) {
			t.Errorf("peer reads on: %v", err)
		}
		_ = r.end()
	})
}

func TestCloseFromCallbacks(t *testing.T) {
	over(t, func(t *testing.T, im implementation) {
		needsReads(t, im)
		b := newBench(t, im, nil)
		for _, end := range []func(Conn){Conn.Close, Conn.Shutdown} {
			r := newRecorder(t)
			ready := make(chan Conn, 1)
			r.onRead = func([]byte) {
				c := <-ready
				_, _ = c.Write([]byte("answer"))
				end(c)
				ready <- c
			}
			c, peer := b.connect(r)
			ready <- c
			if _, err := peer.Write([]byte("question")); err != nil {
				t.Fatal(err)
			}
			go func() { _, _ = io.Copy(io.Discard, peer); _ = peer.Close() }()
			_ = r.end()
		}
	})
}
