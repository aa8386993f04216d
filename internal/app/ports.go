package app

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

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"

	"ramen/frontend/auth"
	"ramen/frontend/console"
	"ramen/frontend/httpconn"
	"ramen/frontend/sock"
)

// ports are the four listeners and what serves them.
type ports struct {
	devices, devicesGRPC, backends, backendsGRPC net.Listener

	failed  chan error // of capacity 1: a server that ended by itself
	serving sync.WaitGroup
}

// listen opens the four ports and serves them. Either all are open when it returns, or none.
func (a *App) listen() (err error) {
	p := a.ports
	ctx := context.Background()
	deviceTLS, err := certs(a.cfg.TLS.Devices, a.watcher)
	if err != nil {
		return err
	}
	backendTLS, err := certs(a.cfg.TLS.Backends, a.watcher)
	if err != nil {
		return err
	}
	a.onEnd("ports", func(context.Context) error { p.serving.Wait(); return nil })
	to := map[string]*net.Listener{"devices": &p.devices, "devices_grpc": &p.devicesGRPC, "backends": &p.backends, "backends_grpc": &p.backendsGRPC}
	var before []port
	for _, l := range a.cfg.ports() {
		opened, err := l.open(ctx, l.addr)
		if err != nil {
			return portError(l, before, err)
		}
		l.listener = opened
		before = append(before, l)
		*to[l.name] = sock.ReserveDescriptors(opened, l.keep, a.log)
		a.onEnd("listener "+l.name, func(context.Context) error { _ = opened.Close(); return nil })
	}
	if a.frontend != nil {
		a.serveDevices(p, deviceTLS)
		a.serveBackends(p, backendTLS)
	} else {
		a.serveOperators(p, backendTLS)
	}
	a.onEnd("readiness", a.followReadiness(a.sides))
	return nil
}

// port is one of the four, and how it is opened.
type port struct {
	name, addr string
	open       func(context.Context, string) (net.Listener, error)
	keep       int          // descriptors that its connections leave for others
	listener   net.Listener // once it is open
}

// ports are the four in the order in which they are opened. Devices leave room for backends, and both for the store.
func (c *Config) ports() []port {
	devices := func(ctx context.Context, addr string) (net.Listener, error) {
		return sock.Listen(ctx, addr, c.Frontend.Sock)
	}
	operators := port{"backends", c.Listen.Backends, listenTCP, sock.DescriptorsToReserve() / 2, nil}
	if !c.serves() {
		return []port{operators}
	}
	return []port{
		{"devices", c.Listen.Devices, devices, sock.DescriptorsToReserve(), nil},
		{"devices_grpc", c.Listen.DevicesGRPC, devices, sock.DescriptorsToReserve(), nil},
		operators,
		{"backends_grpc", c.Listen.BackendsGRPC, listenTCP, sock.DescriptorsToReserve() / 2, nil},
	}
}

func listenTCP(ctx context.Context, addr string) (net.Listener, error) {
	return new(net.ListenConfig).Listen(ctx, "tcp", addr)
}

// certs is nil where a side has no certificate.
func certs(cfg auth.CertsConfig, w *auth.Watcher) (*auth.Certs, error) {
	if !cfg.Configured() {
		return nil, nil
	}
	return auth.NewCerts(cfg, w)
}

// serverTLS is the configuration of one port, or nil for cleartext.
func serverTLS(c *auth.Certs, protocols ...string) *tls.Config {
	if c == nil {
		return nil
	}
	return c.Server(protocols...)
}

func (a *App) serveDevices(p *ports, c *auth.Certs) {
	p.serve("devices", func() error { return a.frontend.Serve(p.devices, serverTLS(c, "h2", "http/1.1")) })
	s := a.grpcServer(a.frontend.GRPCOptions(serverTLS(c, "h2")), "ramen.v1.Devices", a.frontend.Ready, a.frontend.RegisterGRPC)
	p.serve("devices_grpc", func() error { return s.Serve(a.frontend.GRPCListener(p.devicesGRPC)) })
	a.onEnd("gRPC of devices", func(ctx context.Context) error { return a.stopGRPC(ctx, s, func() int { return 0 }) })
}

func (a *App) serveBackends(p *ports, c *auth.Certs) {
	rest := http.NewServeMux()
	_, devices, _ := net.SplitHostPort(p.devices.Addr().String())
	a.operators(rest, a.backend.Readers, console.Devices{Port: devices, TLS: a.cfg.TLS.Devices.Configured()})
	h := a.serveHTTP(p, a.backend.Handler(exact(rest)), c)
	s := a.grpcServer(a.backend.GRPCOptions(serverTLS(c, "h2")), "ramen.v1.Backend", a.backendsReady, a.backend.RegisterGRPC)
	p.serve("backends_grpc", func() error { return s.Serve(a.backend.GRPCListener(p.backendsGRPC)) })
	a.onEnd("calls of backends", func(ctx context.Context) error {
		var both errgroup.Group // one call of each may take as long as route.deadline
		both.Go(func() error { return a.stopHTTP(ctx, h) })
		both.Go(func() error { return a.stopGRPC(ctx, s, a.backend.Calls) })
		return both.Wait()
	})
}

