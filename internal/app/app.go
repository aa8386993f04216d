package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"ramen/frontend"
	"ramen/frontend/auth"
	"ramen/frontend/backend"
	"ramen/frontend/route"
	"ramen/gateway"
	"ramen/gateway/lease"
	"ramen/internal/tool/memlimit"
	"ramen/link"
	"ramen/link/linkgrpc"
	"ramen/protocol"
	"ramen/store"
	"ramen/store/control"
	"ramen/topology"
)

// App is a running process.
type App struct {
	cfg      Config
	log      *slog.Logger
	registry *prometheus.Registry
	process  *prometheus.Registry // the metrics of the process itself, which take longer to read the more descriptors it has
	memory   memoryPlan
	ready    readiness
	watcher  *auth.Watcher
	keys     *auth.Keys // nil: there are none
	frontend *frontend.Server
	backend  *backend.Server
	gateway  *gateway.Gateway
	lease    *lease.Lease     // nil: no other process can have the store open, or controllers say who has what
	cluster  *clusterMember   // nil: this process stands alone
	links    *linkgrpc.Server // from frontends; nil: there are none
	ports    *ports
	sides    []*side
	ending   []step // in the order of start; they run from the last to the first
}

// step is one thing to do at shutdown.
type step struct {
	name string
	end  func(ctx context.Context) error
}

// self is the name of the only member of a single process.
const self = lease.Self

// What a start waits for the store: until it is reached, and until the epoch is raised.
const (
	openTimeout  = 10 * time.Second
	claimTimeout = 10 * time.Second
)

// Start makes a process that serves: when it returns, the ports are open. What fails ends what had started.
func Start(cfg Config, log *slog.Logger) (*App, error) {
	if err := errors.Join(cfg.Validate(), cfg.checkPresent()); err != nil {
		return nil, err
	}
	a := &App{cfg: cfg, log: log, registry: prometheus.NewRegistry(), process: prometheus.NewRegistry()}
	a.memory = a.cfg.fit(memlimit.Read())
	a.memory.tell(log)
	a.process.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if err := a.start(); err != nil {
		ctx, cancel := context.WithTimeout(context.Background(), cfg.ShutdownTime)
		defer cancel()
		return nil, errors.Join(err, a.shutdown(ctx))
	}
	a.ready.set("")
	return a, nil
}

// start is the straight line from the files to the ports.
func (a *App) start() error {
	cfg, log := &a.cfg, a.log

	a.watcher = auth.NewWatcher(cfg.Auth.ReloadInterval, log, a.registry)
	a.onEnd("key files", func(context.Context) error { return a.watcher.Close() })
	tokens, keys, err := loadCredentials(cfg, a.watcher)
	if err != nil {
		return err
	}

	a.keys = keys
	a.ports = &ports{failed: make(chan error, 1)}
	router, owners, err := a.reachOwners()
	if err != nil {
		return err
	}
	if router == nil { // this process has no frontend
		return a.listen()
	}
	if err := router.Register(a.registry); err != nil {
		return err
	}

	a.frontend, err = frontend.New(cfg.Frontend, frontend.Deps{Router: router, Owners: owners, Tokens: tokens, Cookie: cfg.Auth.Tokens.Cookie, Ready: a.devicesReady, Logger: log, Metrics: a.registry})
	if err != nil {
		return err
	}
	a.onEnd("streams", func(context.Context) error { return a.frontend.Close() })
	a.backend, err = backend.New(cfg.Backend, router, keys, a.registry)
	if err != nil {
		return err
	}
	a.backend.Log = log
	a.onEnd("backends", func(context.Context) error { a.backend.Close(); return nil })
	return a.listen()
}

// reachOwners makes what owns users in this process, and the way to whoever owns them. The router is nil where there is no frontend.
func (a *App) reachOwners() (*route.Router, topology.Topology, error) {
	if !a.cfg.Clustered() {
		owners, err := a.standAlone()
		if err != nil {
			return nil, nil, err
		}
		return route.New(a.cfg.Route, owners, inProcess{a.gateway}), owners, nil
	}
	if err := a.join(); err != nil {
		return nil, nil, err
	}
	if !a.cfg.serves() && !a.cfg.gateways() {
		return nil, nil, nil
	}
	if a.cluster.file != nil {
		return a.reachByFile()
	}
	if err := a.followViews(); err != nil {
		return nil, nil, err
	}
	if a.cfg.gateways() {
		kept, err := a.keep()
		if err == nil {
			err = a.takePart(kept)
		}
		if err != nil {
			return nil, nil, err
		}
	}
	if !a.cfg.serves() {
		return nil, nil, nil
	}
	router, err := a.routes()
	return router, a.cluster.topology, err
}

// standAlone owns all users.
func (a *App) standAlone() (topology.Topology, error) {
	kept, err := a.keep()
	if err != nil {
		return nil, err
	}
	return a.own(kept)
}

// keep opens the store.
func (a *App) keep() (store.Store, error) {
	kept, err := a.openStore()
	if err != nil {
		return nil, err
	}
	a.onEnd("store", func(context.Context) error { return kept.Close() })
	a.answerCommands(kept)
	return kept, nil
}

// loadCredentials makes how devices and backends are known: nil in development.
func loadCredentials(cfg *Config, w *auth.Watcher) (frontend.Verifier, *auth.Keys, error) {
	if cfg.Dev {
		return nil, nil, nil
	}
	if !cfg.serves() {
		if !cfg.Auth.Keys.Configured() {
			return nil, nil, nil
		}
		keys, err := auth.NewKeys(cfg.Auth.Keys, w)
		return nil, keys, err
	}
	tokens, err := auth.NewTokens(cfg.Auth.Tokens, w)
	if err != nil {
		return nil, nil, err
	}
	keys, err := auth.NewKeys(cfg.Auth.Keys, w)
	return tokens, keys, err
}

