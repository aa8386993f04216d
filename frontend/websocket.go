package frontend

import (
	"context"
	"errors"
	"net/http"
	"sync"

	"ramen/frontend/accept"
	"ramen/frontend/admission"
	"ramen/frontend/sock"
	"ramen/frontend/stream"
	"ramen/frontend/transport"
	"ramen/frontend/ws"
	"ramen/protocol"
)

// wsStream is a stream over a WebSocket. The connection is taken from net/http with the handshake and costs no goroutine.
// SPEC 6.
type wsStream struct {
	stream stream.Stream
	conn   transport.ByteConn
	reader ws.Reader  // owned by Read
	begun  sync.Mutex // guards reader; held until what came with the handshake was read
	code   int16      // guarded by the stream's mutex; the close code, if not the reason's: see noCode
	proto  bool
	partly bool // guarded by begun: it holds a part of a message

	unfinished *unfinished // of all WebSockets
}

// noCode is a close frame without a code, in answer to one.
const noCode = -1

var (
	_ sock.Handler       = (*wsStream)(nil)
	_ stream.FrameWriter = (*wsWriter)(nil)
)

// wsWriter is the connection, and ends with a close frame.
type wsWriter struct{ *wsStream }

func (o wsWriter) WritePushes(batch []protocol.Push, more bool) stream.WriteResult {
	return o.conn.WritePushes(batch, more)
}
func (o wsWriter) WriteHeartbeat(unixMS int64) stream.WriteResult {
	return o.conn.WriteHeartbeat(unixMS)
}
func (o wsWriter) WriteGoAway(g *protocol.GoAway) stream.WriteResult { return o.conn.WriteGoAway(g) }
func (o wsWriter) Abort(r protocol.Reason, detail string)            { o.conn.Abort(r, detail) }

func (o wsWriter) End(reason protocol.Reason, detail string) {
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
var errEnded = errors.New("frontend: the stream has ended")

// Read implements sock.Handler.
func (x *wsStream) Read(b []byte) {
	x.begun.Lock()
	over := x.read(b)
	x.begun.Unlock()
	endUnfinished(over)
}

// read answers the streams that are to end for it.
func (x *wsStream) read(b []byte) (over []*wsStream) {
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
	return x.held()
}

// message takes one message or control frame of the device's.
func (x *wsStream) message(op ws.Opcode, payload []byte, a *stream.Acks) error {
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

func (x *wsStream) closeWith(code int) {
	x.stream.UnlessClosed(func() { x.code = int16(code) })
}

// pong answers a ping.
func (x *wsStream) pong(payload []byte) {
	x.stream.WriteReply(func() stream.WriteResult {
		b := transport.Buffer()
		*b = ws.AppendFrame(*b, ws.Pong, payload, false)
		return x.conn.Write(b)
	})
}

// Written implements sock.Handler.
func (x *wsStream) Written(n int) { x.stream.OnWritten(n) }

// Closed implements sock.Handler.
func (x *wsStream) Closed(error) {
	x.stream.OnGone()
	x.begun.Lock() // what came with the handshake may still be read
	defer x.begun.Unlock()
	x.drop()
}

// upgrade serves GET /ramen/ws. A page can read neither status nor body of a handshake, so what is wrong with its parameters is
// told after it, by a close code. SPEC 4.
func (s *Server) upgrade(w http.ResponseWriter, r *http.Request) {
	permit, refused := s.Admission.Admit(r.RemoteAddr)
	defer permit.Close()
	if refused != nil && refused.Reason != protocol.ReasonResourceExhausted {
		s.Refusals.WriteError(w, refused.Err)
		return
	}
	c, n, err := ws.Handshake(w, r, s.cfg.WS, s.origins.allowsSocket)
	if err != nil {
		s.failHandshake(w, r, err)
		return
	}
	s.serveSocket(r.Context(), accept.FromConn(s.loop, c), headOf(r), &n, &permit, refused)
}

// serveSocket opens a stream on a connection whose handshake is agreed, or closes it with the reason.
func (s *Server) serveSocket(ctx context.Context, c accept.ConnSource, a *accept.RequestHead, n *ws.Negotiated, permit *admission.Permit, refused *admission.Refusal) {
	if refused != nil {
		s.refuseSocket(c, n.Head, refused.Err)
		return
	}
	x, opened, err := s.openSocket(ctx, a, n)
	if err != nil {
		s.refuseSocket(c, n.Head, err)
		return
	}
	x.begun.Lock()
	x.stream.Start(opened, permit.Move(), func(h *protocol.Hello) (stream.WriteResult, error) { return x.connect(c, n.Head, h, opened.Pending) })
	x.stream.Flush(x.conn.Flush)
	var over []*wsStream
	if len(n.Early) > 0 {
		over = x.read(n.Early)
	}
	x.begun.Unlock()
	endUnfinished(over)
}

func (s *Server) failHandshake(w http.ResponseWriter, r *http.Request, err error) {
	e, ok := errors.AsType[*ws.HandshakeError](err)
	if !ok {
		return // the connection is gone
	}
	code, text := protocol.CodeInvalidArgument, e.Text
	switch e.Status {
	case http.StatusForbidden:
		s.refusedPage(keptFromSocket, r.Header.Get("Origin"), r.Host, r.URL.Path)
		code, text = protocol.CodePermissionDenied, "pages of this Origin may not open a WebSocket here: add it to the configured origins"
	case http.StatusInternalServerError:
		code = protocol.CodeInternal
	}
	s.Refusals.WriteErrorAs(w, e.Status, protocol.Errorf(code, "%s", text))
}

func (s *Server) openSocket(ctx context.Context, a *accept.RequestHead, n *ws.Negotiated) (*wsStream, stream.Opened, error) {
	q, err := s.Requests.Stream(a.Query, a.Authorization, a.LastEventID)
	if err != nil {
		return nil, stream.Opened{}, err
	}
	proto := n.Subprotocol == ws.SubprotocolProto
	x := &wsStream{conn: transport.NewByteConn(s.encoders.of(proto, n.Deflate)), unfinished: s.unfinished, proto: proto, reader: ws.NewReader(n.Deflate, 0)}
	x.stream.Init(s.Streams, &q.Request, protocol.TransportWS, wsWriter{x})
	opened, err := x.stream.Open(ctx, &q.Request)
	return x, opened, err
}

// connect sends the handshake's answer and hello in one write, and the pushes that follow at once.
func (x *wsStream) connect(c accept.ConnSource, head []byte, h *protocol.Hello, more bool) (stream.WriteResult, error) {
	if err := x.conn.Attach(&x.stream, c, x); err != nil {
		return stream.WriteResult{}, err
	}
	b := transport.Buffer()
	*b = append(*b, head...)
	return x.conn.WriteHello(b, h, more), nil
}

// refuseSocket answers the handshake, and closes without hello or goaway.
func (s *Server) refuseSocket(c accept.ConnSource, head []byte, err error) {
	reason, detail := stream.EndOf(err)
	e := transport.ErrorOf(err)
	s.Refusals.Count(e.Code)
	conn, err := c.Attach(accept.LastBytes{})
	if err != nil {
		return
	}
	conn.Write(ws.AppendClose(head, reason.CloseCode(), detail))
	conn.Shutdown()
}
