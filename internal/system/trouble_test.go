package system

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
)

// raw opens a TCP connection with a small receive buffer and sends text.
func raw(t *testing.T, addr, text string) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	tcp := c.(*net.TCPConn)
	t.Cleanup(func() { tcp.Close() })
	_ = tcp.SetReadBuffer(4096)
	if err := tcp.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(tcp, text); err != nil {
		t.Fatal(err)
	}
	return tcp
}

// handshake is the head of a request for a stream.
func handshake(path string, p place) string {
	head := "GET " + path + "?" + p.query().Encode() + " HTTP/1.1\r\nHost: localhost\r\n"
	if path == "/ramen/ws" {
		head += "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	}
	return head + "\r\n"
}

func heap() int {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// Devices that never read cost the server little, are cut off in the end, and hold up nobody; what they were for waits.
func TestDevicesThatNeverRead(t *testing.T) { // alone: it measures memory
	cfg := testConfig(t, memory)
	cfg.Frontend.TooSlow = 2 * time.Second
	cfg.Frontend.Sock.SendBuffer = 8192
	s := serve(t, cfg)
	const stuck, n = 48, 300
	batch := make([]msg, 50)
	payload := strings.Repeat("x", 16<<10)
	healthy := map[string]*conn{}
	for _, transport := range streaming {
		healthy[transport] = s.open(t, transport, place{user: "u1", device: transport})
	}
	for i := range stuck {
		path := []string{"/ramen/receive", "/ramen/ws"}[i%2]
		raw(t, s.addr.Devices, handshake(path, place{user: "u1", device: fmt.Sprint("stuck-", i), heartbeatMS: 60000}))
	}
	until(t, "streams", func() string { return same("devices", len(s.devices("u1")), stuck+4) })
	before := heap()
	for k := range n / len(batch) {
		for i := range batch {
			batch[i] = msg{"user": "u1", "id": fmt.Sprint(k, "-", i), "payload": payload}
		}
		s.publishAll(batch)
		for transport, c := range healthy {
			got := c.ids(len(batch))
			if got[0] != fmt.Sprint(k, "-0") {
				t.Fatalf("%s: got %v", transport, got[0])
			}
			c.ackAll()
		}
	}
	// The mailbox itself is n payloads; beside it each stuck device may hold its credit.
	if grown := heap() - before; grown > n*20<<10+stuck*256<<10+16<<20 {
		t.Errorf("the heap has grown by %d MiB", grown>>20)
	}
	until(t, "end of the stuck", func() string {
		return same("too slow", s.metric("ramen_frontend_ends_total", `reason="too_slow"`), stuck)
	})
	for transport := range healthy {
		if d := s.devices("u1")[transport]; !d.Online {
			t.Errorf("%s: the list says %+v", transport, d)
		}
	}
	c := s.open(t, "ws-proto", place{user: "u1", device: "stuck-0"})
	c.push()
	if !c.last.Redelivered || string(c.last.Message.ID) != "0-0" {
		t.Errorf("one that comes back is pushed %+v", c.last)
	}
	s.checkLedger()
}

// Who connects and says nothing, or half of it, is let go.
func TestSilentConnectionsAreClosed(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t, memory)
	cfg.Frontend.OpenTimeout = 300 * time.Millisecond
	cfg.Frontend.ReadHeaderTimeout = 300 * time.Millisecond
	s := serve(t, cfg)
	for name, c := range map[string]*net.TCPConn{
		"nothing":             raw(t, s.addr.Devices, ""),
		"half a request":      raw(t, s.addr.Devices, "GET /ramen/receive?us"),
		"half a preface":      raw(t, s.addr.DevicesGRPC, "PRI * HT"),
		"nothing on gRPC":     raw(t, s.addr.DevicesGRPC, ""),
		"a slow preface only": raw(t, s.addr.DevicesGRPC, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
	} {
		if _, err := io.Copy(io.Discard, c); errors.Is(err, errTimeout(err)) {
			t.Errorf("%s: the connection is still open", name)
		}
	}
	d, err := s.rawGRPC("")
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	_, err = d.next()
	var e *ending
	if !errors.As(err, &e) || e.code == nil || *e.code != codes.InvalidArgument {
		t.Errorf("a stream without open: %v", err)
	}
	if n := s.metric("ramen_frontend_streams"); n != 0 {
		t.Errorf("%v streams are counted", n)
	}
	s.checkLedger()
}

// errTimeout is err where it is a time-out, else nil's stand-in.
func errTimeout(err error) error {
	var n net.Error
	if errors.As(err, &n) && n.Timeout() {
		return err
	}
	return io.ErrNoProgress
}

// Garbage on any port ends its connection at most.
func TestGarbageHarmsNobody(t *testing.T) {
	t.Parallel()
	s := serve(t, testConfig(t, memory))
	c := s.open(t, "ws-json", place{user: "u1", device: "d1"})
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 2))
	for _, addr := range []string{s.addr.Devices, s.addr.DevicesGRPC, s.addr.Backends, s.addr.BackendsGRPC} {
		for _, begin := range []string{
			"", "GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n", "POST /v1/publish HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n{", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\x16\x03\x01\x02\x00",
			"POST /v1/publish HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n", handshake("/ramen/ws", place{user: "g", device: "g"}), handshake("/ramen/receive", place{user: "g", device: "h"}),
		} {
			garbage := make([]byte, 512+r.IntN(8192))
			for i := range garbage {
				garbage[i] = byte(r.Uint32())
			}
			x := raw(t, addr, begin)
			_, _ = x.Write(garbage) // it may be refused by then
			_ = x.SetLinger(0)
			x.Close()
		}
	}
	s.publish(msg{"user": "u1"})
	c.push()
	c.ackAll()
	s.untilWaiting("u1", 0)
	until(t, "the streams of garbage", func() string { return same("streams", s.metric("ramen_frontend_streams"), 1) })
	if t.Failed() {
		t.Logf("seed %d", seed)
	}
	s.checkLedger()
}

