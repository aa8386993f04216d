package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"

	"ramen/frontend/clusterapi"
	"ramen/frontend/route"
	"ramen/gateway"
	"ramen/gateway/member"
	"ramen/link"
	"ramen/link/linkgrpc"
	"ramen/store"
	"ramen/topology"
	"ramen/topology/admin"
	"ramen/topology/controller"
	"ramen/topology/etcdserver"
	"ramen/topology/registry"
	"ramen/topology/registry/etcd"
)

// Version is that of the program, as members register with. The command sets it.
var Version = "dev"

// clusterMember is what a process of a cluster has beside one that stands alone.
type clusterMember struct {
	id         topology.MemberID
	security   linkgrpc.Security
	registry   *etcd.Registry
	mirror     *registry.Mirror
	views      *registry.Views
	topology   topology.Topology      // views, or those of a file
	file       *viewFile              // nil: there are controllers, and with one all fields down to member are nil
	etcd       *etcdserver.Server     // nil: this process carries none
	controller *controller.Controller // nil: of another role
	member     *member.Member         // nil: of another role
	admin      cluster
	load       *loadMeter
	listener   net.Listener // of links; nil: of another role
}

// cluster is what operators see and change.
type cluster interface {
	clusterapi.Cluster
	Check() error
}

// join begins to take part in the cluster: the registry first, then, where this is a controller, what keeps it.
func (a *App) join() error {
	k := &a.cfg.Cluster
	c := &clusterMember{id: topology.MemberID(k.Name + "@" + strings.ToLower(rand.Text()[:8]))}
	a.cluster = c
	var err error
	if c.security, err = k.Security.Open(a.log); err != nil {
		return err
	}
	if k.ViewFile != "" {
		return a.followFile()
	}
	if a.cfg.has(RoleController) && k.Controller.Data != "" {
		if err := a.carryEtcd(); err != nil {
			return err
		}
	}
	if c.registry, err = a.openRegistry(); err != nil {
		return err
	}
	a.onEnd("registry", func(context.Context) error { return c.registry.Close() })
	c.mirror = registry.NewMirror(c.registry, a.log)
	a.onEnd("mirror", func(context.Context) error { c.mirror.Close(); return nil })
	a.registry.MustRegister(c.mirror.Collectors()...)
	if a.cfg.has(RoleController) {
		c.controller = controller.Start(controller.Config{
			Self:   registry.Gateway{Member: a.self(), StartedMS: time.Now().UnixMilli(), Addresses: a.cfg.portAddresses()},
			Shards: a.cfg.Shards, Moves: k.Controller.Moves, Probe: k.Controller.Probe, Backend: c.registry, Mirror: c.mirror, Log: a.log, Registerer: a.registry,
		})
		a.onEnd("controller", a.unregister(c.controller.Close))
	}
	scheme := "http"
	if k.Security.CertFile != "" {
		scheme = "https"
	}
	c.admin = admin.New(admin.Config{Backend: c.registry, Mirror: c.mirror, Etcd: c.registry.Client(), Scheme: scheme})
	return nil
}

// unregister is end, whose failure does not fail the shutdown: etcd may be down or between two leaders, and a registration ends by itself within
// the time of its lease.
func (a *App) unregister(end func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		if err := end(ctx); err != nil {
			a.log.Warn("the registration with the cluster could not be ended; it ends by itself", "within", registry.LeaseLength, "error", err)
		}
		return nil
	}
}

// self is this process as a member.
func (a *App) self() topology.Member {
	k := &a.cfg.Cluster
	return topology.Member{ID: a.cluster.id, Zone: k.Zone, Version: Version, State: topology.MemberServing}
}

