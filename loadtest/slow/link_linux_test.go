package slow

import (
	"bytes"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// patience is how long a test waits for what must come.
const patience = 30 * time.Second

func open(t *testing.T, cfg Config) *Link {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("network namespaces and a TUN device want root")
	}
	if _, err := os.Stat(tunDevice); err != nil {
		t.Skip("there is no " + tunDevice + ": load the module tun, or give the container the device")
	}
	l, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// connect makes a connection over l; both ends are closed with the test.
func connect(t *testing.T, l *Link) (near, far net.Conn) {
	t.Helper()
	server, err := l.Near.Listen(t.Context(), "tcp", NearAddr.String()+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	if far, err = l.Far.Dial(t.Context(), "tcp", server.Addr().String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { far.Close() })
	if near, err = server.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { near.Close() })
	for _, c := range []net.Conn{near, far} {
		_ = c.SetDeadline(time.Now().Add(patience))
	}
	return near, far
}

func TestLinkCarriesBothWaysAndCounts(t *testing.T) {
	l := open(t, Config{RateKbit: 8000, RTT: 10 * time.Millisecond, QueueBytes: 50_000, Loss: 2, Seed: 1})
	near, far := connect(t, l)
	all := bytes.Repeat([]byte("0123456789abcdef"), 16<<10)
	go near.Write(all)
	got := make([]byte, len(all))
	if _, err := io.ReadFull(far, got); err != nil || !bytes.Equal(got, all) {
		t.Fatalf("down: %v", err)
	}
	if _, err := far.Write(all[:1000]); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(near, got[:1000]); err != nil {
		t.Fatalf("up: %v", err)
	}
	down, up := l.Stats()
	if down.Bytes < int64(len(all)) || up.Bytes < 1000 || down.Lost == 0 {
		t.Errorf("down %+v, up %+v", down, up)
	}
	if down.MostQueued > 50_000 {
		t.Errorf("%d bytes were in a queue of 50,000", down.MostQueued)
	}
}

func TestCutLinkIsSilent(t *testing.T) {
	l := open(t, Config{RateKbit: 8000, QueueBytes: 50_000})
	near, far := connect(t, l)
	l.Cut()
	if _, err := near.Write([]byte("nobody gets this")); err != nil {
		t.Fatal(err)
	}
	port := near.LocalAddr().(*net.TCPAddr).AddrPort().Port()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for end := time.Now().Add(patience); ; <-look.C {
		down, _ := l.Stats()
		n, err := l.Near.Unacked(port)
		if err != nil {
			t.Fatal(err)
		}
		if n == len("nobody gets this") && down.Lost > 1 { // the retransmission is lost too
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%d bytes wait, %d packets are lost", n, down.Lost)
		}
	}
	_ = far.SetReadDeadline(time.Now())
	if n, err := far.Read(make([]byte, 1)); n != 0 || !os.IsTimeout(err) {
		t.Errorf("%d bytes came, %v", n, err)
	}
}

func TestNamespacesAreApart(t *testing.T) {
	a, b := open(t, Default()), open(t, Default()) // the same addresses, twice
	near, _ := connect(t, a)
	port := near.LocalAddr().(*net.TCPAddr).AddrPort()
	if c, err := b.Far.Dial(t.Context(), "tcp", port.String()); err == nil {
		c.Close()
		t.Error("a connection to another link's server was made")
	}
}
