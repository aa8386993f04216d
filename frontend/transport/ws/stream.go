package ws

import (
	"errors"
	"sync"

	"ramen/frontend/sock"
	"ramen/frontend/stream"
	"ramen/frontend/transport"
	"ramen/frontend/ws"
	"ramen/protocol"
)

// deviceStream is one stream over a WebSocket.
type deviceStream struct {
	stream    stream.Stream
	conn      transport.ByteConn
	reader    ws.Reader  // owned by Read
	reading   sync.Mutex // guards reader; held until what came with the handshake has been read
	code      int16      // guarded by the stream's mutex; the close code, if not the reason's: see noCode
	proto     bool
	holdsPart bool // guarded by reading: it holds a part of a message

	unfinished *unfinished // of all WebSockets
}

// noCode is a close frame without a code, in answer to one.
const noCode = -1

var (
	_ sock.Handler       = (*deviceStream)(nil)
	_ stream.FrameWriter = (*frameWriter)(nil)
)

// frameWriter is the connection, and ends with a close frame.
type frameWriter struct{ *deviceStream }

// WritePushes implements stream.FrameWriter.
func (o frameWriter) WritePushes(batch []protocol.Push, more bool) stream.WriteResult {
	return o.conn.WritePushes(batch, more)
}

// WriteHeartbeat implements stream.FrameWriter.
func (o frameWriter) WriteHeartbeat(unixMS int64) stream.WriteResult {
	return o.conn.WriteHeartbeat(unixMS)
}

// WriteGoAway implements stream.FrameWriter.
func (o frameWriter) WriteGoAway(g *protocol.GoAway) stream.WriteResult { return o.conn.WriteGoAway(g) }

// Abort implements stream.FrameWriter.
func (o frameWriter) Abort(r protocol.Reason, detail string) { o.conn.Abort(r, detail) }

// End implements stream.FrameWriter.
func (o frameWriter) End(reason protocol.Reason, detail string) {
	code := reason.CloseCode()
	switch {
	case o.code == noCode:
		code, detail = 0, ""
	case o.code != 0:
		code = int(o.code)
	}
	if o.code == 0 && detail == "" {
		detail = reason.String()
	}
	b := transport.Buffer()
	*b = ws.AppendClose(*b, code, detail)
	o.conn.Write(b)
	o.conn.Shutdown()
}

// errEnded stops a Reader whose stream has ended.
var errEnded = errors.New("frontend/transport/ws: the stream has ended")

// Read implements sock.Handler.
func (x *deviceStream) Read(b []byte) {
	x.reading.Lock()
	over := x.read(b)
	x.reading.Unlock()
	endUnfinished(over)
}

// read answers the streams that are to end for it.
func (x *deviceStream) read(b []byte) (over []*deviceStream) {
	var a stream.Acks
	err := x.reader.Feed(b, func(op ws.Opcode, payload []byte) error { return x.message(op, payload, &a) })
	x.stream.OnAcks(&a)
	if broken, ok := errors.AsType[*ws.CloseError](err); ok {
		reason := protocol.ReasonProtocolError
		if broken.Code == ws.CodeTooBig {
			reason = protocol.ReasonTooBig
		}
		x.closeWith(broken.Code)
		x.stream.Finish(reason, broken.Text)
	}
	return x.account()
}

// message takes one message or control frame of the device's.
func (x *deviceStream) message(op ws.Opcode, payload []byte, a *stream.Acks) error {
	switch op {
	case ws.Close:
		x.stream.OnAcks(a)
		code, _, _ := ws.ParseClose(payload) // checked by the Reader
		if code == ws.CodeNoStatus {
			code = noCode
		}
		x.closeWith(code)
		x.stream.OnPeerClose()
		return errEnded
	case ws.Ping:
		x.stream.OnInbound(false)
		x.pong(payload)
		return nil
	case ws.Pong:
		x.stream.OnInbound(false)
		return nil
	}
	if len(payload) == 0 { // a heartbeat's echo, of either kind. SPEC 6
		x.stream.OnInbound(true)
		return nil
	}
	var f protocol.DeviceFrame
	var err error
	switch {
	case x.proto != (op == ws.Binary):
		err = &protocol.FrameError{Message: "the frame is of the other kind: text frames are for " + ws.SubprotocolJSON + ", binary ones for " + ws.SubprotocolProto}
	case x.proto:
		err = protocol.DecodeProtoDeviceFrame(payload, &f)
	default:
		err = protocol.DecodeJSONDeviceFrame(payload, &f)
	}
	if !x.stream.OnFrame(&f, err, a) {
		return errEnded
	}
	return nil
}

func (x *deviceStream) closeWith(code int) {
	x.stream.UnlessClosed(func() { x.code = int16(code) })
}

// pong answers a ping.
func (x *deviceStream) pong(payload []byte) {
	x.stream.WriteReply(func() stream.WriteResult {
		b := transport.Buffer()
		*b = ws.AppendFrame(*b, ws.Pong, payload, false)
		return x.conn.Write(b)
	})
}

// Written implements sock.Handler.
func (x *deviceStream) Written(n int) { x.stream.OnWritten(n) }

// Closed implements sock.Handler.
func (x *deviceStream) Closed(error) {
	x.stream.OnGone()
	x.reading.Lock() // what came with the handshake may still be read
	defer x.reading.Unlock()
	x.drop()
}