// serveHTTP serves h on the port of backends.
func (a *App) serveHTTP(p *ports, handler http.Handler, c *auth.Certs) *http.Server {
	h := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       time.Minute,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          slog.NewLogLogger(a.log.Handler(), slog.LevelDebug),
	}
	p.serve("backends", func() error {
		return ignoreClosed(httpconn.Serve(h, p.backends, serverTLS(c, "h2", "http/1.1")))
	})
	return h
}

// serveOperators serves what operators ask for, where there is no frontend.
func (a *App) serveOperators(p *ports, c *auth.Certs) {
	rest := http.NewServeMux()
	a.operators(rest, a.readers, console.Devices{})
	h := a.serveHTTP(p, a.ownPages(exact(rest)), c)
	a.onEnd("HTTP of operators", func(ctx context.Context) error { return a.stopHTTP(ctx, h) })
}

func ignoreClosed(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// grpcServer has the service, and the standard ones for health and reflection. SPEC 3.1.7.
func (a *App) grpcServer(opts []grpc.ServerOption, name string, ready func() error, register func(grpc.ServiceRegistrar)) *grpc.Server {
	s := grpc.NewServer(opts...)
	register(s)
	h := health.NewServer()
	h.SetServingStatus(name, healthpb.HealthCheckResponse_SERVING)
	healthpb.RegisterHealthServer(s, h)
	a.sides = append(a.sides, &side{service: name, health: h, ready: ready})
	a.onEnd("health of "+name, func(context.Context) error { h.Shutdown(); return nil })
	if a.cfg.GRPC.Reflection {
		reflection.Register(s)
	}
	return s
}

// stopHTTP lets requests under way end, and cuts them once most of the rest of the shutdown's time is over: what is saved afterwards needs
// the rest. Whoever is cut does not know whether the request was carried out, and asks again.
func (a *App) stopHTTP(ctx context.Context, h *http.Server) error {
	ctx, cancel := mostOf(ctx)
	defer cancel()
	err := h.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		a.log.Warn("HTTP requests on the port of backends took too long; they were cut")
		err = nil
	}
	return errors.Join(err, h.Close())
}

// mostOf ends two thirds of the way to the deadline of ctx.
func mostOf(ctx context.Context) (context.Context, context.CancelFunc) {
	end, bounded := ctx.Deadline()
	if !bounded {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Until(end)*2/3)
}

// flushTime is how long a client may take to read the end of its last call.
const flushTime = time.Second

// stopGRPC lets calls under way end, and cuts them once most of the rest of the shutdown's time is over, as stopHTTP does. Once none is served any more, what is left are
// clients that do not read (grpc would wait for them), and calls that never end by themselves, such as those that watch health.
func (a *App) stopGRPC(ctx context.Context, s *grpc.Server, calls func() int) error {
	ctx, cancel := mostOf(ctx)
	defer cancel()
	stopped := make(chan struct{})
	go func() { s.GracefulStop(); close(stopped) }()
	again := time.NewTicker(flushTime / 20)
	defer again.Stop()
	for quiet := time.Now(); time.Since(quiet) < flushTime; {
		select {
		case <-stopped:
			return nil
		case <-again.C:
			if calls() > 0 {
				quiet = time.Now()
			}
			continue
		case <-ctx.Done():
			if n := calls(); n > 0 {
				a.log.Warn("gRPC calls took too long; they were cut", "calls", n)
			}
		}
		break
	}
	s.Stop()
	<-stopped
	return nil
}

// serve runs one server until it is ended. One that ends by itself ends the process.
func (p *ports) serve(name string, run func() error) {
	p.serving.Go(func() {
		if err := run(); err != nil {
			p.fail(fmt.Errorf("app: serve %s: %w", name, err))
		}
	})
}

// fail ends the process because of err.
func (p *ports) fail(err error) {
	select {
	case p.failed <- err:
	default: // the first failure ends the process already
	}
}

func (p *ports) addresses() Addresses {
	of := func(l net.Listener) string {
		if l == nil {
			return ""
		}
		return l.Addr().String()
	}
	return Addresses{Devices: of(p.devices), DevicesGRPC: of(p.devicesGRPC), Backends: of(p.backends), BackendsGRPC: of(p.backendsGRPC)}
}
