package linkgrpc

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"ramen/internal/testcert"
	"ramen/internal/testserver/faultproxy"
	"ramen/link"
	"ramen/link/linktest"
	"ramen/protocol"
)

func slowProxy(t *testing.T, address string, kilobytes int) string {
	p := faultproxy.New(t, address)
	p.Limit(t, faultproxy.Answers, kilobytes)
	return p.Addr
}

// told keeps how a stream ended.
type told struct {
	counting
	mu     sync.Mutex
	losses []link.Loss
	over   chan struct{}
}

func (r *told) Lost(_ link.Generation, l link.Loss) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.losses = append(r.losses, l); len(r.losses) == 1 {
		close(r.over)
	}
}

// TestDrainIsTold: a gateway that drains serves on, and what streams it still has when it ends are lost for that reason. So is one of a
// link that was made while it drained.
func TestDrainIsTold(t *testing.T) {
	gw := &pump{payload: 10}
	server, address := listen(t, gw, nil)
	log := newLogged()
	open := func(client *Client) (*told, *Link) {
		l := up(t, client.To("g1", address))
		r := &told{counting: counting{t: t}, over: make(chan struct{})}
		if _, _, err := l.Open(t.Context(), link.Open{User: "u", Device: "d"}, r); err != nil {
			t.Fatal(err)
		}
		return r, l
	}
	before, l := open(connect(t, func(cfg *ClientConfig) { cfg.Log = log.logger() }))
	server.Drain()
	server.Drain() // once is enough
	log.wait(t, "gateway is leaving")
	devices(t, l)
	after, _ := open(connect(t, nil))
	if err := server.Close(); err != nil {
		t.Error(err)
	}
	for _, r := range []*told{before, after} {
		<-r.over
		if want := (link.Loss{Reason: protocol.ReasonDrain}); len(r.losses) != 1 || r.losses[0] != want {
			t.Errorf("the stream was told %+v; want %+v", r.losses, want)
		}
	}
}

// TestMovedStreamsAreForgotten: a frontend keeps a stream that has gone on elsewhere for as long as its gateway may still tell its end.
func TestMovedStreamsAreForgotten(t *testing.T) {
	_, address := listen(t, &pump{payload: 10}, nil)
	client := connect(t, nil)
	l := up(t, client.To("g1", address))
	for range 3 {
		s, _, err := l.Open(t.Context(), link.Open{User: "u", Device: "d"}, &counting{t: t})
		if err != nil {
			t.Fatal(err)
		}
		s.Close(protocol.ReasonNone)
	}
	a := l.standing.Load()
	a.mu.Lock()
	if len(a.streams) != 3 {
		t.Errorf("%d streams are kept; want 3", len(a.streams))
	}
	for i := range 2 {
		a.moved[i].since = a.moved[i].since.Add(-movedFor)
	}
	a.mu.Unlock()
	eventually(t, "two to be forgotten", func() bool { return client.metrics.streams.Load() == 1 })
}

// TestCloseSendsWhatWaits: what a frontend has said last arrives, though it ends.
func TestCloseSendsWhatWaits(t *testing.T) {
	gw := &lastWords{}
	_, address := listen(t, gw, nil)
	client := connect(t, nil)
	l := up(t, client.To("g1", address))
	const streams = 500
	for range streams {
		s, _, err := l.Open(t.Context(), link.Open{User: "u", Device: "d"}, &counting{t: t})
		if err != nil {
			t.Fatal(err)
		}
		s.Ack(7, "k7")
		s.Close(protocol.ReasonGone)
	}
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all ends", func() bool { gw.mu.Lock(); defer gw.mu.Unlock(); return gw.ends == streams })
	gw.mu.Lock()
	defer gw.mu.Unlock()
	if gw.acks != streams || gw.reasons[protocol.ReasonGone] != streams {
		t.Errorf("%d acks, ends %v", gw.acks, gw.reasons)
	}
}

// lastWords counts what frontends say at the end of their streams.
type lastWords struct {
	pump
	mu         sync.Mutex
	acks, ends int
	reasons    map[protocol.Reason]int
}

func (g *lastWords) Open(context.Context, link.Open, link.Receiver) (link.Stream, link.Opened, error) {
	return lastStream{new(pumped), g}, link.Opened{}, nil
}

type lastStream struct {
	*pumped
	g *lastWords
}

func (s lastStream) Ack(protocol.Seq, string) { s.g.mu.Lock(); s.g.acks++; s.g.mu.Unlock() }

func (s lastStream) Close(r protocol.Reason) {
	s.g.mu.Lock()
	defer s.g.mu.Unlock()
	s.g.ends++
	if s.g.reasons == nil {
		s.g.reasons = make(map[protocol.Reason]int)
	}
	s.g.reasons[r]++
}

// TestCloseWaitsForNoSilentConnection: a controller watches a gateway's port by a connection on which it says nothing.
func TestCloseWaitsForNoSilentConnection(t *testing.T) {
	authority := testcert.SelfSigned("authority")
	g1 := authority.Issue("g1", "g1")
	identity, err := NewIdentity(g1.CertPEM, g1.KeyPEM, authority.CertPEM)
	if err != nil {
		t.Fatal(err)
	}
	for name, security := range map[string]Security{"plain": {}, "TLS": {TLS: identity}} {
		t.Run(name, func(t *testing.T) {
			cfg := ServerConfig{Config: Default(), Name: "g1", Security: security, Log: slog.New(slog.DiscardHandler)}
			cfg.ConnectFor = 6 * linktest.Patience // for so long grpc waits for the first bytes
			s, err := NewServer(cfg, silent{})
			if err != nil {
				t.Fatal(err)
			}
			l := mustListen(t, "127.0.0.1:0")
			served := make(chan error, 1)
			go func() { served <- s.Serve(l) }()
			c, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			eventually(t, "the connection to be accepted", func() bool { return s.silent.count() == 1 })
			closed := make(chan error, 1)
			go func() { closed <- s.Close() }()
			select {
			case err := <-closed:
				if err := errors.Join(err, <-served); err != nil {
					t.Error(err)
				}
			case <-time.After(linktest.Patience):
				t.Fatal("it waits for a connection on which nothing comes")
			}
			_ = c.SetReadDeadline(time.Now().Add(linktest.Patience))
			if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error("the connection is open after the end")
			}
		})
	}
}

// TestConnectionsThatSpeakAreNotSilent: a server that ends does not cut what is said on them, and keeps none in mind that has ended.
func TestConnectionsThatSpeakAreNotSilent(t *testing.T) {
	s, address := listen(t, silent{}, nil)
	up(t, connect(t, nil).To("g1", address))
	if n := s.silent.count(); n != 0 {
		t.Errorf("%d connections are taken for silent beside a link that stands", n)
	}
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the silent connection to be known", func() bool { return s.silent.count() == 1 })
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the closed connection to be forgotten", func() bool { return s.silent.count() == 0 })
}

func (s *silentConns) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}
