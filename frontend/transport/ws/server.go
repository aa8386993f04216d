package ws

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"

	"github.com/prometheus/client_golang/prometheus"

	"ramen/frontend/admission"
	"ramen/frontend/request"
	"ramen/frontend/stream"
	"ramen/frontend/transport"
	"ramen/frontend/ws"
	"ramen/protocol"
)

// Config sets up a Server.
type Config struct {
	Handshake       ws.Config
	UnfinishedBytes int // most bytes that all WebSockets hold of messages whose end has not come
	// AllowsPage reports whether a page of origin may open a WebSocket on host. Browsers do not hold these to CORS.
	AllowsPage func(origin, host string) bool
	// RefusedPage hears of a page that was refused.
	RefusedPage func(r *http.Request)
	// FromConn is the connection of a request that was taken from net/http.
	FromConn func(net.Conn) transport.ConnSource
}

// Server serves GET /ramen/ws.
type Server struct {
	*transport.Services
	cfg        Config
	encoders   encoders
	unfinished *unfinished
}

// New makes a Server.
func New(cfg Config, s *transport.Services, r prometheus.Registerer) (*Server, error) {
	bytes := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "ramen_frontend_unfinished_bytes", Help: "Bytes of incomplete WebSocket messages of devices.",
	})
	if err := r.Register(bytes); err != nil {
		return nil, fmt.Errorf("frontend/transport/ws: register metrics: %w", err)
	}
	return &Server{Services: s, cfg: cfg, encoders: newEncoders(cfg.Handshake), unfinished: newUnfinished(cfg.UnfinishedBytes, bytes)}, nil
}

// Check recounts.
func (s *Server) Check() error { return s.unfinished.check() }

// UnfinishedBytes is what all WebSockets hold of messages whose end has not come.
func (s *Server) UnfinishedBytes() int {
	s.unfinished.mu.Lock()
	defer s.unfinished.mu.Unlock()
	return s.unfinished.bytes
}

// ServeHTTP serves a request of net/http's. A page can read neither status nor body of a handshake, so what is wrong with its
// parameters is told after it, by a close code. SPEC 4.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request, h *request.Head) {
	permit, refused := s.Admission.Admit(r.RemoteAddr)
	defer permit.Close()
	if refused != nil && refused.Reason != protocol.ReasonResourceExhausted {
		s.Refusals.WriteError(w, refused.Err)
		return
	}
	allows := func(r *http.Request) bool { return s.cfg.AllowsPage(r.Header.Get("Origin"), r.Host) }
	c, n, err := ws.Handshake(w, r, s.cfg.Handshake, allows)
	if err != nil {
		s.failHandshake(w, r, err)
		return
	}
	s.serve(r.Context(), s.cfg.FromConn(c), h, &n, &permit, refused)
}

// Raw is a request that nobody but package accept has read.
type Raw struct {
	Head   *request.Head
	Offer  ws.Offer
	Behind string // what the device sent behind the head
	Remote netip.Addr
}

// ServeRaw serves r, which came on c. False where net/http is to answer it. Where there is no stream, w has the answer.
func (s *Server) ServeRaw(ctx context.Context, w http.ResponseWriter, c transport.ConnSource, r *Raw) bool {
	n, unusual := r.Offer.Answer(s.cfg.Handshake)
	if unusual != nil || !s.cfg.AllowsPage(r.Head.Origin, r.Head.Host) {
		return false
	}
	n.Early = []byte(r.Behind)
	permit, refused := s.Admission.AdmitFrom(r.Remote)
	defer permit.Close()
	if refused != nil && refused.Reason != protocol.ReasonResourceExhausted {
		s.Refusals.WriteError(w, refused.Err)
	} else {
		s.serve(ctx, c, r.Head, &n, &permit, refused)
	}
	return true
}

// serve opens a stream on a connection whose handshake is agreed, or closes it with the reason.
func (s *Server) serve(ctx context.Context, c transport.ConnSource, h *request.Head, n *ws.Negotiated, permit *admission.Permit, refused *admission.Refusal) {
	if refused != nil {
		s.refuse(c, n.Head, refused.Err)
		return
	}
	x, opened, err := s.open(ctx, h, n)
	if err != nil {
		s.refuse(c, n.Head, err)
		return
	}
	x.reading.Lock()
	gone := false // before it began: no Closed will let go of what is read
	x.stream.Start(opened, permit.Move(), func(h *protocol.Hello) (stream.WriteResult, error) {
		w, err := x.connect(c, n.Head, h, opened.Pending)
		gone = err != nil
		return w, err
	})
	x.stream.Flush(x.conn.Flush)
	var over []*deviceStream
	if len(n.Early) > 0 && !gone {
		over = x.read(n.Early)
	}
	x.reading.Unlock()
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
		s.cfg.RefusedPage(r)
		code, text = protocol.CodePermissionDenied, "pages of this Origin may not open a WebSocket here: add it to the configured origins"
	case http.StatusInternalServerError:
		code = protocol.CodeInternal
	}
	s.Refusals.WriteErrorAs(w, e.Status, protocol.Errorf(code, "%s", text))
}

func (s *Server) open(ctx context.Context, h *request.Head, n *ws.Negotiated) (*deviceStream, stream.Opened, error) {
	q, err := s.Requests.Stream(h)
	if err != nil {
		return nil, stream.Opened{}, err
	}
	proto := n.Subprotocol == ws.SubprotocolProto
	x := &deviceStream{conn: transport.NewByteConn(s.encoders.of(proto, n.Deflate)), unfinished: s.unfinished, proto: proto, reader: ws.NewReader(n.Deflate, 0)}
	x.stream.Init(s.Streams, &q.Request, protocol.TransportWS, frameWriter{x})
	opened, err := x.stream.Open(ctx, &q.Request)
	return x, opened, err
}

// connect sends the handshake's answer and hello in one write, and the pushes that follow at once.
func (x *deviceStream) connect(c transport.ConnSource, head []byte, h *protocol.Hello, more bool) (stream.WriteResult, error) {
	if err := x.conn.Attach(&x.stream, c, x); err != nil {
		return stream.WriteResult{}, err
	}
	b := transport.Buffer()
	*b = append(*b, head...)
	return x.conn.WriteHello(b, h, more), nil
}

// refuse answers the handshake, and closes without hello or goaway.
func (s *Server) refuse(c transport.ConnSource, head []byte, err error) {
	reason, detail := stream.EndOf(err)
	e := transport.ErrorOf(err)
	s.Refusals.Count(e.Code)
	conn, err := c.Attach(lastBytes{})
	if err != nil {
		return
	}
	conn.Write(ws.AppendClose(head, reason.CloseCode(), detail))
	conn.Shutdown()
}

// lastBytes is the handler of a connection that only has to take its last bytes.
type lastBytes struct{}

func (lastBytes) Read([]byte)  {}
func (lastBytes) Written(int)  {}
func (lastBytes) Closed(error) {}
