package conformance

import (
	"encoding/binary"
	"fmt"

	"ramen/protocol"
)

// wire is how a transport writes what the server says.
type wire interface {
	hello(h *protocol.Hello) []byte
	push(p *protocol.Push) []byte
	goAway(g *protocol.GoAway) []byte
	heartbeat() []byte
	// unknown is what a newer server may say, and this contract does not know.
	unknown() []byte
}

// sseWire is server-sent events.
type sseWire struct{ events bool } // heartbeats are events

func (w sseWire) hello(h *protocol.Hello) []byte   { return protocol.AppendSSEHello(nil, h, 700) }
func (w sseWire) push(p *protocol.Push) []byte     { return protocol.AppendSSEPush(nil, p) }
func (w sseWire) goAway(g *protocol.GoAway) []byte { return protocol.AppendSSEGoAway(nil, g, 0) }

func (w sseWire) heartbeat() []byte {
	if w.events {
		return []byte(protocol.SSEHeartbeatEvent)
	}
	return []byte(protocol.SSEHeartbeat)
}

func (w sseWire) unknown() []byte {
	return []byte(": a comment\nevent: news\ndata: {\"of\":\"a newer server\"}\nnew: field\n\n")
}

// jsonWire is text frames of a WebSocket.
type jsonWire struct{}

func (jsonWire) hello(h *protocol.Hello) []byte {
	return webSocketFrame(1, protocol.AppendJSONHello(nil, h))
}
func (jsonWire) push(p *protocol.Push) []byte {
	return webSocketFrame(1, protocol.AppendJSONPush(nil, p))
}
func (jsonWire) goAway(g *protocol.GoAway) []byte {
	return webSocketFrame(1, protocol.AppendJSONGoAway(nil, g))
}
func (jsonWire) heartbeat() []byte { return webSocketFrame(1, nil) }
func (jsonWire) unknown() []byte {
	return append(webSocketFrame(1, []byte(`{"news":{"of":"a newer server"}}`)), webSocketFrame(9, []byte("ping"))...)
}

// protoWire is binary frames of a WebSocket.
type protoWire struct{}

func (protoWire) hello(h *protocol.Hello) []byte {
	return webSocketFrame(2, protocol.AppendProtoHello(nil, h))
}
func (protoWire) push(p *protocol.Push) []byte {
	return webSocketFrame(2, protocol.AppendProtoPush(nil, p))
}
func (protoWire) goAway(g *protocol.GoAway) []byte {
	return webSocketFrame(2, protocol.AppendProtoGoAway(nil, g))
}
func (protoWire) heartbeat() []byte { return webSocketFrame(2, nil) }
func (protoWire) unknown() []byte   { return webSocketFrame(2, unknownProto) }

// unknownProto is field 15 of a server's frame, which has none: a text.
var unknownProto = []byte{15<<3 | 2, 3, 'n', 'e', 'w'}

// grpcWire is messages of a gRPC stream, each behind its length.
type grpcWire struct{}

func (grpcWire) hello(h *protocol.Hello) []byte {
	return grpcMessage(protocol.AppendProtoHello(nil, h))
}
func (grpcWire) push(p *protocol.Push) []byte { return grpcMessage(protocol.AppendProtoPush(nil, p)) }
func (grpcWire) goAway(g *protocol.GoAway) []byte {
	return grpcMessage(protocol.AppendProtoGoAway(nil, g))
}
func (grpcWire) heartbeat() []byte { return grpcMessage(protocol.AppendProtoHeartbeat(nil, 1)) }
func (grpcWire) unknown() []byte   { return grpcMessage(unknownProto) }

// webSocketFrame is one whole frame of a server. RFC 6455, 5.2.
func webSocketFrame(opcode byte, payload []byte) []byte {
	b := []byte{0x80 | opcode}
	switch n := len(payload); {
	case n < 126:
		b = append(b, byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 127), uint64(n))
	}
	return append(b, payload...)
}

// closeFrame ends a WebSocket with a code.
func closeFrame(code int, text string) []byte {
	return webSocketFrame(8, append(binary.BigEndian.AppendUint16(nil, uint16(code)), text...))
}

func grpcMessage(message []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)
}

// chunk is b as one of HTTP/1.1's.
func chunk(b []byte) []byte { return fmt.Appendf(nil, "%x\r\n%s\r\n", len(b), b) }
