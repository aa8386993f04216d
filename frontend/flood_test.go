package frontend

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"ramen/protocol"
	"ramen/protocol/ramenpb"
)

// A device that is cut off while what it sent with its handshake is read: the Reader is one goroutine's at a time.
func TestSocketCutWhileItsFirstBytesAreRead(t *testing.T) {
	b := newBench(t, nil)
	early := masked(0x01, `{"ack":`) // a fragment: the Reader holds it until the end
	for i := range 300 {
		c := dialTCP(t, b)
		var w strings.Builder
		fmt.Fprintf(&w, "GET /ramen/ws?user=u&device=d%d HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n", i)
		w.Write(early)
		for range 200 {
			w.Write(masked(0x80, "")[:2]) // garbage behind it, or more of it
		}
		io.WriteString(c, w.String())
		c.SetLinger(0)
		c.Close()
	}
	b.until("all are gone", func() bool { return b.g.streams == 0 })
}

// A body that does not come holds a connection no longer than a head that does not.
func TestBodyThatNeverComesIsNotWaitedFor(t *testing.T) {
	b := newBench(t, func(c *Config, _ *Deps) { c.ReadHeaderTimeout = 200 * time.Millisecond })
	for name, head := range map[string]string{
		"ack":     "POST /ramen/ack?user=u&device=d&cursor=k-u.d-0 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nab",
		"chunks":  "POST /ramen/ack?user=u&device=d&cursor=k-u.d-0 HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
		"poll":    "GET /ramen/poll?user=u&device=p&wait=0 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nab",
		"nothing": "POST /nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nab",
	} {
		c := dialTCP(t, b)
		c.SetDeadline(time.Now().Add(5 * time.Second))
		resp, r := dialRaw(t, c, head)
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := r.ReadByte(); err == nil || strings.Contains(err.Error(), "timeout") {
			t.Errorf("%s: the connection is still open: %v", name, err)
		}
	}
}

// One connection of a hostile peer opens a bounded number of gRPC streams, with heads of a bounded size.
func TestGRPCConnectionIsBounded(t *testing.T) {
	b := newBench(t, func(c *Config, _ *Deps) { c.GRPCStreams = 3 })
	c, err := grpc.NewClient(b.grpc, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.ForceCodecV2(newRawCodec())))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	devices := ramenpb.NewDevicesClient(c)
	for i := range 3 {
		s, err := devices.Stream(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		g := &rpc{tb: t, stream: s, conn: c}
		g.say(&protocol.DeviceFrame{Kind: protocol.FrameOpen, Open: openFrame(t, asking("u", fmt.Sprint("d", i)))})
		want(t, g, protocol.ServerHello)
	}
	soon, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if s, err := devices.Stream(soon); err == nil {
		if err = s.RecvMsg(&rawIn{}); status.Code(err) != codes.DeadlineExceeded {
			t.Errorf("a fourth stream: %v", err)
		}
	}

	g := newRPC(b)
	s, err := ramenpb.NewDevicesClient(g.conn).Stream(metadata.AppendToOutgoingContext(t.Context(), "x", strings.Repeat("x", 64<<10)))
	if err == nil {
		err = s.RecvMsg(&rawIn{})
	}
	if c := status.Code(err); c == codes.OK || c == codes.DeadlineExceeded {
		t.Errorf("a head of 64 KiB: %v", err)
	}
}

