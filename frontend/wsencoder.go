package frontend

import (
	"ramen/frontend/transport"
	"ramen/frontend/ws"
	"ramen/protocol"
)

// wsEncoder writes one frame a message: text with JSON, or binary with protobuf. SPEC 6.
type wsEncoder struct {
	op          ws.Opcode
	deflateOver int // bytes; negative: permessage-deflate was not negotiated
	appendHello func(b []byte, h *protocol.Hello) []byte
	appendPush  func(b []byte, p *protocol.Push) []byte
	appendAway  func(b []byte, g *protocol.GoAway) []byte
}

// wsEncoders are all that there are: by subprotocol, and whether deflate was negotiated.
type wsEncoders [2][2]*wsEncoder

func newWSEncoders(cfg ws.Config) (e wsEncoders) {
	json := wsEncoder{ws.Text, -1, protocol.AppendJSONHello, protocol.AppendJSONPush, protocol.AppendJSONGoAway}
	proto := wsEncoder{ws.Binary, -1, protocol.AppendProtoHello, protocol.AppendProtoPush, protocol.AppendProtoGoAway}
	for i, plain := range [2]wsEncoder{json, proto} {
		deflate := plain
		deflate.deflateOver = cfg.DeflateOver
		e[i] = [2]*wsEncoder{&plain, &deflate}
	}
	return e
}

func (e *wsEncoders) of(proto, deflate bool) *wsEncoder {
	i, j := 0, 0
	if proto {
		i = 1
	}
	if deflate {
		j = 1
	}
	return e[i][j]
}

// frame appends what f encodes as one message. The payload is encoded beside b, since its length comes first.
func frame[T any](e *wsEncoder, b []byte, f func([]byte, T) []byte, v T) []byte {
	payload := transport.Buffer()
	*payload = f(*payload, v)
	b = ws.AppendFrame(b, e.op, *payload, e.deflateOver >= 0 && len(*payload) > e.deflateOver)
	transport.ReleaseBuffer(payload)
	return b
}

func (e *wsEncoder) AppendHello(b []byte, h *protocol.Hello) []byte {
	return frame(e, b, e.appendHello, h)
}
func (e *wsEncoder) AppendPush(b []byte, p *protocol.Push) []byte {
	return frame(e, b, e.appendPush, p)
}
func (e *wsEncoder) AppendGoAway(b []byte, g *protocol.GoAway) []byte {
	return frame(e, b, e.appendAway, g)
}

// heartbeat is a frame with nothing in it: pages do not see pings.
func (e *wsEncoder) AppendHeartbeat(b []byte, _ int64) []byte {
	return ws.AppendFrame(b, e.op, nil, false)
}

func (e *wsEncoder) AppendEnd(b []byte, r protocol.Reason, detail string) []byte {
	return ws.AppendClose(b, r.CloseCode(), detail)
}
