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

	"ramen/frontend/admission"
	"ramen/frontend/h2"
	"ramen/frontend/httpconn"
	"ramen/frontend/sock"
	"ramen/frontend/stream"
	"ramen/link"
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
	Tokens  Verifier              // nil: authentication is off, and the parameter user is taken at its word
	Ready   func() error          // for /readyz; nil: always ready
	Logger  *slog.Logger          // nil: none
	Metrics prometheus.Registerer // nil: none
}

// Server is the device side of a frontend.
type Server struct {
	// immutable
	cfg       Config
	router    Router
	tokens    Verifier
	ready     func() error
	log       *slog.Logger
	metrics   *metrics
	origins   origins
	encoders  wsEncoders
	paths     map[string]endpoint
	date      *dates
	loop      *sock.Loop
	admission *admission.Control
	streams   *stream.Set
	guard     *h2.Guard       // of the gRPC port
	ctx       context.Context // over when the server closes
	cancel    context.CancelFunc

	unfinished *unfinished // of WebSockets

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
	guard, err := newGuard(&cfg, d.Metrics)
	if err != nil {
		return nil, err
	}
	loop, err := sock.NewLoop(cfg.Sock)
	if err != nil {
		guard.Close()
		return nil, fmt.Errorf("frontend: start socket loop: %w", err)
	}
	streams, err := stream.NewSet(cfg.Config, stream.Deps{Opener: d.Router, Tokens: d.Tokens, Logger: d.Logger, Metrics: d.Metrics})
	if err != nil {
		guard.Close()
		return nil, errors.Join(err, loop.Close())
	}
	s := &Server{cfg: cfg, router: d.Router, tokens: d.Tokens, ready: d.Ready, log: d.Logger, metrics: m, loop: loop, guard: guard, streams: streams, date: new(dates)}
	s.origins = newOrigins(&s.cfg)
	s.encoders = newWSEncoders(cfg.WS)
	s.paths = s.endpoints()
	s.admission = admission.New(cfg.Limits)
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.unfinished = newUnfinished(cfg.UnfinishedBytes, m.unfinished)
	return s, nil
}

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
		err = httpconn.Serve(h, sock.Roomy(l, s.cfg.Sock), tlsConfig)
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

	s.admission.Drain()
	ctx, cancel := context.WithTimeout(context.Background(), closeWait)
	defer cancel()
	s.streams.End(ctx, s.admission.Empty())
	s.loop.Flush(ctx)
	s.cancel()
	s.streams.Close()
	s.guard.Close()
	var errs []error
	for _, h := range servers {
		errs = append(errs, h.Close())
	}
	errs = append(errs, s.loop.Close())
	return errors.Join(errs...)
}
