package system

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ramen/frontend"
	"ramen/internal/app"
	"ramen/internal/testapp"
	"ramen/loadtest/slow"
)

// slowServer is a server behind a slow link that the test makes, in network namespaces of its own.
func slowServer(t *testing.T, link slow.Config, change func(*app.Config)) (*server, *slow.Link) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("network namespaces and a TUN device want root")
	}
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		t.Skip("there is no /dev/net/tun: load the module tun, or give the container the device")
	}
	l, err := slow.Open(link)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	cfg := testConfig(t, memory)
	cfg.Listen.Devices, cfg.Listen.DevicesGRPC = slow.NearAddr.String()+":0", slow.NearAddr.String()+":0"
	if change != nil {
		change(&cfg)
	}
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		if strings.HasPrefix(addr, slow.NearAddr.String()+":") {
			return l.Far.Dial(ctx, network, addr)
		}
		return l.Near.Dial(ctx, network, addr) // backends are on the server's side
	}
	s := &server{t: t, cfg: cfg, net: dial, web: &http.Client{Transport: &http.Transport{DialContext: dial}}}
	err = l.Near.Do(func() (err error) {
		s.running, err = testapp.TryStart(cfg)
		return err
	})
	if err != nil {
		t.Fatalf("start: %v", err)
	}
	s.addr = s.running.At
	t.Cleanup(func() {
		s.web.CloseIdleConnections()
		s.end()
	})
	return s, l
}

// events opens an SSE stream over the link and reads its hello.
func events(t *testing.T, s *server, p place) *bufio.Reader {
	t.Helper()
	c, err := s.net(t.Context(), "tcp", s.addr.Devices)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(2 * patience))
	if _, err := io.WriteString(c, handshake("/ramen/receive", p)); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("open: %v %v", resp, err)
	}
	r := bufio.NewReader(resp.Body)
	untilLine(t, r, "event: hello\n")
	untilLine(t, r, "\n")
	return r
}

// untilLine reads up to a line that ends so.
func untilLine(t *testing.T, r *bufio.Reader, end string) {
	t.Helper()
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatalf("wait for %q: %v", end, err)
		}
		if strings.HasSuffix(line, end) {
			return
		}
	}
}

// A connection that is dead, of which no packet says so, is found though the device has no way back: with nothing but
// heartbeats, and with a frame that is partly written. SPEC 2.8
func TestDeadConnectionIsFoundOverSSE(t *testing.T) {
	t.Parallel()
	if d := frontend.Default(); d.Heartbeat+d.Sock.UserTimeout > 30*time.Second {
		t.Errorf("a heartbeat every %v, and %v until it counts as lost, are more than 30s", d.Heartbeat, d.Sock.UserTimeout)
	}
	for _, payload := range []int{0, 60_000} {
		t.Run(fmt.Sprintf("payload of %d", payload), func(t *testing.T) {
			t.Parallel()
			s, link := slowServer(t, slow.Config{RateKbit: 200, RTT: 50 * time.Millisecond, QueueBytes: 10_000}, func(c *app.Config) {
				c.Frontend.Heartbeat, c.Frontend.Sock.UserTimeout = time.Second, 3*time.Second
			})
			r := events(t, s, place{user: "u1", device: "d1"})
			if payload > 0 {
				s.publish(msg{"user": "u1", "payload": strings.Repeat("x", payload)})
				if _, err := r.Peek(1000); err != nil { // its begin
					t.Fatal(err)
				}
			} else {
				untilLine(t, r, "\n") // a heartbeat
			}
			link.Cut()
			until(t, "end of the stream", func() string {
				return same("streams that are gone", s.metric("ramen_frontend_ends_total", `transport="sse"`, `reason="gone"`), 1)
			})
			if n := s.metric("ramen_frontend_ends_total"); n != 1 {
				t.Errorf("%v ends in all", n)
			}
		})
	}
}

// Heartbeats come again behind a frame that takes many of their intervals to write.
func TestHeartbeatsGoOnBehindALongFrame(t *testing.T) {
	t.Parallel()
	s, _ := slowServer(t, slow.Config{RateKbit: 160, RTT: 50 * time.Millisecond, QueueBytes: 10_000}, func(c *app.Config) {
		c.Frontend.Heartbeat = time.Second
	})
	r := events(t, s, place{user: "u1", device: "d1"})
	for range 2 {
		s.publish(msg{"user": "u1", "payload": strings.Repeat("x", 60_000)})
		untilLine(t, r, "\"}\n")
		untilLine(t, r, "\n")
		if line, err := r.ReadString('\n'); err != nil || line != "\n" {
			t.Fatalf("behind the frame came %q, %v, not a heartbeat", line, err)
		}
	}
}

// A high message overtakes what waits for a slow link: little is beyond the point where the next push is chosen. Counted are
// the low messages that the device reads between the publish and the high one.
func TestHighOvertakesLowOnASlowLink(t *testing.T) {
	t.Parallel()
	const lows, highs, most = 60, 3, 8 // of 16 KiB; a kernel that is given all that it takes holds 10 to 16
	for _, transport := range streaming {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			s, _ := slowServer(t, slow.Default(), nil)
			c := s.open(t, transport, place{user: "u1", device: "d1"})
			batch := make([]msg, lows)
			for i := range batch {
				batch[i] = msg{"user": "u1", "priority": "low", "payload": strings.Repeat("x", 16<<10)}
			}
			s.publishAll(batch)
			var came atomic.Int64
			overtook := make(chan int64, highs)
			read := make(chan error, 1)
			go func() { read <- readOvertakes(c, &came, lows, overtook) }()
			var waited []int64
			for i := range highs {
				want := int64(10 + i*14)
				until(t, "low messages that flow", func() string {
					if n := came.Load(); n < want {
						return fmt.Sprintf("%d have come", n)
					}
					return ""
				})
				s.publish(msg{"user": "u1", "priority": "high", "payload": 1})
				at := came.Load()
				n, ok := <-overtook
				if !ok {
					t.Fatalf("a high message did not come before the last low one: %v", <-read)
				}
				waited = append(waited, n-at)
			}
			if err := <-read; err != nil {
				t.Fatal(err)
			}
			t.Logf("low messages before each high one: %v", waited)
			slices.Sort(waited)
			if n := waited[highs/2]; n > most { // not the most: a test that is late itself proves nothing
				t.Errorf("%d low messages came before a high one, which is more than %d", n, most)
			}
		})
	}
}

// readOvertakes reads until all low messages have come, and says before each high one how many have.
func readOvertakes(c *conn, came *atomic.Int64, lows int64, overtook chan<- int64) error {
	defer close(overtook)
	for came.Load() < lows {
		f, err := c.frame()
		if err != nil {
			return err
		}
		if f.Push.Message.Priority.String() == "low" {
			came.Add(1)
		} else {
			overtook <- came.Load()
		}
		if c.transport != "sse" {
			if err := c.ack(f.Push.Seq); err != nil {
				return err
			}
		}
	}
	return nil
}
