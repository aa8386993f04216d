package frontend

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/url"
	"testing"
	"time"

	"google.golang.org/grpc/metadata"

	"ramen/protocol"
	"ramen/protocol/ramenpb"
)

// TestFix02ForeignAuthorizationHidesNoToken: a browser adds Basic or Negotiate by itself behind a proxy's login. Only a Bearer
// header wins over the parameter, wherever it stands.
func TestFix02ForeignAuthorizationHidesNoToken(t *testing.T) {
	b := newBench(t, func(_ *Config, d *Deps) { d.Tokens = someTokens() })
	for _, c := range []struct {
		name   string
		token  string
		header []string
		status int
	}{
		{"basic", "u", []string{"Basic dTpw"}, 200},
		{"negotiate", "u", []string{"Negotiate"}, 200},
		{"digest", "u", []string{`Digest username="u", realm="r"`}, 200},
		{"empty", "u", []string{""}, 200},
		{"bearer wins", "bad", []string{"Bearer u"}, 200},
		{"bearer behind basic wins", "bad", []string{"Basic dTpw", "bearer u"}, 200},
		{"bearer before basic wins", "bad", []string{"Bearer u", "Basic dTpw"}, 200},
		{"bad bearer wins", "u", []string{"Bearer bad"}, 401},
		{"bad bearer behind basic wins", "u", []string{"Basic dTpw", "Bearer bad"}, 401},
		{"bearer without a token", "u", []string{"Bearer"}, 401},
		{"basic alone", "", []string{"Basic dTpw"}, 401},
	} {
		head := " HTTP/1.1\r\nHost: localhost\r\n"
		for _, h := range c.header {
			head += "Authorization: " + h + "\r\n"
		}
		query := url.Values{"device": {"d"}, "wait": {"0"}, "token": {c.token}}.Encode()
		for _, path := range []string{"/ramen/receive", "/ramen/poll"} {
			if got := b.rawStatus(t, "GET "+path+"?"+query+head+"\r\n"); got != c.status {
				t.Errorf("%s: %s answered %d, not %d", c.name, path, got, c.status)
			}
		}
		if got := b.rawStatus(t, "POST /ramen/ack?cursor=k&"+query+head+"\r\n"); (got == 401) != (c.status == 401) { // 400: no push had it
			t.Errorf("%s: ack answered %d", c.name, got)
		}
		socket := "GET /ramen/ws?" + query + head + "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
		if hello := b.socketGreets(t, socket); hello != (c.status == 200) {
			t.Errorf("%s: WebSocket greeted: %v", c.name, hello)
		}
		if hello := b.rpcGreets(t, c.token, c.header); hello != (c.status == 200) {
			t.Errorf("%s: gRPC greeted: %v", c.name, hello)
		}
	}
}

// rawStatus is the status of the answer to a request's bytes.
func (b *bench) rawStatus(t *testing.T, request string) int {
	t.Helper()
	c := dialTCP(t, b)
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	resp, _ := dialRaw(t, c, request)
	return resp.StatusCode
}

// socketGreets reports whether the first frame behind a handshake is text: hello, and no close frame.
func (b *bench) socketGreets(t *testing.T, handshake string) bool {
	t.Helper()
	c := dialTCP(t, b)
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	var resp *http.Response
	var r *bufio.Reader
	if resp, r = dialRaw(t, c, handshake); resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("handshake is answered %s", resp.Status)
	}
	first, err := r.ReadByte()
	if err != nil {
		t.Fatal(err)
	}
	return first == 0x81
}

func (b *bench) rpcGreets(t *testing.T, token string, header []string) bool {
	t.Helper()
	g := newRPC(b)
	defer g.close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	md := metadata.MD{}
	md.Append("authorization", header...)
	s, err := ramenpb.NewDevicesClient(g.conn).Stream(metadata.NewOutgoingContext(ctx, md))
	if err != nil {
		t.Fatal(err)
	}
	g.stream = s
	g.say(&protocol.DeviceFrame{Kind: protocol.FrameOpen, Open: protocol.OpenFrame{Device: "d", Token: token}})
	f, err := g.next()
	if err != nil && err != io.EOF {
		t.Fatal(err)
	}
	return f.Kind == protocol.ServerHello
}