// Half a frame is waited for; one that claims a gigabyte is refused before it is read.
func TestHalfFramesAndHugeClaims(t *testing.T) {
	t.Parallel()
	s := serve(t, testConfig(t, memory))
	s.publishAll(numbered("u1", "m", 1))
	begin := func(device string) (*net.TCPConn, *bufio.Reader) {
		c := raw(t, s.addr.Devices, handshake("/ramen/ws", place{user: "u1", device: device}))
		r := bufio.NewReader(c)
		resp, err := http.ReadResponse(r, nil)
		if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
			t.Fatalf("%v, %v", resp, err)
		}
		return c, r
	}
	c, _ := begin("half")
	frame := []byte{0x81, 0x80 | 15, 0, 0, 0, 0}
	frame = append(frame, `{"ack":{"seq":1}}`[:15]...)
	frame[1] = 0x80 | 17
	frame = append(frame, "}}"...)
	for i := range frame {
		if _, err := c.Write(frame[i : i+1]); err != nil {
			t.Fatal(err)
		}
	}
	s.untilPending("u1", "half", 0)

	for name, head := range map[string][]byte{
		"1 GiB":     {0x82, 0x80 | 127, 0, 0, 0, 0, 0x40, 0, 0, 0, 1, 2, 3, 4},
		"8 EiB":     {0x81, 0x80 | 127, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4},
		"64 KiB +1": {0x81, 0x80 | 127, 0, 0, 0, 0, 0, 1, 0, 1, 1, 2, 3, 4},
		"unmasked":  {0x81, 2, '{', '}'},
		"reserved":  {0x83, 0x80, 0, 0, 0, 0},
	} {
		c, r := begin("claims")
		before := heap()
		if _, err := c.Write(head); err != nil {
			t.Fatal(err)
		}
		rest, err := io.ReadAll(r)
		code := 1009
		if name == "unmasked" || name == "reserved" {
			code = 1002
		}
		want := []byte{0x88, 0, byte(code >> 8), byte(code)}
		at := bytes.LastIndexByte(rest, 0x88)
		if at < 0 || at+4 > len(rest) || rest[at+2] != want[2] || rest[at+3] != want[3] {
			t.Errorf("%s: closed with %q, %v, want the code %d", name, rest, err, code)
		}
		if grown := heap() - before; grown > 256<<20 {
			t.Errorf("%s: the heap has grown by %d MiB", name, grown>>20)
		}
	}
	s.checkLedger()
}

// A connection that is reset in the middle of its pushes loses nothing, and is gone at once.
func TestResetInTheMiddle(t *testing.T) {
	matrixOf(t, []string{"sse", "ws-json"}, stores, nil, func(t *testing.T, s *server, open opener) {
		batch := numbered("u1", "m", 200)
		for i := range batch {
			batch[i]["payload"] = strings.Repeat("x", 8<<10)
		}
		s.publishAll(batch)
		path := map[string]string{"sse": "/ramen/receive", "ws-json": "/ramen/ws"}[transportOf(t)]
		p := place{user: "u1", device: "d1"}
		for range 5 {
			c := raw(t, s.addr.Devices, handshake(path, p))
			if _, err := io.CopyN(io.Discard, c, 20<<10); err != nil {
				t.Fatal(err)
			}
			_ = c.SetLinger(0)
			c.Close()
			s.untilOffline("u1", "d1")
		}
		c := open(p)
		got := c.ids(100)
		c.ackAll()
		equal(t, "after resets", append(got, c.ids(100)...), ordered(batch))
		c.ackAll()
		s.untilWaiting("u1", 0)
	})
}
