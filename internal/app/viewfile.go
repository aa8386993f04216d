package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"ramen/frontend/route"
	"ramen/gateway"
	"ramen/gateway/lease"
	"ramen/protocol"
	"ramen/store"
	"ramen/topology"
	"ramen/topology/admin"
	"ramen/topology/viewfile"
)

// viewFile is what a process of a cluster without controllers has: who is to own what, by a file, and who does, by the claims in the store.
type viewFile struct {
	follower *viewfile.Follower
	views    *viewfile.Views
	lease    *lease.Lease    // nil: there is no gateway here
	claims   *lease.Follower // nil: the lease reads them
	stop     context.CancelFunc
	done     chan struct{}
}

// unheardFor is from when on a frontend that cannot read the claims says that it is not ready.
const unheardFor = 10 * time.Second

// hurryFor is how long behind a change of the file the claims are read more often, where they say something else.
const hurryFor = time.Minute

// followFile reads the view file, and follows it.
func (a *App) followFile() error {
	c := a.cluster
	follower, err := viewfile.Follow(a.cfg.Cluster.ViewFile, a.cfg.Shards, a.log)
	if err != nil {
		return fmt.Errorf("app: cluster.view_file: %w", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	f := &viewFile{follower: follower, views: viewfile.NewViews(a.cfg.Shards), stop: stop, done: make(chan struct{})}
	c.file, c.topology = f, f.views
	c.admin = admin.NewFile(follower, f.views, f.heard)
	go f.run(ctx)
	a.onEnd("view file", func(context.Context) error {
		follower.Close()
		stop()
		<-f.done
		return nil
	})
	return nil
}

// run has the views follow the file.
func (f *viewFile) run(ctx context.Context) {
	defer close(f.done)
	for {
		now, changed := f.follower.Now()
		f.views.SetFile(now)
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
	}
}

// reachByFile makes the gateway, where there is one, and the way to all of them. Each process opens the store, for its claims.
func (a *App) reachByFile() (*route.Router, topology.Topology, error) {
	c := a.cluster
	kept, err := a.keep()
	if err != nil {
		return nil, nil, err
	}
	shared, is := kept.(lease.Store)
	if !is {
		return nil, nil, errors.New("app: cluster.view_file needs a store that its members share")
	}
	if a.cfg.gateways() {
		err = a.takeShare(shared)
	} else {
		ctx, cancel := context.WithTimeout(context.Background(), claimTimeout)
		defer cancel()
		c.file.claims = lease.Follow(ctx, lease.FollowConfig{Store: shared, Shards: a.cfg.Shards, Read: c.file.read})
		a.onEnd("claims", func(context.Context) error { c.file.claims.Close(); return nil })
	}
	if err != nil || !a.cfg.serves() {
		return nil, nil, err
	}
	router, err := a.routes()
	return router, c.topology, err
}

// takeShare makes the gateway, and has it own what the file gives it.
func (a *App) takeShare(kept lease.Store) error {
	c, k := a.cluster, &a.cfg.Cluster
	if now, _ := c.file.follower.Now(); now.Members[k.Name].ID == "" {
		a.log.Warn("the view file does not name this gateway: it has no users until it does", "name", k.Name, "file", k.ViewFile)
	}
	if err := a.openLinks(); err != nil {
		return err
	}
	a.lease = lease.New(lease.Config{Store: kept, Owner: string(c.id), Shards: a.cfg.Shards, Log: a.log, Registerer: a.registry, Share: &lease.Share{
		Name: k.Name,
		Owners: func() ([]string, <-chan struct{}) {
			now, changed := c.file.follower.Now()
			return now.Owners, changed
		},
		Read: func(claims []store.Claimed, errs []error) { c.file.read(claims, errs) },
	}})
	c.file.lease = a.lease
	var err error
	if a.gateway, err = gateway.New(a.cfg.Gateway, gateway.Deps{Store: kept, Owner: string(c.id), Log: a.log, Registerer: a.registry, OnShard: a.lease.OnShard}); err != nil {
		return err
	}
	a.onEnd("lease", func(ctx context.Context) error { a.lease.Close(ctx); return nil }) // after the gateway
	a.onEnd("gateway", a.gateway.Close)
	if err := a.serveLinks(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), claimTimeout)
	defer cancel()
	a.lease.Start(ctx, a.gateway)
	return nil
}

// read has the views follow the claims. It answers whether shards are on their way.
func (f *viewFile) read(claims []store.Claimed, errs []error) (hurry bool) {
	all := make([]viewfile.Claim, len(claims))
	now, _ := f.follower.Now()
	for i, c := range claims {
		all[i] = viewfile.Claim{Owner: topology.MemberID(c.Owner), Epoch: c.Epoch, Present: c.Present, Unread: errs != nil && errs[i] != nil}
		hurry = hurry || !all[i].Unread && all[i].Owner.Name() != now.Owners[i]
	}
	f.views.SetClaims(all)
	return hurry && time.Since(now.Read) < hurryFor
}

// ready answers nil while this process can do what its roles are.
func (f *viewFile) ready() error {
	if f.lease != nil {
		return f.lease.Ready()
	}
	if f.heard() > unheardFor {
		return errors.New("app: the store's claims, which say who has which users, cannot be read")
	}
	v := f.views.View()
	for i := range v.Shards {
		if v.Reachable(protocol.ShardID(i)) != nil {
			return nil
		}
	}
	return errors.New("app: no gateway of the view file has any users yet")
}

// heard is how long ago the claims were read.
func (f *viewFile) heard() time.Duration {
	switch {
	case f.lease != nil:
		return f.lease.Age()
	case f.claims != nil:
		return f.claims.Age()
	}
	return 0
}
