package frontend

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	grpclib "google.golang.org/grpc"

	"ramen/frontend/accept"
	"ramen/frontend/admission"
	"ramen/frontend/httpconn"
	"ramen/frontend/origin"
	"ramen/frontend/request"
	"ramen/frontend/sock"
	"ramen/frontend/stream"
	"ramen/frontend/transport"
	"ramen/frontend/transport/grpc"
	"ramen/frontend/transport/poll"
	"ramen/frontend/transport/sse"
	"ramen/frontend/transport/ws"
	"ramen/link"
	"ramen/topology"
)

// Router asks the owner of a user: route.Router.
type Router interface {
	stream.Opener
	Ack(ctx context.Context, a link.Ack) error
}

// Verifier says whose token it is: *auth.Tokens.
type Verifier = stream.Verifier

// Deps is what a Server works with.
type Deps struct {
	Router  Router
	Owners  topology.Topology     // that the router follows; nil: owners never change
	Tokens  Verifier              // nil: authentication is off, and the parameter user is taken at its word
	Cookie  string                // name of the cookie in which pages may have their token; empty: none
	Ready   func() error          // for /readyz; nil: always ready
	Logger  *slog.Logger          // nil: none
	Metrics prometheus.Registerer // nil: none
}

// Server is the device side of a frontend.
type Server struct {
	// immutable
	*transport.Services
	cfg     Config
	router  Router
	ready   func() error
	log     *slog.Logger
	metrics *metrics
	origins *origin.Policy
	paths   map[string]endpoint
	loop    *sock.Loop
	events  *sse.Server
	sockets *ws.Server
	polls   *poll.Server
	grpc    *grpc.Server
	ctx     context.Context // over when the server closes
	cancel  context.CancelFunc

	mu      sync.Mutex
	closed  bool
	servers []*http.Server
}

// New starts a Server: it serves what Serve and RegisterGRPC bring it.
func New(cfg Config, d Deps) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if d.Logger == nil {
		d.Logger = slog.New(slog.DiscardHandler)
	}
	if d.Metrics == nil {
		d.Metrics = prometheus.NewRegistry()
	}
	m, err := newMetrics(d.Metrics)
	if err != nil {
		return nil, fmt.Errorf("frontend: register metrics: %w", err)
	}
	refusals, err := transport.NewRefusals(d.Metrics)
	if err != nil {
		return nil, fmt.Errorf("frontend: register metrics: %w", err)
	}
	origins := origin.New(cfg.Origins, cfg.LoopbackOrigins)
	origins.Cookies = d.Cookie != ""
	services := &transport.Services{Admission: admission.New(cfg.Limits), Requests: &request.Reader{Tokens: d.Tokens, Cookie: d.Cookie, Pages: &origins}, Refusals: refusals}
	devices, err := grpc.New(cfg.grpc(), services, d.Metrics)
	if err != nil {
		return nil, err
	}
	loop, err := sock.NewLoop(cfg.Sock)
	if err != nil {
		devices.Close()
		return nil, fmt.Errorf("frontend: start socket loop: %w", err)
	}
	services.Streams, err = stream.NewSet(cfg.Config, stream.Deps{Opener: d.Router, Owners: d.Owners, Tokens: d.Tokens, Logger: d.Logger, Metrics: d.Metrics, Pollers: loop.Pollers()})
	if err != nil {
		devices.Close()
		return nil, errors.Join(err, loop.Close())
	}
	s := &Server{Services: services, cfg: cfg, router: d.Router, ready: d.Ready, log: d.Logger, metrics: m, origins: &origins, loop: loop, grpc: devices}
	s.events = sse.New(services, s.origins.AppendHeaders)
	s.polls = poll.New(services, cfg.PollBytes)
	s.paths = s.endpoints()
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.sockets, err = ws.New(ws.Config{
		Handshake: cfg.WS, UnfinishedBytes: cfg.UnfinishedBytes, AllowsPage: s.origins.AllowsSocket, RefusedPage: s.refusedSocket,
		FromConn: func(c net.Conn) transport.ConnSource { return accept.FromConn(loop, c) },
	}, services, d.Metrics)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// RegisterGRPC adds the Devices service to a server that was made with GRPCOptions.
func (s *Server) RegisterGRPC(r grpclib.ServiceRegistrar) { s.grpc.Register(r) }

// GRPCListener is l, as a server that was made with GRPCOptions is to serve it.
func (s *Server) GRPCListener(l net.Listener) net.Listener { return s.grpc.Listener(l) }

// GRPCOptions are what the Devices service needs of its grpc.Server; t is its TLS, nil for cleartext.
func (s *Server) GRPCOptions(t *tls.Config) []grpclib.ServerOption { return s.grpc.Options(t) }

// Handler serves the paths of port 8080.
func (s *Server) Handler() http.Handler { return s }

// Listen listens as device connections need it: package sock says why.
func (s *Server) Listen(ctx context.Context, addr string) (net.Listener, error) {
	return sock.Listen(ctx, addr, s.cfg.Sock)
}

// bodyBytes is how much of bodies that nobody reads an HTTP/2 connection may hold. It is the least that there is.
const bodyBytes = 64 << 10

// Serve serves devices on l until Close: HTTP/1.1, and under TLS, where tlsConfig is not nil, HTTP/2 too. It closes l.
func (s *Server) Serve(l net.Listener, tlsConfig *tls.Config) error {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	h := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: s.cfg.ReadHeaderTimeout,
		IdleTimeout:       s.cfg.IdleTimeout,
		MaxHeaderBytes:    s.cfg.MaxHeaderBytes,
		Protocols:         protocols,
		HTTP2:             &http.HTTP2Config{MaxReceiveBufferPerConnection: bodyBytes, MaxReceiveBufferPerStream: bodyBytes},
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug), // what a peer can cause is no news
	}
	if tlsConfig != nil {
		protocols.SetHTTP2(true)
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		l.Close()
		return nil
	}
	s.servers = append(s.servers, h)
	s.mu.Unlock()

	var err error
	if tlsConfig != nil {
		err = httpconn.Serve(h, sock.BoundUnsent(l, s.cfg.Sock), tlsConfig)
	} else {
		err = s.newAcceptor(l).Serve(h)
	}
	if !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("frontend: serve devices on %v: %w", l.Addr(), err)
	}
	return nil
}

func (s *Server) debug() bool { return s.log.Enabled(s.ctx, slog.LevelDebug) }

// closeWait bounds how long Close waits for what it has ended.
const closeWait = 2 * time.Second

// Close ends every stream at once, and the server. Drain first, where there is time.
func (s *Server) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	servers := s.servers
	s.mu.Unlock()

	s.Admission.Drain()
	ctx, cancel := context.WithTimeout(context.Background(), closeWait)
	defer cancel()
	s.Streams.End(ctx, s.Admission.Empty())
	s.loop.Flush(ctx)
	s.cancel()
	s.Streams.Close()
	s.grpc.Close()
	var errs []error
	for _, h := range servers {
		errs = append(errs, h.Close())
	}
	errs = append(errs, s.loop.Close())
	return errors.Join(errs...)
}
