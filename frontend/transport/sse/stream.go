package sse

import (
	"ramen/frontend/sock"
	"ramen/frontend/stream"
	"ramen/frontend/transport"
	"ramen/protocol"
)

// deviceStream is one stream of events.
type deviceStream struct {
	stream  stream.Stream
	conn    transport.ByteConn
	ignored int // bytes that the device sent; owned by Read
}

var _ sock.Handler = (*deviceStream)(nil)

// maxIgnored is what a device may send behind its request before it is taken for hostile, in bytes.
const maxIgnored = 64 << 10

// Read implements sock.Handler: there is nothing that a device could say here.
func (x *deviceStream) Read(b []byte) {
	if x.ignored += len(b); x.ignored > maxIgnored {
		x.stream.Finish(protocol.ReasonGone, "the device sent bytes that are not expected on an SSE stream")
	}
}

// Written implements sock.Handler.
func (x *deviceStream) Written(n int) { x.stream.OnWritten(n) }

// Closed implements sock.Handler.
func (x *deviceStream) Closed(error) { x.stream.OnGone() }
