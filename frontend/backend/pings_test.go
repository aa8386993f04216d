package backend

import (
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"ramen/frontend/h2/h2test"
	"ramen/frontend/route"
	"ramen/topology"
)

// inSyncTest calls f with a server on a listener in memory, and synctest's clock.
func inSyncTest(t *testing.T, change func(*Config), f func(t *testing.T, s *Server, g *gateway, dial func() net.Conn)) {
	synctest.Test(t, func(t *testing.T) {
		cfg := Default()
		if change != nil {
			change(&cfg)
		}
		g := &gateway{seen: make(map[string]bool)}
		s, err := New(cfg, route.New(route.Default(), topology.NewStatic("one", 1, 16), g), nil, prometheus.NewRegistry())
		if err != nil {
			t.Fatal(err)
		}
		gs := grpc.NewServer(s.GRPCOptions(nil)...)
		s.RegisterGRPC(gs)
		l := h2test.NewListener()
		served := make(chan error, 1)
		go func() { served <- gs.Serve(s.GRPCListener(l)) }()
		f(t, s, g, func() net.Conn {
			c, err := l.Dial()
			if err != nil {
				t.Fatal(err)
			}
			return c
		})
		gs.Stop()
		<-served
		s.Close()
	})
}

// A client may ping every 4 s, with or without a call. SPEC 7.
func TestFix01KeepalivePingsAreBorne(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, _ *Server, _ *gateway, dial func() net.Conn) {
		c := h2test.NewClient(dial(), 1<<16)
		defer c.Close()
		c.Flush()
		for i := range 60 {
			if i == 30 {
				c.Call("/ramen.v1.Backend/PublishStream")
			}
			c.WritePing(false, [8]byte{byte(i)})
			if err := c.Flush(); err != nil || !c.Acks(i+1) {
				t.Fatalf("ping %d was not answered: the connection ended (%v)", i, err)
			}
			time.Sleep(4 * time.Second)
		}
	})
}

// A flood of pings ends its connection.
func TestFix01PingFloodsAreEnded(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, _ *Server, _ *gateway, dial func() net.Conn) {
		c := h2test.NewClient(dial(), 1<<16)
		defer c.Close()
		for range 10_000 {
			c.WritePing(false, [8]byte{})
			if c.Flush() != nil {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		if !c.Calm() {
			t.Error("the connection was not ended with ENHANCE_YOUR_CALM")
		}
	})
}

// A peer that stops within the preface, or before its first frame, holds its connection for some seconds. A call is no part of it.
func TestFix22HalfAPrefaceEndsSoon(t *testing.T) {
	for name, sent := range map[string]string{"nothing": "", "half": "PRI * HTTP/2.0", "no settings": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"} {
		t.Run(name, func(t *testing.T) {
			inSyncTest(t, nil, func(t *testing.T, _ *Server, _ *gateway, dial func() net.Conn) {
				c := dial()
				defer c.Close()
				go c.Write([]byte(sent))
				c.SetReadDeadline(time.Now().Add(10 * time.Second))
				b := make([]byte, 1024)
				for {
					if _, err := c.Read(b); err != nil {
						if e, ok := err.(net.Error); ok && e.Timeout() {
							t.Error("the connection is open after 10 s")
						}
						return
					}
				}
			})
		})
	}
}
