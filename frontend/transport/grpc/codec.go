package grpc

import (
	"encoding/binary"
	"fmt"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"

	"ramen/protocol"
)

// rawCodec lets bytes that are protobuf already through, and leaves everything else to grpc's codec: the frames of devices are
// encoded and decoded by package protocol, without reflection.
type rawCodec struct{ encoding.CodecV2 }

func newRawCodec() rawCodec { return rawCodec{encoding.GetCodecV2(proto.Name)} }

// rawOut is one frame to send. Its reference goes to grpc.
type rawOut struct{ b mem.Buffer }

// rawIn is one frame that was received; b is reused from frame to frame.
type rawIn struct{ b []byte }

// Marshal implements encoding.CodecV2.
func (c rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	if out, ok := v.(*rawOut); ok {
		return mem.BufferSlice{out.b}, nil
	}
	return c.CodecV2.Marshal(v)
}

// Unmarshal implements encoding.CodecV2.
func (c rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	in, ok := v.(*rawIn)
	if !ok {
		return c.CodecV2.Unmarshal(data, v)
	}
	n := data.Len()
	if cap(in.b) < n {
		in.b = make([]byte, n)
	}
	in.b = in.b[:n]
	data.CopyTo(in.b)
	return nil
}

// encoder writes frames, each behind its length in 4 bytes, by which conn finds them again. SPEC 7.
type encoder struct{}

func (encoder) AppendHello(b []byte, h *protocol.Hello) []byte {
	at := len(b)
	return frameLength(protocol.AppendProtoHello(append(b, 0, 0, 0, 0), h), at)
}

func (encoder) AppendPush(b []byte, p *protocol.Push) []byte {
	at := len(b)
	return frameLength(protocol.AppendProtoPush(append(b, 0, 0, 0, 0), p), at)
}

func (encoder) AppendHeartbeat(b []byte, unixMS int64) []byte {
	at := len(b)
	return frameLength(protocol.AppendProtoHeartbeat(append(b, 0, 0, 0, 0), unixMS), at)
}

func (encoder) AppendGoAway(b []byte, g *protocol.GoAway) []byte {
	at := len(b)
	return frameLength(protocol.AppendProtoGoAway(append(b, 0, 0, 0, 0), g), at)
}

func (encoder) AppendEnd(b []byte, _ protocol.Reason, _ string) []byte { return b }

const lengthBytes = 4

func frameLength(b []byte, at int) []byte {
	binary.BigEndian.PutUint32(b[at:], uint32(len(b)-at-lengthBytes))
	return b
}

// eachFrame calls f with every frame of b.
func eachFrame(b []byte, f func(frame []byte)) {
	for len(b) > 0 {
		if len(b) < lengthBytes {
			panic(fmt.Sprintf("frontend/transport/grpc: %d bytes behind the last frame", len(b)))
		}
		n := int(binary.BigEndian.Uint32(b))
		f(b[lengthBytes : lengthBytes+n])
		b = b[lengthBytes+n:]
	}
}
