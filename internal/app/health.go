package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/singleflight"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"ramen/frontend/auth"
	"ramen/frontend/backend"
	"ramen/frontend/clusterapi"
	"ramen/frontend/console"
	"ramen/frontend/httpconn"
	"ramen/gateway"
	"ramen/protocol"
)

// readiness says whether the process can serve, and why not.
type readiness struct{ why atomic.Pointer[string] }

func (r *readiness) set(why string) { r.why.Store(&why) }

// draining is why a process that shuts down is not ready.
const draining = "draining"

// Ready answers nil while the process can serve.
func (r *readiness) Ready() error {
	if why := r.why.Load(); why == nil {
		return fmt.Errorf("starting")
	} else if *why != "" {
		return fmt.Errorf("%s", *why)
	}
	return nil
}

// devicesReady answers nil while streams are served: whatever becomes of publishes, devices are. SPEC 8.2.7.
func (a *App) devicesReady() error {
	if err := a.ready.Ready(); err != nil {
		return err
	}
	return a.serving()
}

// serving answers nil while this process owns users, or says why it does not.
func (a *App) serving() error {
	if a.cluster != nil {
		return a.cluster.ready()
	}
	if a.lease != nil {
		if err := a.lease.Ready(); err != nil {
			return err
		}
	}
	return a.gateway.Serving()
}

// partly says how many users' shards are not served, and why, while others are; nil where all are, or none.
func (a *App) partly() error {
	if a.lease == nil {
		return nil
	}
	return a.lease.Partial()
}

// backendsReady answers nil while publishes of high priority are taken. SPEC 8.2.7.
func (a *App) backendsReady() error {
	if err := a.ready.Ready(); err != nil {
		return err
	}
	if err := a.serving(); err != nil {
		return err
	}
	if a.gateway == nil {
		return nil
	}
	return a.gateway.Ready()
}

// readyEvery is how old what gRPC's health services say of readiness may be.
const readyEvery = time.Second

// side is one side's readiness, its gRPC service, and what was last told.
type side struct {
	service string
	health  *health.Server
	ready   func() error
	was     string // why not; empty: it was ready
}

// followReadiness tells gRPC's health services and the log what becomes of both sides, until the function that it returns is
// called. The services are those of the names; the empty one says that the process lives.
func (a *App) followReadiness(sides []*side) (end func(context.Context) error) {
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(readyEvery)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			for _, s := range sides {
				s.look(a.log)
			}
		}
	}()
	return func(context.Context) error {
		close(stop)
		<-done
		return nil
	}
}

func (s *side) look(log *slog.Logger) {
	err, why := s.ready(), ""
	status := healthpb.HealthCheckResponse_SERVING
	if err != nil {
		why, status = err.Error(), healthpb.HealthCheckResponse_NOT_SERVING
	}
	s.health.SetServingStatus(s.service, status)
	switch {
	case why == draining: // the shutdown has its own line
	case why != "" && s.was == "":
		log.Warn("not ready", "service", s.service, "why", why)
	case why == "" && s.was != "":
		log.Info("ready again", "service", s.service)
	}
	s.was = why
}

