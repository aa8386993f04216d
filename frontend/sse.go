package frontend

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"

	"ramen/frontend/accept"
	"ramen/frontend/admission"
	"ramen/frontend/sock"
	"ramen/frontend/stream"
	"ramen/frontend/transport"
	"ramen/protocol"
)

// sseStream is a stream of events. Over HTTP/1 the connection is taken from net/http after the request and costs no goroutine.
// The answer to HTTP/1.1 is in chunked coding (chunk.go), that to HTTP/1.0 ends with the connection. SPEC 5.
type sseStream struct {
	stream  stream.Stream
	conn    transport.ByteConn
	ignored int // bytes that the device sent; owned by Read
}

var _ sock.Handler = (*sseStream)(nil)

// maxIgnored is what a device may send behind its request before it is taken for hostile, in bytes.
const maxIgnored = 64 << 10

// Read implements sock.Handler: there is nothing that a device could say here.
func (x *sseStream) Read(b []byte) {
	if x.ignored += len(b); x.ignored > maxIgnored {
		x.stream.Finish(protocol.ReasonGone, "the device sent bytes that no one asked for")
	}
}

// Written implements sock.Handler.
func (x *sseStream) Written(n int) { x.stream.OnWritten(n) }

// Closed implements sock.Handler.
func (x *sseStream) Closed(error) { x.stream.OnGone() }

// receive serves GET /ramen/receive as net/http has read it.
func (s *Server) receive(w http.ResponseWriter, r *http.Request) {
	permit, refused := s.Admission.Admit(r.RemoteAddr)
	defer permit.Close()
	a := headOf(r)
	hijacker, ok := w.(http.Hijacker)
	hijack := ok && r.ProtoMajor == 1
	a.Chunked = hijack && r.ProtoMinor >= 1 // else whoever writes the answer sees to its framing
	x, opened, ok := s.openEvents(r.Context(), w, a, refused)
	if !ok {
		return
	}
	if hijack {
		s.takeEvents(x, accept.FromHijacker(s.loop, hijacker), a, opened, permit.Move())
		return
	}
	x.serve(w, r, opened)
}

// openEvents opens a stream of events at the owner, or answers why not.
func (s *Server) openEvents(ctx context.Context, w http.ResponseWriter, a *accept.RequestHead, refused *admission.Refusal) (*sseStream, stream.Opened, bool) {
	if refused != nil {
		s.Refusals.Count(refused.Err.Code)
		s.refuseEvents(w, refused.Reason, refused.Err.Message)
		return nil, stream.Opened{}, false
	}
	q, err := s.Requests.Stream(a.Query, a.Authorization, a.LastEventID)
	if err != nil {
		s.Refusals.WriteError(w, err)
		return nil, stream.Opened{}, false
	}
	x := &sseStream{conn: transport.NewByteConn(sseEncoderOf(a.Chunked, q.HeartbeatEvents))}
	x.stream.Init(s.Streams, &q.Request, protocol.TransportSSE, &x.conn)
	opened, err := x.stream.Open(ctx, &q.Request)
	if err != nil {
		s.refuseReceive(w, err)
		return nil, stream.Opened{}, false
	}
	return x, opened, true
}

// refuseReceive answers an owner that said no. An EventSource takes every status but 200 for final, so only what it must not
// come back with is one.
func (s *Server) refuseReceive(w http.ResponseWriter, err error) {
	e := transport.ErrorOf(err)
	switch e.Code {
	case protocol.CodeResourceExhausted, protocol.CodeUnavailable, protocol.CodeInternal:
		s.Refusals.Count(e.Code)
		s.refuseEvents(w, protocol.ReasonOf(e.Code), e.Message)
	default:
		s.Refusals.WriteError(w, e)
	}
}

// refuseEvents answers a stream that goes away at once. SPEC 5.
func (s *Server) refuseEvents(w http.ResponseWriter, reason protocol.Reason, detail string) {
	g := protocol.GoAway{Reason: reason, Detail: detail}
	retry := transport.RefusedRetryMS()
	if reason == protocol.ReasonDrain {
		g.ReconnectMS = uint32(retry)
	}
	eventHeaders(w.Header())
	w.WriteHeader(http.StatusOK)
	w.Write(protocol.AppendSSEGoAway(nil, &g, retry))
}

func eventHeaders(h http.Header) {
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-cache, no-transform")
	h.Set("X-Accel-Buffering", "no")
}

// takeEvents takes the connection over that a came on. What the device sent too early is dropped.
func (s *Server) takeEvents(x *sseStream, c accept.ConnSource, a *accept.RequestHead, opened stream.Opened, permit admission.Permit) {
	x.stream.Start(opened, permit, func(hello *protocol.Hello) (stream.WriteResult, error) {
		if err := x.conn.Attach(&x.stream, c, x); err != nil {
			return stream.WriteResult{}, err
		}
		b := transport.Buffer()
		*b = s.appendEventHead(*b, a)
		return x.conn.WriteHello(b, hello, opened.Pending), nil
	})
	x.stream.Flush(x.conn.Flush)
}

// appendEventHead appends the head of the answer to a. The connection ends with it in either framing: RFC 9112 6.3, 9.6.
func (s *Server) appendEventHead(b []byte, a *accept.RequestHead) []byte {
	b = append(b, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache, no-transform\r\nX-Accel-Buffering: no\r\nConnection: close\r\nDate: "...)
	b = append(b, s.date.now()...)
	b = append(b, "\r\nVary: Origin\r\n"...)
	if a.Chunked {
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	}
	if s.origins.Allows(a.Origin) {
		b = append(b, allowOrigin+": "...)
		b = append(b, a.Origin...)
		b = append(b, "\r\nAccess-Control-Expose-Headers: "+exposeHeaders+"\r\n"...)
	}
	return append(b, "\r\n"...)
}

// serve writes to an HTTP/2 response: its handler waits here until the stream has ended, and keeps its permit until then.
func (x *sseStream) serve(w http.ResponseWriter, r *http.Request, opened stream.Opened) {
	eventHeaders(w.Header())
	w.WriteHeader(http.StatusOK)
	h := &handlerWait{sseStream: x, ended: make(chan struct{})}
	rc := http.NewResponseController(w)
	var writing, over atomic.Bool
	write := func(b []byte) error {
		writing.Store(true)
		defer writing.Store(false)
		if over.Load() {
			return sock.ErrClosed
		}
		if _, err := w.Write(b); err != nil {
			return err
		}
		return rc.Flush()
	}
	unblock := func() {
		over.Store(true)
		if writing.Load() {
			rc.SetWriteDeadline(time.Now()) // HTTP/2 resets the stream
		}
	}
	x.stream.Start(opened, admission.Permit{}, func(hello *protocol.Hello) (stream.WriteResult, error) {
		x.conn.Use(sock.Outbox(write, unblock, h, remoteAddr(r.RemoteAddr)))
		return x.conn.WriteHello(transport.Buffer(), hello, false), nil
	})
	select {
	case <-r.Context().Done():
		x.stream.OnGone()
	case <-h.ended:
	}
	<-h.ended // nothing writes to w any more
}

// handlerWait is an sseStream whose handler waits for its end.
type handlerWait struct {
	*sseStream
	ended chan struct{}
}

// Closed implements sock.Handler.
func (h *handlerWait) Closed(err error) {
	h.sseStream.Closed(err)
	close(h.ended)
}

// remoteAddr is an address that is known as text alone.
type remoteAddr string

func (remoteAddr) Network() string  { return "tcp" }
func (a remoteAddr) String() string { return string(a) }
