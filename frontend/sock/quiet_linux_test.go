package sock

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/net/nettest"
)

// quietPipe is both ends of a loopback connection, the first of them quiet.
func quietPipe() (c1, c2 net.Conn, stop func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, nil, err
	}
	q := Quiet(l)
	defer q.Close()
	if c2, err = net.Dial("tcp", l.Addr().String()); err != nil {
		return nil, nil, nil, err
	}
	if c1, err = q.Accept(); err != nil {
		return nil, nil, nil, errors.Join(err, c2.Close())
	}
	return c1, c2, func() { c1.Close(); c2.Close() }, nil
}

// A quiet connection is a net.Conn by the suite of x/net: deadlines, races of Close with reads and writes, large transfers.
func TestQuietIsANetConn(t *testing.T) {
	nettest.TestConn(t, quietPipe)
}

func TestQuietAllocatesNothing(t *testing.T) {
	c1, c2, stop, err := quietPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	b := make([]byte, 64)
	if n := testing.AllocsPerRun(100, func() {
		if _, err := c1.Write(b); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c2, b); err != nil {
			t.Fatal(err)
		}
		if _, err := c2.Write(b); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c1, b); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Fatalf("%v allocations a round trip", n)
	}
}

func TestQuietTellsTheEnd(t *testing.T) {
	c1, c2, stop, err := quietPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	go func() {
		c2.Write([]byte("last"))
		c2.Close()
	}()
	if all, err := io.ReadAll(c1); err != nil || !bytes.Equal(all, []byte("last")) {
		t.Fatalf("%q, %v", all, err)
	}
	c1.SetReadDeadline(time.Unix(1, 0))
	var timeout net.Error
	if _, err := c1.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Fatalf("after the deadline: %v", err)
	}
	c1.Close()
	if _, err := c1.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Fatalf("after Close: %v", err)
	}
}
