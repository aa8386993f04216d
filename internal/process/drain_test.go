package process

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"ramen/clients/go/wire"
	"ramen/protocol"
)

// publish asks for a publish over HTTP and answers the body.
func publish(t testing.TB, s *server, body string) string {
	t.Helper()
	resp, err := client.Post("http://"+s.at.backends+"/v1/publish", "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var b bytes.Buffer
	if _, err := io.Copy(&b, resp.Body); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// dial opens a stream of user alice and returns it with its hello read.
func dial(t testing.TB, s *server, transport wire.Transport, device string) wire.Conn {
	t.Helper()
	d := wire.Dialer{URL: "http://" + s.at.devices, GRPC: s.at.devicesGRPC, Wait: 30 * time.Second}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, err := d.Dial(ctx, transport, &protocol.OpenFrame{User: "alice", Device: protocol.DeviceID(device)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if f := next(t, conn); f.Kind != protocol.ServerHello {
		t.Fatalf("%s: the first frame is %v, not hello", transport, f.Kind)
	}
	return conn
}

// next is the next frame that is no heartbeat; it fails the test where the stream has ended.
func next(t testing.TB, conn wire.Conn) protocol.ServerFrame {
	t.Helper()
	late := time.AfterFunc(patience, func() { conn.Close() })
	defer late.Stop()
	for {
		var f protocol.ServerFrame
		if err := conn.Next(&f); err != nil {
			t.Fatal(err)
		}
		if f.Kind != protocol.ServerHeartbeat {
			return f
		}
		_ = conn.Echo(f.TimeMS)
	}
}

// TestSignalsDrain ends the process in order, by either signal: each stream is told, pushed to until it ends, and ended; the exit
// status is 0; what was accepted is there after the restart. SPEC 2.12.
func TestSignalsDrain(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run(sig.String(), func(t *testing.T) {
			data := t.TempDir()
			flags := append(anyPorts.flags(), "--dev", "--data", data, "--frontend.drain-time", "1s")
			s := start(t, flags...)
			conns := make(map[wire.Transport]wire.Conn)
			for _, transport := range []wire.Transport{wire.WSProto, wire.WSJSON, wire.GRPC, wire.SSE} {
				conns[transport] = dial(t, s, transport, string(transport))
			}
			if got := publish(t, s, `{"user":"alice","id":"waits","payload":"after the restart"}`); !strings.Contains(got, "accepted") {
				t.Fatal(got)
			}
			s.Signal(t, sig)
			var streams sync.WaitGroup
			for transport, conn := range conns {
				streams.Go(func() { awaitDrain(t, transport, conn) })
			}
			streams.Wait()
			if status := s.Wait(t); status != 0 {
				t.Errorf("exit status %d, not 0", status)
			}
			again := start(t, flags...)
			for transport := range conns {
				conn := dial(t, again, transport, string(transport))
				if f := next(t, conn); f.Kind != protocol.ServerPush || f.Push.Message.ID != "waits" {
					t.Errorf("%s: after the restart comes %+v", transport, f)
				}
			}
		})
	}
}

// awaitDrain reads a stream to its end: a push, goaway drain, the end.
func awaitDrain(t *testing.T, transport wire.Transport, conn wire.Conn) {
	var kinds []protocol.ServerFrameKind
	for {
		var f protocol.ServerFrame
		err := conn.Next(&f)
		var end *wire.EndError
		if errors.As(err, &end) {
			if len(kinds) != 2 || kinds[0] != protocol.ServerPush || kinds[1] != protocol.ServerGoAway {
				t.Errorf("%s: frames %v before %v", transport, kinds, err)
			}
			return
		}
		switch f.Kind {
		case protocol.ServerHeartbeat:
			_ = conn.Echo(f.TimeMS)
			continue
		case protocol.ServerGoAway:
			if f.GoAway.Reason != protocol.ReasonDrain || f.GoAway.ReconnectMS == 0 {
				t.Errorf("%s: goaway %+v", transport, f.GoAway)
			}
		}
		kinds = append(kinds, f.Kind)
	}
}

// TestDrainTellsLoadBalancers shows that /readyz falls while /healthz stands.
func TestDrainTellsLoadBalancers(t *testing.T) {
	s := start(t, append(anyPorts.flags(), "--dev", "--data", t.TempDir(), "--frontend.drain-time", "10s")...)
	dial(t, s, wire.WS, "phone") // holds the drain
	if status, body := s.get(t, "/readyz"); status != http.StatusOK {
		t.Fatalf("/readyz is %d %s", status, body)
	}
	s.Signal(t, syscall.SIGTERM)
	s.Err.AwaitText(t, "shutting down")
	for {
		status, body := s.get(t, "/readyz")
		if status == http.StatusServiceUnavailable && strings.Contains(body, "drain") {
			break
		}
	}
	if status, _ := s.get(t, "/healthz"); status != http.StatusOK {
		t.Errorf("/healthz is %d while draining", status)
	}
}

// TestASecondSignalEndsAtOnce: one who presses twice does not want to wait for the drain.
func TestASecondSignalEndsAtOnce(t *testing.T) {
	data := t.TempDir()
	s := start(t, append(anyPorts.flags(), "--dev", "--data", data, "--frontend.drain-time", "10m", "--shutdown-time", "11m")...)
	conn := dial(t, s, wire.WS, "phone")
	if got := publish(t, s, `{"user":"alice","id":"waits","payload":1}`); !strings.Contains(got, "accepted") {
		t.Fatal(got)
	}
	s.Signal(t, syscall.SIGINT)
	for next(t, conn).Kind != protocol.ServerGoAway { // the first signal was understood
	}
	s.Signal(t, syscall.SIGINT)
	if status := s.Wait(t); status == 0 {
		t.Error("exit status 0 of an end that was forced")
	}
	again := start(t, append(anyPorts.flags(), "--dev", "--data", data)...)
	if _, body := again.get(t, "/v1/users/alice/messages"); !strings.Contains(body, `"waits"`) {
		t.Errorf("what was accepted is gone: %s", body)
	}
}
