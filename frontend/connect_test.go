package frontend

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"ramen/frontend/request"
	"ramen/frontend/sock"
	"ramen/link"
	"ramen/protocol"
)

// heads are the requests of BenchmarkConnect and of the count of allocations.
var plainHeads = map[string]string{
	"sse": "GET /ramen/receive?user=user-7&device=device-7&app=rider HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer abc.def.ghi\r\nAccept: text/event-stream\r\n\r\n",
	"ws": "GET /ramen/ws?user=user-7&device=device-7&app=rider HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer abc.def.ghi\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Protocol: ramen.v1.json\r\n\r\n",
}

// bareClient connects without package net, so that what a test counts is the server's.
type bareClient struct {
	at   syscall.SockaddrInet4
	head []byte
	buf  [1024]byte
}

func newBareClient(tb testing.TB, addr, head string) *bareClient {
	at, err := netip.ParseAddrPort(addr)
	if err != nil {
		tb.Fatal(err)
	}
	return &bareClient{at: syscall.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}, head: []byte(head)}
}

// connect opens a stream, waits for its hello, and resets the connection.
func (c *bareClient) connect(tb testing.TB) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err == nil {
		err = syscall.Connect(fd, &c.at)
	}
	if err == nil {
		_, err = syscall.Write(fd, c.head)
	}
	if err != nil {
		tb.Fatal(err)
	}
	if n, err := syscall.Read(fd, c.buf[:]); n < 100 || err != nil {
		tb.Fatalf("%q %v", c.buf[:max(n, 0)], err)
	}
	syscall.SetsockoptLinger(fd, syscall.SOL_SOCKET, syscall.SO_LINGER, &syscall.Linger{Onoff: 1})
	syscall.Close(fd)
}

// A connect allocates what its stream keeps, and little else: in a storm of connects the collector is what takes the time.
func TestConnectAllocatesLittle(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("raw accept is for Linux alone")
	}
	for name, most := range map[string]float64{"sse": 18, "ws": 20} {
		b := newBench(t, func(_ *Config, d *Deps) { d.Router = &keeper{} })
		c := newBareClient(t, b.plain, plainHeads[name])
		n := testing.AllocsPerRun(300, func() { c.connect(t) })
		t.Logf("%s: %.1f allocations a connect and its end", name, n)
		if n > most {
			t.Errorf("%s: %.1f allocations a connect and its end, not at most %.0f", name, n, most)
		}
	}
}

// wroteTo is a connection that counts its writes.
type wroteTo struct {
	sock.Conn // none
	mu        sync.Mutex
	writes    []string
	err       error
}

func (c *wroteTo) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writes = append(c.writes, string(b))
	return 0, c.err
}

func (c *wroteTo) Shutdown() {}
func (c *wroteTo) Close()    {}

func (c *wroteTo) Attach(sock.Handler) (sock.Conn, error) { return c, nil }

// What waits for a device goes out in the same write as its hello; a hello that nothing follows does not wait for it.
func TestHelloAndWhatWaitsAreOneWrite(t *testing.T) {
	for _, c := range []struct {
		name    string
		waiting int
		dropped bool // the gateway says that something is pending, and then nothing is
	}{{"nothing", 0, false}, {"three", 3, false}, {"gone", 3, true}} {
		t.Run(c.name, func(t *testing.T) {
			g := newGateway()
			b := newBench(t, func(_ *Config, d *Deps) {
				d.Router = g
				if c.dropped {
					d.Router = forgetful{g}
				}
			})
			if c.waiting > 0 {
				g.publish("u", "d", c.waiting, `1`)
			}
			conn := new(wroteTo)
			head := &request.Head{Query: "user=u&device=d"}
			b.s.events.ServeRaw(t.Context(), nil, conn, head, netip.Addr{})
			pushes := c.waiting
			if c.dropped {
				pushes = 0
			}
			// hello has an id too.
			conn.mu.Lock()
			defer conn.mu.Unlock()
			if len(conn.writes) != 1 || strings.Count(conn.writes[0], "id: k-u.d-") != 1+pushes || !strings.HasPrefix(conn.writes[0], "HTTP/1.1 200 OK\r\n") {
				t.Errorf("%d writes: %q", len(conn.writes), conn.writes)
			}
		})
	}
}

// forgetful is a gateway of which nothing comes.
type forgetful struct{ *gateway }

func (f forgetful) Open(ctx context.Context, limit time.Duration, o link.Open, r link.Receiver) (link.Stream, link.Opened, error) {
	lk, opened, err := f.gateway.Open(ctx, limit, o, r)
	return mute{lk}, opened, err
}

type mute struct{ link.Stream }

func (mute) Credit(int) {}

// Without raw accept and epoll, everything is served the same.
func TestPortableAcceptServesTheSame(t *testing.T) {
	b := newBench(t, func(c *Config, _ *Deps) { c.Sock.Portable = true })
	for name, dial := range map[string]func(*bench, url.Values) device{"sse": dialSSE, "json": dialJSON, "proto": dialProto} {
		b.g.publish("u", name, 2, `1`)
		d := dial(b, asking("u", name))
		want(t, d, protocol.ServerHello)
		wantPushes(t, d, 0, 2)
		b.g.publish("u", name, 1, `1`)
		wantPushes(t, d, 2, 1)
	}
	if resp, _ := b.get("/healthz", ""); resp.StatusCode != http.StatusOK {
		t.Error(resp.Status)
	}
}

// A connection that comes and says nothing, or ends at once, costs no stream and holds up nobody.
func TestSilentConnectionsAreClosed(t *testing.T) {
	b := newBench(t, func(c *Config, _ *Deps) { c.ReadHeaderTimeout = 300 * time.Millisecond })
	silent := dialTCP(t, b)
	part := dialTCP(t, b)
	fmt.Fprint(part, "GET /ramen/receive?user=u&device=d HTTP/1.1\r\nHo")
	gone := dialTCP(t, b)
	gone.CloseWrite()
	want(t, dialSSE(b, asking("u", "d")), protocol.ServerHello)
	for name, c := range map[string]net.Conn{"silent": silent, "part": part, "gone": gone} {
		c.SetReadDeadline(time.Now().Add(20 * time.Second))
		if _, err := c.Read(make([]byte, 1)); err == nil || strings.Contains(err.Error(), "timeout") {
			t.Errorf("%s: it is still open: %v", name, err)
		}
	}
}