// What is served before net/http is served as net/http would: a request in the same bytes behind another one is net/http's.
func TestAcceptAndNetHTTPAgree(t *testing.T) {
	b := newBench(t, func(c *Config, _ *Deps) { c.Origins = []string{"*"} })
	for name, head := range map[string]string{
		"plain":           "GET /ramen/receive?user=u&device=D HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"no device":       "GET /ramen/receive?user=u HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"escapes":         "GET /ramen/receive?user=u&device=%44 HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"bad escape":      "GET /ramen/receive?user=u&device=%4 HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"lower case":      "GET /ramen/receive?user=u&device=D HTTP/1.1\r\nhost: ramen\r\nlast-event-id: k-u.D-0\r\n\r\n",
		"bad cursor":      "GET /ramen/receive?user=u&device=D HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: a b\r\n\r\n",
		"no host":         "GET /ramen/receive?user=u&device=D HTTP/1.1\r\n\r\n",
		"two hosts":       "GET /ramen/receive?user=u&device=D HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
		"bad host":        "GET /ramen/receive?user=u&device=D HTTP/1.1\r\nHost: a b\r\n\r\n",
		"control":         "GET /ramen/receive?user=u&device=D HTTP/1.1\r\nHost: localhost\r\nOrigin: a\x01b\r\n\r\n",
		"bare cr":         "GET /ramen/receive?user=u&device=D HTTP/1.1\r\nHost: localhost\r\nOrigin: a\rX: b\r\n\r\n",
		"bad name":        "GET /ramen/receive?user=u&device=D HTTP/1.1\r\nHost: localhost\r\nX Y: b\r\n\r\n",
		"space colon":     "GET /ramen/receive?user=u&device=D HTTP/1.1\r\nHost: localhost\r\nX : b\r\n\r\n",
		"no colon":        "GET /ramen/receive?user=u&device=D HTTP/1.1\r\nHost: localhost\r\nX\r\n\r\n",
		"fold":            "GET /ramen/receive?user=u&device=D HTTP/1.1\r\nHost: localhost\r\nX: a\r\n b\r\n\r\n",
		"fold first":      "GET /ramen/receive?user=u&device=D HTTP/1.1\r\n Host: localhost\r\n\r\n",
		"1.0":             "GET /ramen/receive?user=u&device=D HTTP/1.0\r\n\r\n",
		"2.0":             "GET /ramen/receive?user=u&device=D HTTP/2.0\r\nHost: localhost\r\n\r\n",
		"0.9":             "GET /ramen/receive?user=u&device=D\r\nHost: localhost\r\n\r\n",
		"two spaces":      "GET /ramen/receive?user=u&device=D  HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"space inside":    "GET /ramen/receive?user=u&dev ice=D HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"length":          "GET /ramen/receive?user=u&device=D HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc",
		"no length":       "GET /ramen/receive?user=u&device=D HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n",
		"two lengths":     "GET /ramen/receive?user=u&device=D HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
		"bad length":      "GET /ramen/receive?user=u&device=D HTTP/1.1\r\nHost: localhost\r\nContent-Length: +0\r\n\r\n",
		"chunked":         "GET /ramen/receive?user=u&device=D HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"identity":        "GET /ramen/receive?user=u&device=D HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: identity\r\n\r\n",
		"expect":          "GET /ramen/receive?user=u&device=D HTTP/1.1\r\nHost: localhost\r\nExpect: wonders\r\n\r\n",
		"bare lf":         "GET /ramen/receive?user=u&device=D HTTP/1.1\nHost: localhost\n\n",
		"bare lf, more":   "GET /ramen/receive?user=u HTTP/1.1\nHost: localhost\n\nGET /ramen/receive?user=u&device=D HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"mixed ends":      "GET /ramen/receive?user=u&device=D HTTP/1.1\nHost: localhost\r\n\r\n",
		"two bearers":     "GET /ramen/receive?user=u&device=D HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n",
		"absolute":        "GET http://other/ramen/receive?user=u&device=D HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"no handshake":    "GET /ramen/ws?user=u&device=D HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"handshake":       "GET /ramen/ws?user=u&device=D HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n",
		"old handshake":   "GET /ramen/ws?user=u&device=D HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 8\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n",
		"bad subprotocol": "GET /ramen/ws?user=u&device=D HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Protocol: other\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			device := strings.ReplaceAll(strings.ReplaceAll(name, " ", "-"), ",", "")
			early := answerTo(t, b, "", strings.Replace(head, "device=D", "device=a-"+device, 1))
			other := answerTo(t, b, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", strings.Replace(head, "device=D", "device=b-"+device, 1))
			if early != other {
				t.Errorf("package accept answers\n%s\nand net/http\n%s", early, other)
			}
		})
	}
}

// answerTo is what head is answered, behind first: the status, and what matters of the headers and the body.
func answerTo(t *testing.T, b *bench, first, head string) string {
	t.Helper()
	c := dialTCP(t, b)
	c.SetDeadline(time.Now().Add(10 * time.Second))
	r := bufio.NewReader(c)
	if first != "" {
		io.WriteString(c, first)
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
	}
	io.WriteString(c, head)
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		return "nothing"
	}
	said := fmt.Sprintln(resp.StatusCode, resp.Header.Get("Content-Type"), resp.Header.Get("Access-Control-Allow-Origin"), resp.Header.Get("Vary"))
	if resp.Header.Get("Content-Type") == "application/json" {
		body, _ := io.ReadAll(resp.Body)
		said += string(body)
	}
	return said
}