// operators adds what operators ask of the backends' port: the console and its device, health, metrics, and a check of the gauges.
// SPEC 3.1, 8.2.
// The check names users, and counts everything: it takes a key that may read, and is made once for all who ask meanwhile.
// partly, where it answers something, is told below a readiness that is good.
func (a *App) operators(mux *http.ServeMux, readers func(http.Handler) http.Handler, devices console.Devices) {
	var checking singleflight.Group
	once := func() error {
		_, err, _ := checking.Do("", func() (any, error) { return nil, a.Check() })
		return err
	}
	mux.Handle("/{$}", reading(console.Handler()))
	mux.Handle("/device", reading(devices.Page()))
	mux.Handle("/device/ramen.min.js", reading(console.Client()))
	mux.Handle("/healthz", reading(asks(func() error { return nil })))
	mux.Handle("/readyz", reading(readyz(a.backendsReady, a.partly)))
	mux.Handle("/debug/check", reading(readers(asks(once))))
	if a.cluster != nil {
		api := &clusterapi.API{Cluster: a.cluster.admin, Allow: a.allow, Log: a.log}
		mux.Handle("/v1/cluster", api)
		mux.Handle("/v1/cluster/", api)
	}
	if a.gateway != nil {
		mux.Handle("/debug/shards", reading(readers(listShards(a.gateway.Shards))))
	}
	mux.Handle("/metrics", reading(promhttp.HandlerFor(prometheus.Gatherers{a.registry, a.process}, promhttp.HandlerOpts{})))
	mux.HandleFunc("/", nothingHere)
}

// readers lets those through to h whose key may read, where there is no frontend.
func (a *App) readers(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, e := a.allow(auth.Credential(r.Header["Authorization"]), auth.ScopeRead); e != nil {
			httpconn.WriteError(w, e.Code.HTTPStatus(), e)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// allow says whose key is in an Authorization header that has the scope.
func (a *App) allow(authorization string, scope auth.Scope) (name string, _ *protocol.Error) {
	switch {
	case a.cfg.Dev:
		return "", nil
	case a.keys == nil:
		return "", protocol.Errorf(protocol.CodePermissionDenied, "this takes an API key, and auth.keys.file is not set on this process")
	}
	name, err := a.keys.Name(authorization, scope)
	if err == nil {
		return name, nil
	}
	if e, is := errors.AsType[*protocol.Error](err); is {
		return name, e
	}
	return name, protocol.Errorf(protocol.CodeInternal, "%v", err)
}

// ownPages refuses what pages of other origins send, where there is no frontend, which does so. SPEC 3.2.6.
func (a *App) ownPages(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, e := backend.RefusePage(r, a.cfg.Dev); e != nil {
			httpconn.WriteError(w, e.Code.HTTPStatus(), e)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// exact leaves to mux only the paths that it has: it answers others by itself, by a page that sends the client elsewhere, say, which
// is no answer of the contract.
func exact(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p := r.URL.Path; p == "" || r.RequestURI == "*" || path.Clean(p) != p {
			nothingHere(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// reading takes no method but those that read. SPEC 4.4.6.
func reading(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet || r.Method == http.MethodHead {
			h.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Allow", "GET, HEAD")
		httpconn.WriteError(w, http.StatusMethodNotAllowed, protocol.Invalidf("method not allowed: use GET or HEAD"))
	})
}

// nothingHere is the answer to what nobody serves. SPEC 4.4.5
func nothingHere(w http.ResponseWriter, _ *http.Request) {
	httpconn.WriteError(w, http.StatusNotFound, protocol.Errorf(protocol.CodeNotFound,
		"there is nothing at this path: backends use /v1/publish and /v1/users/, operators GET /, /healthz, /readyz and /metrics"))
}

// listShards says where the shards stand, a line each.
func listShards(shards func() []gateway.Shard) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = fmt.Fprintln(w, "shard\tstate\tepoch\tbelow\tmailboxes\twrites\tserved")
		for _, s := range shards() {
			_, _ = fmt.Fprintf(w, "%d\t%s\t%d\t%d\t%d\t%d\t%t\n", s.ID, s.State, s.Epoch, s.Below, s.Mailboxes, s.Writes, s.Served)
		}
	})
}

func readyz(ready, partly func() error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		err := ready()
		answer(w, err)
		if part := partly(); err == nil && part != nil {
			_, _ = fmt.Fprintln(w, part)
		}
	})
}

func asks(state func() error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { answer(w, state()) })
}

func answer(w http.ResponseWriter, err error) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = fmt.Fprintln(w, err)
		return
	}
	_, _ = fmt.Fprintln(w, "ok")
}
