package system

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"ramen/internal/app"
	"ramen/protocol"
)

// rawSSE is the connection of an event stream, and its body.
func rawSSE(t *testing.T, s *server, p place) (net.Conn, *bufio.Reader) {
	t.Helper()
	c, err := net.Dial("tcp", s.addr.Devices)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(c, "GET /ramen/receive?%s HTTP/1.1\r\nHost: localhost\r\n\r\n", p.query().Encode())
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("open: %v %v", resp, err)
	}
	return c, bufio.NewReader(resp.Body)
}

// line reads a line, which must be want where that is not empty.
func line(t *testing.T, r *bufio.Reader, want string) string {
	t.Helper()
	got, err := r.ReadString('\n')
	if err != nil || want != "" && got != want {
		t.Fatalf("read %q, %v, want %q", got, err, want)
	}
	return got
}

// On SSE a heartbeat is one LF, between events.
func TestRule08HeartbeatIsOneByteOnSSE(t *testing.T) {
	t.Parallel()
	s := serve(t, testConfig(t, memory))
	_, r := rawSSE(t, s, place{user: "u1", device: "d1", heartbeatMS: 1000})
	for line(t, r, "") != "\n" { // hello
	}
	line(t, r, "\n")
	line(t, r, "\n")
	s.publish(msg{"user": "u1", "id": "m"})
	got := line(t, r, "")
	for got == "\n" {
		got = line(t, r, "")
	}
	if !strings.HasPrefix(got, "id: ") {
		t.Fatalf("the push begins with %q", got)
	}
	if data := line(t, r, ""); !strings.HasPrefix(data, `data: {"seq":1,"id":"m",`) {
		t.Fatalf("its data is %q", data)
	}
	line(t, r, "\n")
	line(t, r, "\n")
	s.checkLedger()
}

// A page that asks for it sees heartbeats as events.
func TestRule08HeartbeatIsAnEventOnSSE(t *testing.T) {
	t.Parallel()
	s := serve(t, testConfig(t, memory))
	_, r := rawSSE(t, s, place{user: "u1", device: "d1", heartbeatMS: 1000, beatEvent: true})
	for line(t, r, "") != "\n" { // hello
	}
	for range 2 {
		line(t, r, "event: heartbeat\n")
		line(t, r, "data: {}\n")
		line(t, r, "\n")
	}
	if r := s.do("GET", s.deviceURL("/ramen/receive?user=u1&device=d1&heartbeat=x"), ""); r.status != 400 {
		t.Errorf("heartbeat=x: %d %s", r.status, r.body)
	}
}

// A silent stream beats on; it lives by its echoes. Nothing else comes on it, no pings either.
func TestRule08HeartbeatsComeAndAreEchoed(t *testing.T) {
	matrixOf(t, streaming, []string{memory}, nil, func(t *testing.T, s *server, open opener) {
		c := open(place{user: "u1", device: "d1", heartbeatMS: 1000})
		if ws, ok := c.device.(*wsDevice); ok {
			ws.c.SetPingHandler(func(string) error { t.Error("a WebSocket ping"); return nil })
		}
		if c.hello.HeartbeatMS != 1000 || c.hello.TimeoutMS != 1750 {
			t.Errorf("hello is %+v", c.hello)
		}
		if c.transport == "sse" {
			go func() { s.publish(msg{"user": "u1"}) }()
			c.push()
			return
		}
		for range 4 { // one more than a silent device lives
			f, err := c.next()
			if err != nil || f.Kind != protocol.ServerHeartbeat || c.transport == "grpc" && f.TimeMS == 0 {
				t.Fatalf("%+v, %v", f, err)
			}
			c.echo(f)
		}
		if d := s.devices("u1")["d1"]; !d.Online {
			t.Errorf("the list says %+v", d)
		}
	})
}

// A two-way device that says nothing for 3 intervals is dead; SSE has no way back.
func TestRule08SilenceEndsTwoWayStreams(t *testing.T) {
	matrixOf(t, twoWay, []string{memory}, nil, func(t *testing.T, s *server, open opener) {
		c := open(place{user: "u1", device: "d1", heartbeatMS: 1000})
		c.mute = true
		expectEnd(t, c.transport, c.end(), "ack_timeout")
		s.untilOffline("u1", "d1")
	})
}

// Any frame of a WebSocket device is an echo, an empty one of the other kind too, and what nobody knows.
func TestRule08AnyFrameIsAnEcho(t *testing.T) {
	t.Parallel()
	for i, frame := range []struct {
		subprotocol string
		kind        int
		data        string
	}{
		{"ramen.v1.json", websocket.BinaryMessage, ""},
		{"ramen.v1.proto", websocket.TextMessage, ""},
		{"ramen.v1.json", websocket.TextMessage, `{"of":{"tomorrow":1}}`},
		{"ramen.v1.proto", websocket.BinaryMessage, "\xfa\x01\x01x"},
		{"ramen.v1.json", websocket.TextMessage, `{"ack":{"seq":0}}`},
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			s := serve(t, testConfig(t, memory))
			d, err := s.dialWS(place{user: "u1", device: "d1", heartbeatMS: 1000}, frame.subprotocol)
			if err != nil {
				t.Fatal(err)
			}
			defer d.close()
			for beats := 0; beats < 5; {
				f, err := d.next()
				if err != nil {
					t.Fatalf("after %d heartbeats: %v", beats, err)
				}
				if f.Kind == protocol.ServerHeartbeat {
					beats++
					if err := d.(*wsDevice).c.WriteMessage(frame.kind, []byte(frame.data)); err != nil {
						t.Fatal(err)
					}
				}
			}
		})
	}
}

// The server's interval is configured; a device that asks for another gets that.
func TestRule08HeartbeatOfTheServer(t *testing.T) {
	matrixOf(t, streaming, []string{memory}, func(cfg *app.Config) { cfg.Frontend.Heartbeat = 2 * time.Second }, func(t *testing.T, s *server, open opener) {
		if c := open(place{user: "u1", device: "d1"}); c.hello.HeartbeatMS != 2000 || c.hello.TimeoutMS != 3500 {
			t.Errorf("hello is %+v", c.hello)
		}
	})
}
