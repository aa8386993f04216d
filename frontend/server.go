package frontend

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ramen/frontend/admission"
	"ramen/frontend/h2"
	"ramen/frontend/httpconn"
	"ramen/frontend/sock"
	"ramen/link"
	"ramen/protocol"
)

// Router asks the owner of a user: route.Router.
type Router interface {
	Open(ctx context.Context, o link.Open, to link.Receiver) (link.Stream, link.Opened, error)
	Ack(ctx context.Context, a link.Ack) error
}

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
	clock     clock
	date      *dates
	loop      *sock.Loop
	admission *admission.Control
	guard     *h2.Guard // of the gRPC port
	wheel     *wheel
	reopens   *reopens
	ctx       context.Context // over when the server closes
	cancel    context.CancelFunc
	turning   sync.WaitGroup // the wheel

	unfinished *unfinished // of WebSockets

	draining atomic.Bool // streams are asked to leave
	closing  atomic.Bool // streams are ended

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
	s := &Server{cfg: cfg, router: d.Router, tokens: d.Tokens, ready: d.Ready, log: d.Logger, metrics: m, loop: loop, guard: guard, clock: newClock(), date: new(dates)}
	s.origins = newOrigins(&s.cfg)
	s.encoders = newWSEncoders(cfg.WS)
	s.paths = s.endpoints()
	s.admission = admission.New(cfg.Limits)
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.wheel = newWheel(s.clock, (*stream).visit)
	s.unfinished = newUnfinished(cfg.UnfinishedBytes, m.unfinished)
	s.reopens = &reopens{ctx: s.ctx, limit: cfg.Reopens}
	s.turning.Go(func() { s.wheel.run(s.ctx) })
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
		err = s.serveDoor(h, l)
	}
	if !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("frontend: serve devices on %v: %w", l.Addr(), err)
	}
	return nil
}

func (s *Server) serveDoor(h *http.Server, l net.Listener) error {
	d := newDoor(s, l)
	d.wg.Add(1)
	go d.run()
	err := httpconn.Serve(h, d, nil)
	d.Close()
	d.wg.Wait()
	d.openers.wg.Wait()
	return err
}

// opened counts a stream that is live.
func (s *Server) opened(x *stream, resumed bool) {
	s.metrics.streams[x.transport].Inc()
	s.metrics.opens[x.transport].Inc()
	if resumed {
		s.metrics.resumed[x.transport].Inc()
	}
	if s.debug() {
		s.log.LogAttrs(s.ctx, slog.LevelDebug, "frontend: stream opened", slog.String("transport", x.transport.String()),
			slog.String("user", string(x.user())), slog.String("device", string(x.device())), slog.Bool("resumed", resumed))
	}
}

// ended counts one that is closed.
func (s *Server) ended(x *stream, reason protocol.Reason) {
	s.metrics.streams[x.transport].Dec()
	s.metrics.ends[x.transport][reason].Inc()
	x.permit.Close()
}

func (s *Server) debug() bool { return s.log.Enabled(s.ctx, slog.LevelDebug) }

// ageLimit is when a stream that is opened now is asked to leave: less a random tenth, so that those that came together do
// not leave together. SPEC 2.12.
func (s *Server) ageLimit(now int64) int64 {
	age := s.cfg.MaxAge.Milliseconds()
	if age == 0 {
		return 0
	}
	return now + age - rand.Int64N(age/10+1)
}

// reconnectMS is within what time a stream that is asked to leave is replaced. A fifth of the drain time is left to connect.
func (s *Server) reconnectMS() uint32 { return uint32(max(s.cfg.DrainTime.Milliseconds()*4/5, 1)) }

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
	s.closing.Store(true)
	ctx, cancel := context.WithTimeout(context.Background(), closeWait)
	defer cancel()
	s.leave(ctx, closeSpan)
	s.loop.Flush(ctx)
	s.cancel()
	s.turning.Wait()
	s.reopens.close()
	s.guard.Close()
	var errs []error
	for _, h := range servers {
		errs = append(errs, h.Close())
	}
	errs = append(errs, s.loop.Close())
	return errors.Join(errs...)
}
