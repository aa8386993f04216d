package sse

import (
	"context"
	"net/http"
	"net/netip"

	"ramen/frontend/admission"
	"ramen/frontend/request"
	"ramen/frontend/stream"
	"ramen/frontend/transport"
	"ramen/protocol"
)

// Server serves GET /ramen/receive.
type Server struct {
	*transport.Services
	pageHeaders func(b []byte, origin string) []byte
	date        date
}

// New makes a Server. pageHeaders appends the header fields, a line each, without which a page of origin cannot read the answer.
func New(s *transport.Services, pageHeaders func(b []byte, origin string) []byte) *Server {
	return &Server{Services: s, pageHeaders: pageHeaders}
}

// ServeRaw serves a request of HTTP/1.1 that nobody but package accept has read. Where there is no stream, w has the answer.
func (s *Server) ServeRaw(ctx context.Context, w http.ResponseWriter, c transport.ConnSource, h *request.Head, remote netip.Addr) {
	permit, refused := s.Admission.AdmitFrom(remote)
	defer permit.Close()
	if x, opened, ok := s.open(ctx, w, h, true, refused); ok {
		s.take(x, c, h, true, opened, permit.Move())
	}
}

// ServeHTTP1 serves a request of net/http's, on the connection that it came on.
func (s *Server) ServeHTTP1(w http.ResponseWriter, r *http.Request, c transport.ConnSource, h *request.Head) {
	permit, refused := s.Admission.Admit(r.RemoteAddr)
	defer permit.Close()
	chunked := r.ProtoMinor >= 1
	if x, opened, ok := s.open(r.Context(), w, h, chunked, refused); ok {
		s.take(x, c, h, chunked, opened, permit.Move())
	}
}

// ServeHTTP2 serves a request whose connection cannot be taken. It returns when the stream has ended, and keeps the permit until then.
func (s *Server) ServeHTTP2(w http.ResponseWriter, r *http.Request, h *request.Head) {
	permit, refused := s.Admission.Admit(r.RemoteAddr)
	defer permit.Close()
	if x, opened, ok := s.open(r.Context(), w, h, false, refused); ok { // HTTP/2 has frames of its own
		x.serve(w, r, opened)
	}
}

// open opens a stream of events at the owner, or answers why not.
func (s *Server) open(ctx context.Context, w http.ResponseWriter, h *request.Head, chunked bool, refused *admission.Refusal) (*deviceStream, stream.Opened, bool) {
	if refused != nil {
		s.Refusals.Count(refused.Err.Code)
		writeGoAway(w, refused.Reason, refused.Err.Message)
		return nil, stream.Opened{}, false
	}
	q, err := s.Requests.Stream(h)
	if err != nil {
		s.Refusals.WriteError(w, err)
		return nil, stream.Opened{}, false
	}
	x := &deviceStream{conn: transport.NewByteConn(encoderOf(chunked, q.HeartbeatEvents))}
	x.stream.Init(s.Streams, &q.Request, protocol.TransportSSE, &x.conn)
	opened, err := x.stream.Open(ctx, &q.Request)
	if err != nil {
		s.refuse(w, err)
		return nil, stream.Opened{}, false
	}
	return x, opened, true
}

// take starts x on the connection that its request came on. What the device sent too early is dropped.
func (s *Server) take(x *deviceStream, c transport.ConnSource, h *request.Head, chunked bool, opened stream.Opened, permit admission.Permit) {
	x.stream.Start(opened, permit, func(hello *protocol.Hello) (stream.WriteResult, error) {
		if err := x.conn.Attach(&x.stream, c, x); err != nil {
			return stream.WriteResult{}, err
		}
		b := transport.Buffer()
		*b = s.appendHead(*b, h.Origin, chunked)
		return x.conn.WriteHello(b, hello, opened.Pending), nil
	})
	x.stream.Flush(x.conn.Flush)
}

// appendHead appends the head of the answer. The connection ends with it in either framing: RFC 9112 6.3, 9.6.
func (s *Server) appendHead(b []byte, origin string, chunked bool) []byte {
	b = append(b, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache, no-transform\r\nX-Accel-Buffering: no\r\nConnection: close\r\nDate: "...)
	b = append(b, s.date.now()...)
	b = append(b, "\r\nVary: Origin\r\n"...)
	if chunked {
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	}
	b = s.pageHeaders(b, origin)
	return append(b, "\r\n"...)
}

// refuse answers an owner that said no. An EventSource takes every status but 200 for final, so only what it must not
// come back with is one.
func (s *Server) refuse(w http.ResponseWriter, err error) {
	e := transport.ErrorOf(err)
	switch e.Code {
	case protocol.CodeResourceExhausted, protocol.CodeUnavailable, protocol.CodeInternal:
		s.Refusals.Count(e.Code)
		writeGoAway(w, protocol.ReasonOf(e.Code), e.Message)
	default:
		s.Refusals.WriteError(w, e)
	}
}

// writeGoAway answers a stream that goes away at once. SPEC 5.
func writeGoAway(w http.ResponseWriter, reason protocol.Reason, detail string) {
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
