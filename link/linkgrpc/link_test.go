package linkgrpc

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ramen/internal/testserver/faultproxy"
	"ramen/link"
	"ramen/link/linktest"
)

// A proxy that swallowed bytes when it was healed keeps goroutines that want to hand them on.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, faultproxy.Leaks()...)
}

// testConfig finds silence within a second.
func testConfig() Config {
	c := Default()
	c.KeepAlive, c.PauseMin, c.PauseMax = 400*time.Millisecond, 5*time.Millisecond, 50*time.Millisecond
	return c
}

// listen serves gw at a port of its own.
func listen(t *testing.T, gw link.Gateway, set func(*ServerConfig)) (*Server, string) {
	t.Helper()
	cfg := ServerConfig{Config: testConfig(), Name: "g1", Log: slog.New(slog.DiscardHandler)}
	if set != nil {
		set(&cfg)
	}
	s, err := NewServer(cfg, gw)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		eventually(t, "the gateway's counts to be right: "+fmt.Sprint(s.Check()), func() bool { return s.Check() == nil })
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := s.Check(); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return s, l.Addr().String()
}

// connect makes a client.
func connect(t *testing.T, set func(*ClientConfig)) *Client {
	t.Helper()
	cfg := ClientConfig{Config: testConfig(), Name: "f1", Log: slog.New(slog.DiscardHandler)}
	if set != nil {
		set(&cfg)
	}
	c, err := NewClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		eventually(t, "the frontend's counts to be right: "+fmt.Sprint(c.Check()), func() bool { return c.Check() == nil })
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if err := c.Check(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// up waits until l stands.
func up(t *testing.T, l *Link) *Link {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), linktest.Patience)
	defer cancel()
	if err := l.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	return l
}

func TestConformance(t *testing.T) {
	linktest.Run(t, func(t *testing.T, gw link.Gateway) link.Gateway {
		_, address := listen(t, gw, nil)
		return up(t, connect(t, nil).To("g1", address))
	})
}
