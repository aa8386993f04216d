package system

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"

	"ramen/protocol"
)

// TestFix10EveryRefusalHasAnErrorsBody, on both HTTP ports, whoever refuses: net/http, the door of the devices' port, or a handler.
// SPEC 4.
func TestFix10EveryRefusalHasAnErrorsBody(t *testing.T) {
	t.Parallel()
	s := serve(t, testConfig(t, memory))
	long := strings.Repeat("x", 1<<20+64<<10) // more than either port takes
	for _, request := range []string{
		"hello\r\n\r\n",
		"GET /healthz HTTP/1.1\r\n\r\n",
		"GET /healthz HTTP/1.1\r\nHost: a b\r\n\r\n",
		"GET /healthz HTTP/1.1\r\nHost: evil.example\r\n\r\n",
		"GET /healthz HTTP/3.0\r\nHost: localhost\r\n\r\n",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"GET /ramen/receive?user=u&device=d HTTP/1.1\r\n\r\n",
		"GET /ramen/receive?user=u&device=d HTTP/2.1\r\nHost: localhost\r\n\r\n",
		"GET /ramen/receive?user=u&device=%zz HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: x\r\n\r\n",
		"GET /ramen/receive?user=u&device=d HTTP/1.1\r\nHost: localhost\r\nX Y: z\r\n\r\n",
		"GET /ramen/ws?user=u&device=d HTTP/1.1\r\nHost: localhost\r\nA: " + long + "\r\n\r\n",
		"GET /" + long + " HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"POST /ramen/ack HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
		"POST /v1/publish HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n",
		"POST /v1/publish HTTP/1.1\r\nHost: localhost\r\nExpect: wonders\r\nContent-Length: 2\r\n\r\n{}",
		"GET * HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost:80\r\n\r\n",
		"GET //healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"GET /a/../healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"GET /healthz/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"BREW /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
	} {
		for _, addr := range []string{s.addr.Devices, s.addr.Backends} {
			c := raw(t, addr, "")
			go io.WriteString(c, request) // it may be cut off
			name := strings.ReplaceAll(request[:min(len(request), 70)], "\r\n", " ")
			resp, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			body, err := io.ReadAll(resp.Body)
			e, bad := errorOf(string(body))
			if err != nil || bad != nil || resp.StatusCode < 400 || resp.Header.Get("Content-Type") != "application/json" || e.Code == "" || e.Message == "" {
				t.Errorf("%s: %s %v %s %v %v", name, resp.Status, resp.Header, body, err, bad)
			}
			if strings.Count(e.Message, e.Code+":") > 0 {
				t.Errorf("%s: the message repeats the code: %s", name, body)
			}
			c.Close()
		}
	}
}

// TestFix10EndsSayTheirReasonOnce: the detail of an end is what was wrong, without the reason that stands beside it.
func TestFix10EndsSayTheirReasonOnce(t *testing.T) {
	t.Parallel()
	s := serve(t, testConfig(t, memory))
	for _, transport := range twoWay {
		for _, f := range []protocol.DeviceFrame{
			{Kind: protocol.FrameAck, Seq: 99}, {Kind: protocol.FrameAck, Cursor: "forged"}, {Kind: protocol.FrameAck, Cursor: "no/cursor"},
			{Kind: protocol.FrameRefresh, Context: &protocol.DeviceContext{App: strings.Repeat("a", 2000)}},
		} {
			c := s.open(t, transport, place{user: "u", device: transport})
			if err := c.send(f); err != nil {
				t.Fatal(err)
			}
			expectEnd(t, transport, c.end(), "invalid_argument") // looks at it
		}
	}
}

// TestFix22LengthBesideCodingEndsTheConnection on both HTTP ports. RFC 9112 6.1.
func TestFix22LengthBesideCodingEndsTheConnection(t *testing.T) {
	t.Parallel()
	s := serve(t, testConfig(t, memory))
	for addr, path := range map[string]string{s.addr.Devices: "/ramen/ack?user=u&device=d&cursor=k", s.addr.Backends: "/v1/publish"} {
		for length, closes := range map[string]bool{"": false, "Content-Length: 5\r\n": true} {
			c := raw(t, addr, "POST "+path+" HTTP/1.1\r\nHost: localhost\r\n"+length+"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
			r := bufio.NewReader(c)
			resp, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatal(err)
			}
			io.Copy(io.Discard, resp.Body)
			if resp.StatusCode != 400 || resp.Close != closes {
				t.Errorf("%s with %q: %s, %v", path, length, resp.Status, resp.Header)
			}
			if _, err := http.ReadResponse(r, nil); (err != nil) != closes {
				t.Errorf("%s with %q: behind it %v", path, length, err)
			}
		}
	}
}
