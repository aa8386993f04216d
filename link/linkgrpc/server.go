package linkgrpc

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"ramen/internal/tool/promset"
	"ramen/internal/tool/tcpconn"
	"ramen/link"
	"ramen/link/linkgrpc/frame"
	"ramen/link/linkgrpc/linkpb"
	"ramen/protocol"
)

// ServerConfig says who a gateway is.
type ServerConfig struct {
	Config
	Name     string // of this gateway: frontends that mean another are refused
	Cluster  string // frontends of another are refused; empty: not checked
	Security Security

	Log        *slog.Logger
	Registerer prometheus.Registerer // nil: no metrics are shown

	versions versions // zero: this program's
}

// Server serves a gateway to frontends of other processes.
type Server struct {
	// immutable
	cfg      ServerConfig
	gateway  link.Gateway
	instance string
	metrics  *metrics
	set      promset.Set
	grpc     *grpc.Server
	silent   *silentConns
	sequence *sequencer
	ctx      context.Context // of what is done for frontends
	cancel   context.CancelFunc
	sessions sync.WaitGroup

	mu       sync.Mutex
	links    map[string]*session // by the frontend's instance
	draining bool
	closed   bool
}

// NewServer makes a server of g. It serves once Serve is called.
func NewServer(cfg ServerConfig, g link.Gateway) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.versions == (versions{}) {
		cfg.versions = current
	}
	s := &Server{cfg: cfg, gateway: g, instance: rand.Text(), sequence: newSequencer(g), links: make(map[string]*session)}
	s.metrics = newMetrics(gatewaySide, held{s.queued, s.credit})
	s.set = s.metrics.collectors
	if err := s.set.Register(cfg.Registerer); err != nil {
		return nil, err
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	creds := newHandshakes(cfg.Security.server())
	s.silent = creds.silentConns
	dead := max(cfg.silence(), time.Second) // grpc's least
	s.grpc = grpc.NewServer(
		grpc.Creds(creds), grpc.ForceServerCodecV2(codec{}), grpc.MaxRecvMsgSize(maxBatch), grpc.MaxSendMsgSize(maxBatch),
		grpc.StaticStreamWindowSize(windowBytes), grpc.StaticConnWindowSize(windowBytes), grpc.MaxConcurrentStreams(4),
		grpc.ConnectionTimeout(cfg.ConnectFor),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: dead, Timeout: dead}), // closes the connection of a peer that is gone
	)
	s.grpc.RegisterService(&linkpb.Link_ServiceDesc, attacher{Server: s})
	return s, nil
}

// attacher is the service, as grpc wants it.
type attacher struct {
	linkpb.UnimplementedLinkServer
	*Server
}

var _ linkpb.LinkServer = attacher{}

// Serve takes links at l until Close. It closes l.
func (s *Server) Serve(l net.Listener) error {
	if err := s.cfg.Security.listen(l.Addr()); err != nil {
		return errors.Join(err, l.Close())
	}
	if err := s.grpc.Serve(tcpconn.Listener(l)); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("linkgrpc: serve links at %s: %w", l.Addr(), err)
	}
	return nil
}

// Drain tells all frontends, those to come included, that this gateway ends soon. Links serve on until Close: what streams there are
// then are lost with this reason.
func (s *Server) Drain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return
	}
	s.draining = true
	for _, l := range s.links {
		l.out.put(func(b []byte) []byte { return frame.AppendGoAway(b, protocol.ReasonDrain) })
	}
}

// Close sends what waits, as far as that is taken within a second, ends all links, and waits for what is done for them.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	all := make([]*session, 0, len(s.links))
	for _, l := range s.links {
		all = append(all, l)
		l.out.close()
	}
	s.mu.Unlock()
	late := time.AfterFunc(flushFor, func() {
		for _, l := range all {
			l.cancel(errClosed)
		}
	})
	defer late.Stop()
	for _, l := range all {
		<-l.ctx.Done()
	}
	s.stop()
	s.cancel()
	s.sessions.Wait()
	s.sequence.close()
	s.set.Unregister(s.cfg.Registerer)
	return nil
}

// stop ends grpc: in order, where that takes no more than a second.
func (s *Server) stop() {
	s.silent.closeSilent()
	late := time.AfterFunc(flushFor, s.grpc.Stop)
	defer late.Stop()
	s.grpc.GracefulStop()
}

// Attach serves one link.
func (a attacher) Attach(stream grpc.BidiStreamingServer[linkpb.Batch, linkpb.Batch]) error {
	s := a.Server
	theirs, err := s.meet(stream)
	if err != nil {
		s.metrics.connects.WithLabelValues(connectRefused).Inc()
		s.cfg.Log.Warn("linkgrpc: link refused", "cause", err)
		return err
	}
	l := newSession(s, stream, theirs)
	mine, err := s.join(l)
	if err != nil {
		l.cancel(err)
		s.metrics.connects.WithLabelValues(connectRefused).Inc()
		return err
	}
	s.metrics.connects.WithLabelValues(connectOK).Inc()
	return l.serve(mine)
}

// meet hears who is there.
func (s *Server) meet(stream conn) (*frame.Hello, error) {
	theirs, err := receiveHello(stream)
	if err == nil {
		err = s.cfg.Security.admit(stream.(grpc.ServerStream).Context(), theirs.From)
	}
	if err == nil {
		err = checkFrontend(s.hello(false), theirs)
	}
	if r, is := errors.AsType[*refusal](err); is {
		return nil, status.Error(codes.FailedPrecondition, r.why)
	}
	return theirs, err
}

func (s *Server) hello(draining bool) *frame.Hello {
	return &frame.Hello{
		Version: s.cfg.versions.newest, MinVersion: s.cfg.versions.oldest, From: s.cfg.Name, Cluster: s.cfg.Cluster, Instance: s.instance, Draining: draining,
	}
}

// join makes l the link of its frontend. An older one has broken, whether this side has seen it or not.
func (s *Server) join(l *session) (*frame.Hello, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, status.Error(codes.Unavailable, "the gateway has ended")
	}
	if old := s.links[l.frontend.Instance]; old != nil {
		if old.frontend.Number >= l.frontend.Number {
			return nil, status.Error(codes.FailedPrecondition, "the frontend has made a newer link")
		}
		old.cancel(errReplaced)
	}
	s.links[l.frontend.Instance] = l
	s.sessions.Add(1)
	return s.hello(s.draining), nil
}

var errReplaced = errors.New("linkgrpc: the frontend has made a newer link")

func (s *Server) leave(l *session) {
	s.mu.Lock()
	if s.links[l.frontend.Instance] == l {
		delete(s.links, l.frontend.Instance)
	}
	s.mu.Unlock()
	s.sessions.Done()
}

// queued is what waits to be sent on all links.
func (s *Server) queued() (bytes float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.links {
		bytes += float64(l.out.waiting())
	}
	return bytes
}

// credit is what the gateway has been given for all streams, and has not used.
func (s *Server) credit() (bytes float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.links {
		bytes += float64(l.exposed.Load())
	}
	return bytes
}