// Reload looks at the key and certificate files and the view file now, and says what is wrong with those that are not in force.
func (a *App) Reload() error {
	err := a.watcher.Check()
	if a.cluster != nil && a.cluster.file != nil {
		err = errors.Join(err, a.cluster.file.follower.Reload())
	}
	return err
}

func (a *App) openStore() (store.Store, error) {
	ctx, cancel := context.WithTimeout(context.Background(), openTimeout)
	defer cancel()
	p := a.cfg.StoreParams()
	p.Log, p.Registerer = a.log, a.registry
	return a.cfg.Store.Open(ctx, p)
}

// answerCommands lets ramen store reach the store. Without it the process serves all the same.
func (a *App) answerCommands(kept store.Store) {
	s, ok := kept.(store.Backuper)
	if !ok {
		return
	}
	c, err := control.Listen(s, a.log)
	if err != nil {
		a.log.Warn("backups are not possible while this process runs", "cause", err.Error())
		return
	}
	a.onEnd("control socket", func(context.Context) error { return c.Close() })
}

// own makes the gateway, and has it own every shard. On a store that other processes may open that is so while none of them does.
func (a *App) own(kept store.Store) (topology.Topology, error) {
	deps := gateway.Deps{Store: kept, Owner: rand.Text(), Log: a.log, Registerer: a.registry}
	if shared, is := kept.(lease.Store); is {
		a.lease = lease.New(lease.Config{Store: shared, Owner: deps.Owner, Shards: a.cfg.Shards, Log: a.log, Registerer: a.registry})
		deps.OnShard = a.lease.OnShard
	}
	var err error
	if a.gateway, err = gateway.New(a.cfg.Gateway, deps); err != nil {
		return nil, err
	}
	if a.lease != nil {
		a.onEnd("lease", func(ctx context.Context) error { a.lease.Close(ctx); return nil }) // after the gateway
	}
	a.onEnd("gateway", a.gateway.Close)
	ctx, cancel := context.WithTimeout(context.Background(), claimTimeout)
	defer cancel()
	if a.lease != nil {
		a.lease.Start(ctx, a.gateway)
		return a.lease, nil
	}
	epoch, err := a.takeAll(ctx, kept)
	return topology.NewStatic(self, epoch, a.cfg.Shards), err
}

// takeAll owns every shard, at an epoch that no earlier process had.
func (a *App) takeAll(ctx context.Context, kept store.Store) (protocol.Epoch, error) {
	last, err := kept.LastEpoch(ctx)
	if err != nil {
		return 0, err
	}
	shards := make([]protocol.ShardID, a.cfg.Shards)
	for i := range shards {
		shards[i] = protocol.ShardID(i)
	}
	return last + 1, a.gateway.Take(ctx, shards, last+1, time.Time{})
}

// inProcess is the way to the only member of a topology.
type inProcess struct{ link.Gateway }

// Dial implements route.Links.
func (p inProcess) Dial(m *topology.Member) (link.Gateway, bool) { return p.Gateway, m.ID == self }

// Addresses is where the ports are open.
type Addresses struct{ Devices, DevicesGRPC, Backends, BackendsGRPC string }

// Addresses is where the ports are open: as configured, with the port that was drawn where that was 0.
func (a *App) Addresses() Addresses { return a.ports.addresses() }

// Check recounts the gauges against what they count. It is exact only while nothing is under way.
func (a *App) Check() error {
	var errs []error
	if a.frontend != nil {
		errs = append(errs, a.frontend.Check())
	}
	if a.gateway != nil {
		errs = append(errs, a.gateway.Check())
	}
	if a.cluster != nil {
		errs = append(errs, a.cluster.check(a.gateway))
	}
	return errors.Join(errs...)
}

// Run serves until ctx ends or a port fails, and then shuts down: streams get goaway and their time to leave, publishers
// their answers, the store what was saved lazily.
func (a *App) Run(ctx context.Context) error {
	var failed error
	select {
	case <-ctx.Done():
	case failed = <-a.ports.failed:
	}
	a.log.Info("shutting down", "drain_time", a.cfg.Frontend.DrainTime)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.cfg.ShutdownTime)
	defer cancel()
	a.ready.set(draining)
	drained := a.drain(ctx)
	err := errors.Join(failed, drained, a.shutdown(ctx))
	if err == nil {
		a.log.Info("shut down")
	}
	return err
}

// drain lets devices and publishers go: both at once, since publishes still reach the devices meanwhile.
func (a *App) drain(ctx context.Context) error {
	var g errgroup.Group
	if a.frontend != nil {
		g.Go(func() error { return a.frontend.Drain(ctx) })
		g.Go(func() error { return a.backend.Drain(ctx) })
	}
	if a.cluster != nil && a.cluster.member != nil {
		g.Go(func() error { a.moveAway(ctx); return nil })
	}
	if a.cluster != nil && a.cluster.file != nil && a.links != nil {
		a.links.Drain()
	}
	return g.Wait()
}

func (a *App) onEnd(name string, end func(context.Context) error) {
	a.ending = append(a.ending, step{name, end})
}

// shutdown ends what was started, the last first, and says what failed.
func (a *App) shutdown(ctx context.Context) error {
	var errs []error
	for i := len(a.ending) - 1; i >= 0; i-- {
		s := a.ending[i]
		if err := s.end(ctx); err != nil {
			errs = append(errs, fmt.Errorf("app: end %s: %w", s.name, err))
		}
	}
	a.ending = nil
	return errors.Join(errs...)
}