// carryEtcd starts the etcd of this controller. It does not wait for the others.
func (a *App) carryEtcd() error {
	k := &a.cfg.Cluster
	s, err := etcdserver.Start(etcdserver.Config{
		Name: k.Name, Dir: k.Controller.Data, Client: k.Controller.Client, Peer: k.Controller.Peer, Members: k.Controller.Members, Join: k.Controller.Join,
		Log: a.log, TLS: etcdserver.TLS{Cert: k.Security.CertFile, Key: k.Security.KeyFile, CA: k.Security.CAFile},
	})
	if err != nil {
		return err
	}
	a.cluster.etcd = s
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		switch err, failed := <-s.Failed(); {
		case !failed: // it was closed
		case errors.Is(err, etcdserver.ErrRemoved):
			a.log.Warn("this controller was removed from the others' etcd, and keeps nothing of it any more: end this process, and empty cluster.controller.data", "dir", k.Controller.Data)
		default:
			a.ports.fail(fmt.Errorf("app: the etcd of this controller has ended: %w", err))
		}
	}()
	a.onEnd("etcd", func(context.Context) error {
		s.Close()
		<-ended
		return nil
	})
	return nil
}

// openRegistry makes the client of the etcd that keeps the registry.
func (a *App) openRegistry() (*etcd.Registry, error) {
	k := &a.cfg.Cluster
	cfg := etcd.Config{Endpoints: k.Etcd, Prefix: k.Prefix, User: k.EtcdUser}
	if k.EtcdSecret != "" {
		text, err := os.ReadFile(k.EtcdSecret)
		if err != nil {
			return nil, fmt.Errorf("app: cluster.etcd_password_file: %w", err)
		}
		cfg.Password = strings.TrimSpace(string(text))
	}
	if k.Security.CertFile != "" { // read again with each connection
		files := transport.TLSInfo{CertFile: k.Security.CertFile, KeyFile: k.Security.KeyFile, TrustedCAFile: k.Security.CAFile}
		var err error
		if cfg.TLS, err = files.ClientConfig(); err != nil {
			return nil, fmt.Errorf("app: certificate for etcd: %w", err)
		}
	}
	return etcd.Open(cfg)
}

// followViews waits until the cluster has been made, and follows its views.
func (a *App) followViews() error {
	c := a.cluster
	ctx, cancel := context.WithTimeout(context.Background(), a.cfg.Cluster.StartTime)
	defer cancel()
	var err error
	if c.views, err = registry.NewViews(ctx, c.mirror, a.log); err != nil {
		return fmt.Errorf("app: wait for the controllers at %s: %w", strings.Join(a.cfg.Cluster.Etcd, ", "), err)
	}
	c.topology = c.views
	a.onEnd("views", func(context.Context) error { c.views.Close(); return nil })
	a.registry.MustRegister(c.views.Collectors()...)
	c.load = newLoadMeter(a.registry, c)
	a.onEnd("load meter", c.load.close)
	if n := len(c.views.View().Shards); n != a.cfg.Shards {
		a.log.Info("the cluster has another number of shards than is configured here; its own counts", "shards", n, "configured", a.cfg.Shards)
		a.cfg.Shards = n
		a.cfg.complete()
	}
	return nil
}

// takePart makes the gateway, and has it own the shards that views give it.
func (a *App) takePart(kept store.Store) error {
	c, k := a.cluster, &a.cfg.Cluster
	if err := a.openLinks(); err != nil { // before the registration, which says where
		return err
	}
	self := a.self()
	self.Address, self.Weight = k.Advertise, k.Weight
	c.member = member.New(member.Config{Self: self, Addresses: a.cfg.portAddresses(), Load: c.load.read, Backend: c.registry, Views: c.views, LastEpoch: kept.LastEpoch, Log: a.log})
	var err error
	a.gateway, err = gateway.New(a.cfg.Gateway, gateway.Deps{Store: kept, Owner: string(c.id), Log: a.log, Registerer: a.registry, OnShard: c.member.OnShard})
	if err != nil {
		return err
	}
	a.onEnd("registration", a.unregister(c.member.Close)) // after the gateway, so that nobody is given its shards before
	a.onEnd("gateway", a.gateway.Close)
	if err := a.serveLinks(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), claimTimeout)
	defer cancel()
	return c.member.Start(ctx, a.gateway)
}

// openLinks opens the port of links.
func (a *App) openLinks() error {
	k := &a.cfg.Cluster
	l, err := listenTCP(context.Background(), k.Listen)
	if err != nil {
		return fmt.Errorf("app: open the port cluster.listen: %w", err)
	}
	a.cluster.listener = l
	if host, port, _ := net.SplitHostPort(k.Advertise); port == "0" {
		_, drawn, _ := net.SplitHostPort(l.Addr().String())
		k.Advertise = net.JoinHostPort(host, drawn)
	}
	a.onEnd("port of links", func(context.Context) error { _ = l.Close(); return nil }) // where they were never served
	return nil
}

