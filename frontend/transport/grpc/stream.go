package grpc

import (
	"errors"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"ramen/frontend/sock"
	"ramen/frontend/stream"
	"ramen/frontend/transport"
	"ramen/protocol"
	"ramen/protocol/grpcstatus"
)

// deviceStream is a device's stream over gRPC.
type deviceStream struct {
	stream stream.Stream
	out    transport.ByteConn // over conn
	conn   conn
}

// frameWriter writes frames to out, and ends with a status.
type frameWriter struct{ *deviceStream }

var _ stream.FrameWriter = frameWriter{}

// WritePushes implements stream.FrameWriter.
func (g frameWriter) WritePushes(batch []protocol.Push, more bool) stream.WriteResult {
	return g.out.WritePushes(batch, more)
}

// WriteHeartbeat implements stream.FrameWriter.
func (g frameWriter) WriteHeartbeat(unixMS int64) stream.WriteResult {
	return g.out.WriteHeartbeat(unixMS)
}

// WriteGoAway implements stream.FrameWriter.
func (g frameWriter) WriteGoAway(a *protocol.GoAway) stream.WriteResult { return g.out.WriteGoAway(a) }

// End implements stream.FrameWriter.
func (g frameWriter) End(reason protocol.Reason, detail string) {
	g.conn.finish(grpcstatus.StreamEnd(reason, detail), false)
}

// Abort implements stream.FrameWriter.
func (g frameWriter) Abort(reason protocol.Reason, detail string) {
	g.conn.finish(grpcstatus.StreamEnd(reason, detail), true)
}

// Read implements sock.Handler; it is not called.
func (g *deviceStream) Read([]byte) {}

// Written implements sock.Handler.
func (g *deviceStream) Written(n int) { g.stream.OnWritten(n) }

// Closed implements sock.Handler; it is not called.
func (g *deviceStream) Closed(error) {}

var _ sock.Handler = (*deviceStream)(nil)

// receive takes the device's frames until the stream ends.
func (g *deviceStream) receive(rpc grpc.ServerStream) {
	var in rawIn
	for {
		if err := rpc.RecvMsg(&in); err != nil {
			g.ended(err)
			return
		}
		if !g.take(in.b) {
			return
		}
		if cap(in.b) > maxIdleInput {
			in.b = nil
		}
	}
}

// maxIdleInput is the largest buffer that an idle stream holds for its device's frames, in bytes.
const maxIdleInput = 256

// ended tells the stream why RecvMsg failed.
func (g *deviceStream) ended(err error) {
	switch {
	case errors.Is(err, io.EOF):
		g.stream.OnPeerClose()
	case status.Code(err) == codes.ResourceExhausted: // a frame over the limit
		g.stream.Finish(protocol.ReasonTooBig, status.Convert(err).Message())
	default:
		g.stream.OnGone()
	}
}

// take takes one frame; false where it was the last.
func (g *deviceStream) take(b []byte) bool {
	var f protocol.DeviceFrame
	err := protocol.DecodeProtoDeviceFrame(b, &f)
	if err == nil && f.Kind == protocol.FrameOpen {
		err = &protocol.FrameError{Message: "the stream is open already: open another for another device"}
	}
	var a stream.Acks
	if !g.stream.OnFrame(&f, err, &a) {
		return false
	}
	g.stream.OnAcks(&a)
	return true
}
