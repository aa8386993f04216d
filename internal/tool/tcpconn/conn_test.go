package tcpconn

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pair is both ends of a connection: one of Dial and Of, and one of Listener.
func pair(t *testing.T) (dialed, accepted net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	got := make(chan net.Conn, 1)
	go func() {
		c, err := Listener(l).Accept()
		if err != nil {
			t.Error(err)
		}
		got <- c
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	dialed, accepted = Of(c), <-got
	t.Cleanup(func() { dialed.Close(); accepted.Close() })
	return dialed, accepted
}

// TestBytesComeAsWritten: more than the socket's buffers hold goes both ways at once, in writes and reads of any length.
func TestBytesComeAsWritten(t *testing.T) {
	a, b := pair(t)
	const size = 8 << 20
	var all sync.WaitGroup
	for _, way := range [][2]net.Conn{{a, b}, {b, a}} {
		seed := rand.Uint64()
		text := make([]byte, size)
		r := rand.NewChaCha8([32]byte{byte(seed)})
		_, _ = r.Read(text)
		all.Go(func() {
			for rest := text; len(rest) > 0; {
				n := min(1+rand.IntN(300<<10), len(rest))
				if wrote, err := way[0].Write(rest[:n]); wrote != n || err != nil {
					t.Errorf("wrote %d of %d: %v", wrote, n, err)
					return
				}
				rest = rest[n:]
			}
		})
		all.Go(func() {
			got := make([]byte, 0, size)
			for len(got) < size {
				n, err := way[1].Read(got[len(got):min(len(got)+1+rand.IntN(100<<10), size)])
				if got = got[:len(got)+n]; err != nil {
					t.Errorf("read: %v", err)
					return
				}
			}
			if !bytes.Equal(got, text) {
				t.Error("other bytes came than were written")
			}
		})
	}
	all.Wait()
}

// TestEndsAndErrorsAreNets: what ends a read or a write is told as a net.TCPConn tells it.
func TestEndsAndErrorsAreNets(t *testing.T) {
	a, b := pair(t)
	one := make([]byte, 1)
	if n, err := a.Read(nil); n != 0 || err != nil {
		t.Errorf("read nothing: %d, %v", n, err)
	}
	if err := a.SetReadDeadline(time.Now().Add(-time.Second)); err != nil {
		t.Fatal(err)
	}
	var timeout net.Error
	if _, err := a.Read(one); !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("read behind its deadline: %v", err)
	}
	if err := a.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	if err := a.SetWriteDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := a.Write(make([]byte, 64<<20)); n == 0 || n == 64<<20 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("wrote %d to who does not read: %v", n, err)
	}
	reading := make(chan error)
	go func() {
		_, err := a.Read(one)
		reading <- err
	}()
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-reading; !errors.Is(err, net.ErrClosed) {
		t.Errorf("read from what is closed meanwhile: %v", err)
	}
	if _, err := a.Write(one); !errors.Is(err, net.ErrClosed) {
		t.Errorf("write to what is closed: %v", err)
	}
	var op *net.OpError
	if _, err := a.Read(one); !errors.As(err, &op) || op.Op != "read" {
		t.Errorf("read from what is closed: %v", err)
	}
	if _, err := io.Copy(io.Discard, b); err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("read until the peer's end: %v", err)
	}
	if _, err := b.Read(one); err != io.EOF && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("read behind the end: %v", err)
	}
	var err error
	for range 1000 { // until the peer's answer to the first has come
		if _, err = b.Write(make([]byte, 4<<10)); err != nil {
			break
		}
	}
	if !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("write to who is gone: %v", err)
	}
}

// BenchmarkEcho is a kilobyte there and back.
func BenchmarkEcho(b *testing.B) {
	for _, announced := range []bool{true, false} {
		b.Run(map[bool]string{true: "net", false: "here"}[announced], func(b *testing.B) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			of := Of
			if announced {
				of = func(c net.Conn) net.Conn { return c }
			}
			var echo sync.WaitGroup
			echo.Go(func() {
				c, err := l.Accept()
				if err != nil {
					return
				}
				c = of(c)
				defer c.Close()
				buf := make([]byte, 4<<10)
				for {
					n, err := c.Read(buf)
					if err != nil {
						return
					}
					if _, err := c.Write(buf[:n]); err != nil {
						return
					}
				}
			})
			c, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				b.Fatal(err)
			}
			c = of(c)
			text := make([]byte, 1<<10)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Write(text); err != nil {
					b.Fatal(err)
				}
				if _, err := io.ReadFull(c, text); err != nil {
					b.Fatal(err)
				}
			}
			c.Close()
			echo.Wait()
		})
	}
}
