package faultproxy

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, Leaks()...) }

// echo is a server that answers with what it is asked.
func echo(t *testing.T) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns.Go(func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			})
		}
	})
	t.Cleanup(func() { l.Close(); conns.Wait() })
	return l.Addr().String()
}

type client struct{ net.Conn }

func dial(t *testing.T, p *Proxy) client {
	t.Helper()
	c, err := net.Dial("tcp", p.Addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return client{c}
}

// ask answers what comes within so long, and how long that took.
func (c client) ask(t *testing.T, question []byte, within time.Duration) ([]byte, time.Duration, error) {
	t.Helper()
	began := time.Now()
	if _, err := c.Write(question); err != nil {
		return nil, 0, err
	}
	if err := c.SetReadDeadline(began.Add(within)); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, len(question))
	n, err := io.ReadFull(c, answer)
	return answer[:n], time.Since(began), err
}

// answers fails where the client is not answered as by the server alone.
func (c client) answers(t *testing.T) {
	t.Helper()
	if got, _, err := c.ask(t, []byte("ping"), 30*time.Second); err != nil || string(got) != "ping" {
		t.Fatalf("got %q, %v", got, err)
	}
}

func TestCutEndsAllConnectionsUntilHeal(t *testing.T) {
	p := New(t, echo(t))
	c := dial(t, p)
	c.answers(t)
	p.Cut(t)
	if got, _, err := c.ask(t, []byte("ping"), 30*time.Second); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a cut connection: %q, %v", got, err)
	}
	if c, err := net.Dial("tcp", p.Addr); err == nil {
		c.Close()
		t.Error("a new connection was taken")
	}
	p.Heal(t)
	dial(t, p).answers(t)
}

func TestDisconnectEndsThoseThereAre(t *testing.T) {
	p := New(t, echo(t))
	c := dial(t, p)
	c.answers(t)
	p.Disconnect(t)
	if got, _, err := c.ask(t, []byte("ping"), 30*time.Second); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a cut connection: %q, %v", got, err)
	}
	dial(t, p).answers(t)
}

func TestDisconnectAfterCutsWithinAMessage(t *testing.T) {
	p := New(t, echo(t))
	c := dial(t, p)
	c.answers(t)
	p.DisconnectAfter(t, Answers, 3)
	if got, _, err := c.ask(t, []byte("0123456789"), 30*time.Second); string(got) != "012" || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %q, %v", got, err)
	}
	p.Heal(t)
	dial(t, p).answers(t)
}

func TestDelayIsForConnectionsOfBeforeAndAfter(t *testing.T) {
	p := New(t, echo(t))
	const by = 300 * time.Millisecond
	for _, d := range []Direction{Requests, Answers} {
		before := dial(t, p)
		before.answers(t)
		p.Delay(t, d, by/2)
		p.Delay(t, d, by) // in the first one's place
		for _, c := range []client{before, dial(t, p)} {
			if _, took, err := c.ask(t, []byte("ping"), 30*time.Second); took < by || err != nil {
				t.Errorf("%s: answered after %v, %v", d, took, err)
			}
		}
		p.Heal(t)
		before.answers(t)
	}
}

func TestLimitSlows(t *testing.T) {
	p := New(t, echo(t))
	c := dial(t, p)
	p.Limit(t, Answers, 20)
	question := bytes.Repeat([]byte("0123456789"), 1000)
	if got, took, err := c.ask(t, question, 30*time.Second); !bytes.Equal(got, question) || took < 300*time.Millisecond || err != nil {
		t.Errorf("%d bytes at 20 KB/s after %v, %v", len(got), took, err)
	}
}

func TestSwallowKeepsConnectionsOpenAndSilent(t *testing.T) {
	for _, d := range []Direction{Requests, Answers} {
		p := New(t, echo(t))
		c := dial(t, p)
		c.answers(t)
		p.Swallow(t, d)
		for _, c := range []client{c, dial(t, p)} {
			if got, _, err := c.ask(t, []byte("lost"), 100*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%s: got %q, %v", d, got, err)
			}
		}
		p.Heal(t)
		if got, _, err := c.ask(t, []byte("ping"), 30*time.Second); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: a connection that has lost bytes goes on: %q, %v", d, got, err)
		}
		dial(t, p).answers(t)
	}
}
