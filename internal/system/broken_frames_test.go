package system

import (
	"errors"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
	"google.golang.org/grpc/codes"

	"ramen/protocol"
	"ramen/protocol/ramenpb"
)

// A WebSocket frame that breaks the contract ends the stream with 1008 or 1009 and no goaway; a bad value with 4400 behind one.
// SPEC 2.12, 6.
func TestBrokenWebSocketFrames(t *testing.T) {
	t.Parallel()
	s := serve(t, testConfig(t, memory))
	const text, binary = websocket.TextMessage, websocket.BinaryMessage
	for name, frame := range map[string]struct {
		subprotocol string
		kind        int
		data        string
		code        int
	}{
		"not JSON":                  {"ramen.v1.json", text, "{", 1008},
		"an array":                  {"ramen.v1.json", text, "[]", 1008},
		"a string for a seq":        {"ramen.v1.json", text, `{"ack":{"seq":"1"}}`, 1008},
		"a negative seq":            {"ramen.v1.json", text, `{"ack":{"seq":-1}}`, 1008},
		"a fraction":                {"ramen.v1.json", text, `{"ack":{"seq":1.5}}`, 1008},
		"beyond uint64":             {"ramen.v1.json", text, `{"ack":{"seq":18446744073709551616}}`, 1008},
		"a number for a cursor":     {"ramen.v1.json", text, `{"ack":{"cursor":1}}`, 1008},
		"a number for ack":          {"ramen.v1.json", text, `{"ack":1}`, 1008},
		"a number for a token":      {"ramen.v1.json", text, `{"refresh":{"token":1}}`, 1008},
		"two values":                {"ramen.v1.json", text, `{} {}`, 1008},
		"binary on json":            {"ramen.v1.json", binary, `{"ack":{"seq":0}}`, 1008},
		"text on proto":             {"ramen.v1.proto", text, "\x12\x02\x08\x00", 1008},
		"not protobuf":              {"ramen.v1.proto", binary, "\x12\x05\x08", 1008},
		"a wrong wire type":         {"ramen.v1.proto", binary, "\x12\x02\x0a\x00", 1008},
		"too long":                  {"ramen.v1.json", text, `{"x":"` + strings.Repeat("x", 64<<10) + `"}`, 1009},
		"too long on proto":         {"ramen.v1.proto", binary, strings.Repeat("\x00", 64<<10+1), 1009},
		"no cursor":                 {"ramen.v1.json", text, `{"ack":{"cursor":"a/b"}}`, 4400},
		"an empty cursor":           {"ramen.v1.json", text, `{"ack":{"cursor":""}}`, 4400},
		"an ack of nothing":         {"ramen.v1.json", text, `{"ack":{}}`, 4400},
		"an ack beyond":             {"ramen.v1.json", text, `{"ack":{"seq":18446744073709551615}}`, 4400},
		"a context that is too big": {"ramen.v1.json", text, `{"refresh":{"context":{"app":"` + strings.Repeat("x", 1025) + `"}}}`, 4400},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, err := s.dialWS(place{user: name[:1] + "u", device: strings.ReplaceAll(name, " ", "-")}, frame.subprotocol)
			if err != nil {
				t.Fatal(err)
			}
			defer d.close()
			if _, err := d.next(); err != nil {
				t.Fatal(err)
			}
			if err := d.(*wsDevice).c.WriteMessage(frame.kind, []byte(frame.data)); err != nil {
				t.Fatal(err)
			}
			f, err := d.next()
			if f.Kind == protocol.ServerGoAway && frame.code == 4400 {
				f, err = d.next()
			}
			var e *ending
			if !errors.As(err, &e) || e.close != frame.code || e.text == "" {
				t.Errorf("%+v, %v; want the close code %d and a text", f, err, frame.code)
			}
		})
	}
}

// What a server does not know is ignored, and fragments are joined.
func TestUnknownWebSocketFramesAreIgnored(t *testing.T) {
	t.Parallel()
	s := serve(t, testConfig(t, memory))
	s.publish(msg{"user": "u1"})
	c := s.open(t, "ws-json", place{user: "u1", device: "d1"})
	c.push()
	ws := c.device.(*wsDevice).c
	for _, frame := range []string{`{}`, `{"later":{"seq":-1}}`, ` {"refresh":{"future":[1,{"a":null}]}} `, `{"ack":{"seq":0,"future":"x"}}`} {
		if err := ws.WriteMessage(websocket.TextMessage, []byte(frame)); err != nil {
			t.Fatal(err)
		}
	}
	w, err := ws.NextWriter(websocket.TextMessage)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{`{"ack":`, `{"seq":`, `1}}`} {
		if _, err := w.Write([]byte(part)); err != nil {
			t.Fatal(err)
		}
		if f, ok := w.(interface{ Flush() error }); ok {
			_ = f.Flush()
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	s.untilWaiting("u1", 0)
	if err := ws.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(1000, "bye")); err != nil {
		t.Fatal(err)
	}
	if e := c.end(); e.close != 1000 || e.goaway != nil {
		t.Errorf("a device that closes is answered %v", e)
	}
	s.untilOffline("u1", "d1")
	s.checkLedger()
}

// On gRPC the first frame is open, and there is no second one. SPEC 2.12, 7.
func TestBrokenGRPCFrames(t *testing.T) {
	t.Parallel()
	s := serve(t, testConfig(t, memory))
	ack := &ramenpb.DeviceFrame{Frame: &ramenpb.DeviceFrame_Ack{Ack: &ramenpb.Ack{}}}
	for name, first := range map[string]*ramenpb.DeviceFrame{"ack first": ack, "nothing set first": {}} {
		d, err := s.rawGRPC("")
		if err != nil {
			t.Fatal(err)
		}
		if err := d.rpc.Send(first); err != nil {
			t.Fatal(err)
		}
		f, err := d.next()
		var e *ending
		if !errors.As(err, &e) || e.code == nil || *e.code != codes.InvalidArgument {
			t.Errorf("%s: %+v, %v", name, f, err)
		}
		d.close()
	}
	c := s.open(t, "grpc", place{user: "u1", device: "d1"})
	if err := c.device.(*grpcDevice).rpc.Send(&ramenpb.DeviceFrame{}); err != nil { // ignored
		t.Fatal(err)
	}
	s.publish(msg{"user": "u1"})
	c.push()
	if err := c.send(protocol.DeviceFrame{Kind: protocol.FrameOpen, Open: protocol.OpenFrame{User: "u1", Device: "d1"}}); err != nil {
		t.Fatal(err)
	}
	if e := c.end(); e.goaway != nil || e.code == nil || *e.code != codes.InvalidArgument {
		t.Errorf("after a second open: %v", e)
	}
	s.checkLedger()
}

// A device that closes its side of a gRPC stream is answered OK.
func TestGRPCDeviceCloses(t *testing.T) {
	t.Parallel()
	s := serve(t, testConfig(t, memory))
	c := s.open(t, "grpc", place{user: "u1", device: "d1"})
	if err := c.device.(*grpcDevice).rpc.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if e := c.end(); e.goaway != nil || e.code == nil || *e.code != codes.OK {
		t.Errorf("after CloseSend: %v", e)
	}
	s.untilOffline("u1", "d1")
}
