package netspace

import (
	"fmt"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if !Inside() {
		if status, err := Relocated(); err == nil {
			os.Exit(status)
		}
	} else if err := Setup(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

// pair is two hosts with a connection from the first to the second, in a network that ends with the test.
func pair(t *testing.T) (n *Network, a, b *Host, client, server net.Conn) {
	t.Helper()
	n, err := NewNetwork()
	if err != nil {
		t.Skipf("skipped: %v: %v", err, Possible())
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	add := func(name string) *Host {
		h, err := n.Add(name)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	a, b = add("a"), add("b")
	l, err := b.Listen(t.Context(), "tcp", net.JoinHostPort(b.Addr(2), "8080"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	accepted := make(chan net.Conn, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			t.Error(err)
		}
		accepted <- c
	}()
	if client, err = a.Dial(t.Context(), "tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	server = <-accepted
	t.Cleanup(func() { client.Close(); server.Close() })
	return n, a, b, client, server
}

// comes reports whether a byte that is written at one end comes at the other within a while.
func comes(t *testing.T, from, to net.Conn, within time.Duration) bool {
	t.Helper()
	if _, err := from.Write([]byte{1}); err != nil {
		t.Fatal(err)
	}
	if err := to.SetReadDeadline(time.Now().Add(within)); err != nil {
		t.Fatal(err)
	}
	_, err := io.ReadFull(to, make([]byte, 1))
	if err != nil && !os.IsTimeout(err) {
		t.Fatal(err)
	}
	return err == nil
}

const (
	patience = 30 * time.Second       // a retransmission may come late
	silence  = 300 * time.Millisecond // several retransmissions
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestCutHoldsForConnectionsThatThereAre, and ends with the last Heal: what was sent meanwhile comes then.
func TestCutHoldsForConnectionsThatThereAre(t *testing.T) {
	n, a, b, client, server := pair(t)
	if !comes(t, client, server, patience) || !comes(t, server, client, patience) {
		t.Fatal("nothing comes through a whole network")
	}
	must(t, n.Cut(a, b))
	must(t, n.Cut(a, b))
	if comes(t, client, server, silence) {
		t.Error("what is cut off is received")
	}
	must(t, n.Heal(a, b))
	if comes(t, client, server, silence) {
		t.Error("what is cut off by somebody else, too, is received")
	}
	must(t, n.Heal(a, b))
	must(t, server.SetReadDeadline(time.Now().Add(patience)))
	if _, err := io.ReadFull(server, make([]byte, 2)); err != nil {
		t.Errorf("what was sent while the network was cut does not come after: %v", err)
	}
}

// TestCutIsForOneWay: what comes the other way is received, though nobody hears so.
func TestCutIsForOneWay(t *testing.T) {
	n, a, b, client, server := pair(t)
	if !comes(t, client, server, patience) || !comes(t, server, client, patience) {
		t.Fatal("nothing comes through a whole network")
	}
	must(t, n.Cut(b, a))
	if comes(t, server, client, silence) {
		t.Error("what is cut off is received")
	}
	if !comes(t, client, server, patience) {
		t.Error("the way back is cut, and the way there is, too")
	}
	must(t, n.Heal(b, a))
	must(t, client.SetReadDeadline(time.Now().Add(patience)))
	if _, err := io.ReadFull(client, make([]byte, 1)); err != nil {
		t.Error(err)
	}
}

// TestHostsReachThisProcess and it reaches them, also while they are cut off from each other.
func TestHostsReachThisProcess(t *testing.T) {
	n, a, b, _, _ := pair(t)
	must(t, n.Cut(a, b))
	must(t, n.Cut(b, a))
	l, err := a.Listen(t.Context(), "tcp", net.JoinHostPort(a.Addr(1), "8081"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	done := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err == nil {
			_, err = c.Write([]byte{1})
			c.Close()
		}
		done <- err
	}()
	c, err := (&net.Dialer{Timeout: patience}).DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}