// serveLinks takes links from frontends.
func (a *App) serveLinks() error {
	k, l := &a.cfg.Cluster, a.cluster.listener
	s, err := linkgrpc.NewServer(linkgrpc.ServerConfig{
		Config: k.Link, Name: k.Name, Security: a.cluster.security, Log: a.log, Registerer: a.registry,
	}, a.gateway)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	a.links = s
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.Serve(l); err != nil {
			a.ports.fail(fmt.Errorf("app: serve links: %w", err))
		}
	}()
	a.onEnd("links", func(context.Context) error { // after the ports of this process, which may use them
		err := s.Close()
		<-done
		return err
	})
	return nil
}

// moveAway has the shards of this gateway move to others, for as long as a shutdown may take but for its last part. What has not moved by then
// is taken over once the registration has ended.
func (a *App) moveAway(ctx context.Context) {
	a.links.Drain()
	ctx, cancel := context.WithTimeout(ctx, a.cfg.ShutdownTime*3/4)
	defer cancel()
	if err := a.cluster.member.Drain(ctx); err != nil {
		a.log.Warn("not all shards have moved; others take them over", "cause", err)
	}
}

// links is the ways to the gateways of a cluster.
type links struct {
	self   topology.MemberID // the gateway in this process; empty: there is none
	here   link.Gateway
	client *linkgrpc.Client
}

// Dial implements route.Links.
func (l *links) Dial(m *topology.Member) (link.Gateway, bool) {
	if m.ID == l.self {
		return l.here, true
	}
	if m.Address == "" {
		return nil, false
	}
	return l.client.To(m.ID.Name(), m.Address), true
}

// routes makes the router of a frontend in a cluster, and registers the frontend.
func (a *App) routes() (*route.Router, error) {
	c, k := a.cluster, &a.cfg.Cluster
	client, err := linkgrpc.NewClient(linkgrpc.ClientConfig{Config: k.Link, Name: k.Name, Security: c.security, Log: a.log, Registerer: a.registry})
	if err != nil {
		return nil, err
	}
	a.onEnd("links to gateways", func(context.Context) error { return client.Close() })
	l := &links{client: client}
	if a.gateway != nil {
		l.self, l.here = c.id, a.gateway
	}
	a.keepLinks(client)
	if c.file != nil {
		return route.New(a.cfg.Route, c.topology, l), nil
	}
	s := registry.RegisterFrontend(c.registry, registry.Frontend{Self: a.self(), Addresses: a.cfg.portAddresses(), Views: c.views, Load: c.load.read}, a.log)
	a.onEnd("registration of the frontend", a.unregister(s.Close))
	return route.New(a.cfg.Route, c.topology, l), nil
}

// keepLinks has links to all members stand before they are needed, and closes those to members that have gone.
func (a *App) keepLinks(client *linkgrpc.Client) {
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	views, self := a.cluster.topology, a.cluster.id
	go func() {
		defer close(done)
		for {
			v := views.View()
			wanted := make(map[[2]string]bool)
			for id, m := range v.Members {
				if id != self && m.Address != "" && m.State != topology.MemberGone {
					client.To(id.Name(), m.Address)
					wanted[[2]string{id.Name(), m.Address}] = true
				}
			}
			client.Keep(func(name, address string) bool { return wanted[[2]string{name, address}] })
			select {
			case <-ctx.Done():
				return
			case <-views.Changed(v):
			}
		}
	}()
	a.onEnd("links kept", func(context.Context) error {
		stop()
		<-done
		return nil
	})
}

// ready answers nil while this process can do what its roles are.
func (c *clusterMember) ready() error {
	if c.file != nil {
		return c.file.ready()
	}
	if c.member != nil {
		return c.member.Ready()
	}
	if c.controller != nil {
		if c.mirror.Seen().IsZero() {
			return errors.New("app: etcd has not answered yet")
		}
		return nil
	}
	if len(c.views.View().Members) == 0 {
		return errors.New("app: there is no gateway yet")
	}
	return nil
}
