package ws

import (
	"ramen/frontend/transport"
	"ramen/frontend/ws"
	"ramen/protocol"
)

// encoder writes one frame a message: text with JSON, or binary with protobuf. SPEC 6.
type encoder struct {
	op          ws.Opcode
	deflateOver int // bytes; negative: permessage-deflate was not negotiated
	appendHello func(b []byte, h *protocol.Hello) []byte
	appendPush  func(b []byte, p *protocol.Push) []byte
	appendAway  func(b []byte, g *protocol.GoAway) []byte
}

// encoders are all that there are: by subprotocol, and whether deflate was negotiated.
type encoders [2][2]*encoder

func newEncoders(cfg ws.Config) (e encoders) {
	json := encoder{ws.Text, -1, protocol.AppendJSONHello, protocol.AppendJSONPush, protocol.AppendJSONGoAway}
	proto := encoder{ws.Binary, -1, protocol.AppendProtoHello, protocol.AppendProtoPush, protocol.AppendProtoGoAway}
	for i, plain := range [2]encoder{json, proto} {
		deflate := plain
		deflate.deflateOver = cfg.DeflateOver
		e[i] = [2]*encoder{&plain, &deflate}
	}
	return e
}

func (e *encoders) of(proto, deflate bool) *encoder {
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
func frame[T any](e *encoder, b []byte, f func([]byte, T) []byte, v T) []byte {
	payload := transport.Buffer()
	*payload = f(*payload, v)
	b = ws.AppendFrame(b, e.op, *payload, e.deflateOver >= 0 && len(*payload) > e.deflateOver)
	transport.ReleaseBuffer(payload)
	return b
}

func (e *encoder) AppendHello(b []byte, h *protocol.Hello) []byte {
	return frame(e, b, e.appendHello, h)
}
func (e *encoder) AppendPush(b []byte, p *protocol.Push) []byte {
	return frame(e, b, e.appendPush, p)
}
func (e *encoder) AppendGoAway(b []byte, g *protocol.GoAway) []byte {
	return frame(e, b, e.appendAway, g)
}

// heartbeat is a frame with nothing in it: pages do not see pings.
func (e *encoder) AppendHeartbeat(b []byte, _ int64) []byte {
	return ws.AppendFrame(b, e.op, nil, false)
}

func (e *encoder) AppendEnd(b []byte, r protocol.Reason, detail string) []byte {
	return ws.AppendClose(b, r.CloseCode(), detail)
}
