package system

import (
	"errors"
	"net/http"
	"time"

	"github.com/gorilla/websocket"

	"ramen/protocol"
)

// wsDevice speaks over a gorilla WebSocket.
type wsDevice struct {
	c     *websocket.Conn
	proto bool
}

func (s *server) dialWS(p place, subprotocol string) (device, error) {
	h := http.Header{}
	if p.origin != "" {
		h.Set("Origin", p.origin)
	}
	c, _, err := s.socket(p, h, subprotocol)
	if err != nil {
		return nil, err
	}
	return &wsDevice{c, subprotocol == "ramen.v1.proto"}, nil
}

// socket shakes hands. A refusal before the upgrade is an *ending.
func (s *server) socket(p place, h http.Header, subprotocols ...string) (*websocket.Conn, *http.Response, error) {
	dialer := websocket.Dialer{Subprotocols: subprotocols, HandshakeTimeout: patience, NetDialContext: s.net}
	url := "ws" + s.deviceURL("/ramen/ws?" + p.query().Encode())[len("http"):]
	if s.cfg.TLS.Devices.Configured() {
		dialer.TLSClientConfig = s.web.Transport.(*http.Transport).TLSClientConfig.Clone()
		dialer.TLSClientConfig.NextProtos = []string{"http/1.1"}
	}
	c, resp, err := dialer.Dial(url, h)
	if errors.Is(err, websocket.ErrBadHandshake) {
		return nil, resp, refusal(resp)
	}
	return c, resp, err
}

func (d *wsDevice) next() (f protocol.ServerFrame, err error) {
	if err := d.c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return f, &ending{err: err}
	}
	kind, b, err := d.c.ReadMessage()
	if err != nil {
		var closed *websocket.CloseError
		if errors.As(err, &closed) && closed.Code != websocket.CloseAbnormalClosure {
			return f, &ending{close: closed.Code, text: closed.Text}
		}
		return f, &ending{err: err}
	}
	if (kind == websocket.BinaryMessage) != d.proto {
		return f, errors.New("a frame of the other kind")
	}
	if d.proto {
		if err = protocol.DecodeProtoServerFrame(b, &f); len(b) == 0 {
			f.Kind = protocol.ServerHeartbeat
		}
		return f, err
	}
	return f, protocol.DecodeJSONServerFrame(b, &f)
}

func (d *wsDevice) send(f protocol.DeviceFrame) error {
	kind, b := websocket.TextMessage, []byte(nil)
	if d.proto {
		kind = websocket.BinaryMessage
	}
	switch {
	case f.Kind == protocol.FrameHeartbeat:
	case d.proto:
		b = protocol.AppendProtoDeviceFrame(nil, &f)
	default:
		b = protocol.AppendJSONDeviceFrame(nil, &f)
	}
	if err := d.c.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	return d.c.WriteMessage(kind, b)
}

func (d *wsDevice) ack(seq protocol.Seq) error {
	return d.send(protocol.DeviceFrame{Kind: protocol.FrameAck, Seq: seq})
}

func (d *wsDevice) echo(protocol.ServerFrame) {
	_ = d.send(protocol.DeviceFrame{Kind: protocol.FrameHeartbeat}) // the end is read
}

func (d *wsDevice) close() { d.c.NetConn().Close() }
