package frontend

import (
	"errors"
	"io"
	"net"
	"net/url"
	"testing"

	"github.com/gorilla/websocket"

	"ramen/protocol"
)

// socket is a device's WebSocket.
type socket struct {
	tb    testing.TB
	c     *websocket.Conn
	proto bool
	mute  bool // echoes nothing
}

func dialJSON(b *bench, v url.Values) device  { return dialSocket(b, v, "ramen.v1.json") }
func dialProto(b *bench, v url.Values) device { return dialSocket(b, v, "ramen.v1.proto") }

func dialSocket(b *bench, v url.Values, subprotocol string) *socket {
	b.tb.Helper()
	d := websocket.Dialer{
		Subprotocols: []string{subprotocol}, EnableCompression: true,
		NetDial: func(string, string) (net.Conn, error) { return dialTCP(b.tb, b), nil },
	}
	c, resp, err := d.Dial("ws://"+b.plain+"/ramen/ws?"+v.Encode(), nil)
	if err != nil {
		b.tb.Fatalf("%v: %+v", err, resp)
	}
	b.tb.Cleanup(func() { c.Close() })
	if c.Subprotocol() != subprotocol {
		b.tb.Fatalf("subprotocol is %q, not %q", c.Subprotocol(), subprotocol)
	}
	return &socket{tb: b.tb, c: c, proto: subprotocol == "ramen.v1.proto"}
}

func (s *socket) next() (protocol.ServerFrame, error) {
	var f protocol.ServerFrame
	kind, p, err := s.c.ReadMessage()
	if err != nil {
		var ce *websocket.CloseError
		if errors.As(err, &ce) {
			err = &closeError{ce.Code, ce.Text}
		}
		return f, err
	}
	if s.proto != (kind == websocket.BinaryMessage) {
		s.tb.Errorf("a frame of kind %d came", kind)
	}
	if len(p) == 0 {
		if !s.mute {
			s.say(&protocol.DeviceFrame{Kind: protocol.FrameHeartbeat})
		}
		return protocol.ServerFrame{Kind: protocol.ServerHeartbeat}, nil
	}
	if s.proto {
		err = protocol.DecodeProtoServerFrame(p, &f)
	} else {
		err = protocol.DecodeJSONServerFrame(p, &f)
	}
	return f, err
}

func (s *socket) say(f *protocol.DeviceFrame) {
	kind, b := websocket.TextMessage, []byte(nil)
	if s.proto {
		kind = websocket.BinaryMessage
	}
	switch {
	case f.Kind == protocol.FrameHeartbeat:
	case s.proto:
		b = protocol.AppendProtoDeviceFrame(nil, f)
	default:
		b = protocol.AppendJSONDeviceFrame(nil, f)
	}
	if err := s.c.WriteMessage(kind, b); err != nil && !errors.Is(err, io.EOF) && err != websocket.ErrCloseSent {
		s.tb.Logf("write: %v", err)
	}
}

func (s *socket) close() { s.c.Close() }
