package ws

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

const patience = 30 * time.Second

// upgraded is a connection after its handshake, on the server.
type upgraded struct {
	c   net.Conn
	n   Negotiated
	err error
}

// serve upgrades every request with cfg; refusals are answered.
func serve(t *testing.T, cfg Config, origin func(*http.Request) bool) (url string, conns <-chan upgraded) {
	ch := make(chan upgraded, 10)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, n, err := Handshake(w, r, cfg, origin)
		if err == nil {
			_, err = c.Write(n.Head)
		}
		var he *HandshakeError
		if errors.As(err, &he) {
			http.Error(w, he.Text, he.Status)
		}
		ch <- upgraded{c, n, err}
	}))
	t.Cleanup(func() {
		s.Close()
		close(ch)
		for u := range ch {
			if u.c != nil {
				_ = u.c.Close()
			}
		}
	})
	return "ws" + strings.TrimPrefix(s.URL, "http"), ch
}

func anyOrigin(*http.Request) bool { return true }

func dialer() *websocket.Dialer { return &websocket.Dialer{HandshakeTimeout: patience} }

func TestSubprotocolIsTheClientsFirstThatIsKnown(t *testing.T) {
	for _, c := range []struct {
		ask    []string
		chosen string // in the answer
		used   string
	}{
		{nil, "", SubprotocolJSON},
		{[]string{SubprotocolJSON}, SubprotocolJSON, SubprotocolJSON},
		{[]string{SubprotocolProto}, SubprotocolProto, SubprotocolProto},
		{[]string{SubprotocolProto, SubprotocolJSON}, SubprotocolProto, SubprotocolProto},
		{[]string{"other", SubprotocolJSON, SubprotocolProto}, SubprotocolJSON, SubprotocolJSON},
		{[]string{"ramen.v9.json"}, "refused", ""},
		{[]string{"RAMEN.V1.JSON"}, "refused", ""},
	} {
		url, conns := serve(t, Default(), anyOrigin)
		d := dialer()
		d.Subprotocols = c.ask
		ws, resp, err := d.Dial(url, nil)
		u := <-conns
		if c.chosen == "refused" {
			if err == nil || resp.StatusCode != http.StatusBadRequest {
				t.Errorf("%q: %v, not refused with 400", c.ask, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if ws.Subprotocol() != c.chosen || u.n.Subprotocol != c.used {
			t.Errorf("%q: answered %q, used %q", c.ask, ws.Subprotocol(), u.n.Subprotocol)
		}
		_ = ws.Close()
		_ = u.c.Close()
	}
}

func TestRefusalsHaveTheirStatus(t *testing.T) {
	origin := func(r *http.Request) bool { return r.Header.Get("Origin") != "https://bad.example" }
	url, conns := serve(t, Default(), origin)
	for _, c := range []struct {
		name   string
		change func(r *http.Request)
		status int
	}{
		{"no handshake", func(r *http.Request) { r.Header = http.Header{} }, 400},
		{"no upgrade", func(r *http.Request) { r.Header.Set("Upgrade", "h2c") }, 400},
		{"no key", func(r *http.Request) { r.Header.Del("Sec-WebSocket-Key") }, 400},
		{"short key", func(r *http.Request) { r.Header.Set("Sec-WebSocket-Key", "c2hvcnQ=") }, 400},
		{"version 8", func(r *http.Request) { r.Header.Set("Sec-WebSocket-Version", "8") }, 400},
		{"POST", func(r *http.Request) { r.Method = http.MethodPost }, 405},
		{"origin", func(r *http.Request) { r.Header.Set("Origin", "https://bad.example") }, 403},
		{"subprotocol", func(r *http.Request) { r.Header.Set("Sec-WebSocket-Protocol", "chat, mqtt") }, 400},
	} {
		r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http"+strings.TrimPrefix(url, "ws"), nil)
		if err != nil {
			t.Fatal(err)
		}
		for k, v := range map[string]string{"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="} {
			r.Header.Set(k, v)
		}
		c.change(r)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		u := <-conns
		var he *HandshakeError
		if resp.StatusCode != c.status || !errors.As(u.err, &he) || he.Text == "" {
			t.Errorf("%s: status %d, error %v", c.name, resp.StatusCode, u.err)
		}
		if c.name == "version 8" && resp.Header.Get("Sec-WebSocket-Version") != "13" {
			t.Error("the answer to version 8 does not say which is known")
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestDeflateOnlyWhereBothAgree(t *testing.T) {
	for _, c := range []struct {
		offer  string
		config bool
		want   bool
	}{
		{"permessage-deflate", true, true},
		{"permessage-deflate; client_max_window_bits; server_no_context_takeover", true, true},
		{"permessage-deflate; server_max_window_bits=10", true, false},
		{"permessage-deflate; server_max_window_bits=10, permessage-deflate; client_max_window_bits", true, true},
		{"permessage-deflate; what=1", true, false},
		{"x-webkit-deflate-frame", true, false},
		{"permessage-deflate", false, false},
		{"", true, false},
	} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, "/ramen/ws", nil)
		for k, v := range map[string]string{"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Extensions": c.offer} {
			r.Header.Set(k, v)
		}
		server, peer := net.Pipe()
		conn, n, err := Handshake(hijacker{w, server, ""}, r, Config{Deflate: c.config}, anyOrigin)
		if err != nil || conn != server {
			t.Fatalf("%q: %v", c.offer, err)
		}
		answered := strings.Contains(string(n.Head), "permessage-deflate; server_no_context_takeover; client_no_context_takeover")
		if n.Deflate != c.want || answered != c.want {
			t.Errorf("%q: negotiated %t, answered %q", c.offer, n.Deflate, n.Head)
		}
		if !strings.Contains(string(n.Head), "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n") || !strings.HasSuffix(string(n.Head), "\r\n\r\n") {
			t.Errorf("answer %q", n.Head)
		}
		_ = server.Close()
		_ = peer.Close()
	}
}

// hijacker hands over c, of which early is read already.
type hijacker struct {
	http.ResponseWriter
	c     net.Conn
	early string
}

func (h hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	br := bufio.NewReader(strings.NewReader(h.early))
	_, _ = br.Peek(len(h.early))
	return h.c, bufio.NewReadWriter(br, bufio.NewWriter(io.Discard)), nil
}

func TestEarlyBytesAreNotLost(t *testing.T) {
	url, conns := serve(t, Default(), anyOrigin)
	c, err := net.Dial("tcp", strings.TrimPrefix(url, "ws://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	early := client(fin|1, "early")
	_, err = fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n%s", early)
	if err != nil {
		t.Fatal(err)
	}
	u := <-conns
	if u.err != nil {
		t.Fatal(u.err)
	}
	defer u.c.Close()
	rest := make([]byte, len(early)-len(u.n.Early)) // none, if they came in one segment
	_ = u.c.SetReadDeadline(time.Now().Add(patience))
	if _, err := io.ReadFull(u.c, rest); err != nil {
		t.Fatal(err)
	}
	if got := append(u.n.Early, rest...); !bytes.Equal(got, early) {
		t.Errorf("got %x, want %x", got, early)
	}
	server, peer := net.Pipe()
	defer server.Close()
	defer peer.Close()
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="}}
	_, n, err := Handshake(hijacker{httptest.NewRecorder(), server, "soon"}, r, Default(), anyOrigin)
	if err != nil || string(n.Early) != "soon" {
		t.Errorf("early %q, %v", n.Early, err)
	}
}

// TestReaderAgreesWithGorilla has gorilla's client send what it can send, and its client read what AppendFrame writes.
func TestReaderAgreesWithGorilla(t *testing.T) {
	for _, compress := range []bool{false, true} {
		url, conns := serve(t, Config{Deflate: true}, anyOrigin)
		d := dialer()
		d.EnableCompression = compress
		d.WriteBufferSize = 256 // longer messages are sent in fragments
		ws, _, err := d.Dial(url, nil)
		if err != nil {
			t.Fatal(err)
		}
		u := <-conns
		if u.n.Deflate != compress {
			t.Fatalf("deflate %t, offered %t", u.n.Deflate, compress)
		}
		want := exchangeOut(t, ws)
		_ = ws.SetReadDeadline(time.Now().Add(patience))
		in := readUntilClose(t, u.c, u.n.Deflate)
		out, err := feed(t, compress, in)
		if err != nil || fmt.Sprint(out) != fmt.Sprint(want) {
			t.Errorf("compress %t: got %q, %v", compress, out, err)
		}
		exchangeBack(t, u, ws)
		_ = ws.Close()
		_ = u.c.Close()
	}
}

// exchangeOut sends with gorilla, and answers what it sent.
func exchangeOut(t *testing.T, ws *websocket.Conn) []got {
	var want []got
	long := strings.Repeat("fragmented and long, ", 40)
	for _, g := range []got{{Text, "Hello"}, {Text, ""}, {Binary, "\x00\xff"}, {Binary, ""}, {Text, long}, {Binary, long}, {Ping, "ping"}, {Text, "ä"}} {
		want = append(want, g)
		var err error
		if g.op.control() {
			err = ws.WriteControl(int(g.op), []byte(g.payload), time.Now().Add(patience))
		} else {
			err = ws.WriteMessage(int(g.op), []byte(g.payload))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	bye := websocket.FormatCloseMessage(1000, "bye")
	if err := ws.WriteControl(websocket.CloseMessage, bye, time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return append(want, got{Close, string(bye)})
}

// readUntilClose answers the bytes up to a close frame.
func readUntilClose(t *testing.T, c net.Conn, deflate bool) []byte {
	r := NewReader(deflate, 0)
	var all []byte
	buf := make([]byte, 4096)
	_ = c.SetReadDeadline(time.Now().Add(patience))
	for closed := false; !closed; {
		n, err := c.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, buf[:n]...)
		if err := r.Feed(buf[:n], func(op Opcode, _ []byte) error { closed = closed || op == Close; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// exchangeBack has gorilla read what AppendFrame writes.
func exchangeBack(t *testing.T, u upgraded, ws *websocket.Conn) {
	var b []byte
	var want []string
	for _, n := range []int{0, 1, 125, 126, 5000, 0xffff, 0x10000} {
		payload := strings.Repeat("0123456789abcdefghij", n/20+1)[:n]
		want = append(want, payload)
		b = AppendFrame(b, Binary, []byte(payload), u.n.Deflate)
		b = AppendFrame(b, Ping, nil, false)
	}
	b = AppendClose(b, 4409, "superseded")
	done := make(chan error, 1)
	go func() { _, err := u.c.Write(b); done <- err }()
	for i := 0; ; i++ {
		_, p, err := ws.ReadMessage()
		if i == len(want) {
			var ce *websocket.CloseError
			if !errors.As(err, &ce) || ce.Code != 4409 || ce.Text != "superseded" {
				t.Errorf("close: %v", err)
			}
			break
		}
		if err != nil || string(p) != want[i] {
			t.Fatalf("message %d: %d bytes, %v", i, len(p), err)
		}
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}
