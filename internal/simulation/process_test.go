package simulation

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ramen/frontend/admission"
	"ramen/frontend/route"
	"ramen/frontend/stream"
	"ramen/gateway"
	"ramen/gateway/member"
	"ramen/protocol"
	"ramen/store"
	"ramen/topology"
	"ramen/topology/controller"
	"ramen/topology/registry"
)

// controllerNode is one controller.
type controllerNode struct {
	node   *node
	mirror *registry.Mirror
	c      *controller.Controller
}

func (w *world) startController() {
	w.started++
	n := w.bus.node(fmt.Sprint("controller-", w.started))
	b := newBackend(w, n)
	mirror := registry.NewMirror(b, w.log)
	p := &controllerNode{n, mirror, controller.Start(controller.Config{
		Self:   registry.Gateway{Member: topology.Member{ID: topology.MemberID(n.name)}},
		Shards: w.s.Shards, Moves: w.s.Moves, Backend: b, Mirror: mirror, Log: w.log,
	})}
	w.controllers = append(w.controllers, p)
}

func (w *world) endController(p *controllerNode, killed bool) {
	if killed {
		w.bus.kill(p.node)
	}
	w.background.Go(func() {
		_ = p.c.Close(context.Background())
		p.mirror.Close()
	})
}

// gatewayNode is one gateway.
type gatewayNode struct {
	node   *node
	id     topology.MemberID
	mirror *registry.Mirror
	views  *registry.Views
	store  *stored
	g      *gateway.Gateway
	m      *member.Member
}

// startGateway starts one; it is there once the views of the cluster are.
func (w *world) startGateway(name string) {
	w.started++
	id := topology.MemberID(fmt.Sprintf("%s@%d", name, w.started))
	p := &gatewayNode{id: id, node: w.bus.node(string(id))}
	w.background.Go(func() {
		b := newBackend(w, p.node)
		p.store, p.mirror = newStored(w, p.node), registry.NewMirror(b, w.log)
		var st store.Store = p.store
		if w.s.Unfenced {
			st = unfenced{p.store}
		}
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		var err error
		if p.views, err = registry.NewViews(ctx, p.mirror, w.log); err != nil {
			w.bus.broken("%s: %v", id, err)
			p.mirror.Close()
			return
		}
		p.m = member.New(member.Config{Self: topology.Member{ID: id, Weight: 1, State: topology.MemberServing}, Backend: b, Views: p.views, LastEpoch: st.LastEpoch, Log: w.log})
		cfg := gateway.Default()
		cfg.ShardCount, cfg.PublishesPerSecond, cfg.OpensPerSecond = w.s.Shards, 0, 0
		if p.g, err = gateway.New(cfg, gateway.Deps{Store: st, Owner: string(id), Log: w.log, Ahead: w.s.Ahead[int(w.bus.hash("ahead", uint64(p.node.id), 0))&0xffff%len(w.s.Ahead)],
			OnShard: func(e gateway.Event) {
				w.moved(p, e)
				p.m.OnShard(e)
			}}); err != nil {
			w.t.Fatal(err)
		}
		if err := p.m.Start(ctx, p.g); err != nil { // the store is not reached
			w.bus.note(p.node, "not started", 0, 0, "")
			_ = p.g.Close(context.Background())
			p.views.Close()
			p.mirror.Close()
			return
		}
		w.join(p)
	})
}

// endGateway ends one: killed, or in order, where it drains first.
func (w *world) endGateway(p *gatewayNode, killed bool) {
	w.leave(p)
	if killed {
		w.bus.kill(p.node)
		w.disturb(p.node)
	}
	w.background.Go(func() {
		if !killed {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			_ = p.m.Drain(ctx) // others may not be there, or not be reached
			cancel()
		}
		_ = p.g.Close(context.Background())
		_ = p.m.Close(context.Background()) // the registry may be down
		p.views.Close()
		p.mirror.Close()
		w.bus.kill(p.node)
		w.disturb(p.node)
	})
}

// frontend is one frontend.
type frontend struct {
	node      *node
	mirror    *registry.Mirror
	views     *registry.Views
	session   *registry.Session
	links     *links
	router    *route.Router
	set       *stream.Set
	admission *admission.Control
}

func (w *world) startFrontend() {
	w.started++
	f := &frontend{node: w.bus.node(fmt.Sprint("frontend-", w.started)), admission: admission.New(admission.Limits{MaxStreams: 1000})}
	w.background.Go(func() {
		b := newBackend(w, f.node)
		f.mirror = registry.NewMirror(b, w.log)
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		var err error
		if f.views, err = registry.NewViews(ctx, f.mirror, w.log); err != nil {
			w.bus.broken("%s: %v", f.node.name, err)
			f.mirror.Close()
			return
		}
		f.session = registry.RegisterFrontend(b, registry.Frontend{Self: topology.Member{ID: topology.MemberID(f.node.name)}, Views: f.views}, w.log)
		f.links = &links{w: w, f: f, all: make(map[topology.MemberID]*conn)}
		f.router = route.New(route.Default(), f.views, f.links)
		f.router.UseDraw(w.bus.draw)
		cfg := stream.Default()
		cfg.MaxAge = 0
		if f.set, err = stream.NewSet(cfg, stream.Deps{Opener: f.router, Owners: f.views, Logger: w.log, Metrics: prometheus.NewRegistry(), Draw: w.bus.draw}); err != nil {
			w.t.Fatal(err)
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.frontends = append(w.frontends, f)
	})
}

// killFrontend kills one: its devices' connections end.
func (w *world) killFrontend(f *frontend) {
	w.bus.kill(f.node)
	for _, d := range w.devices {
		d.frontendGone(f)
	}
	w.background.Go(func() { f.close() })
}

func (f *frontend) close() {
	f.set.Close()
	_ = f.session.Close(context.Background())
	f.views.Close()
	f.mirror.Close()
}

// moved is told of every transition of a shard in a gateway.
func (w *world) moved(p *gatewayNode, e gateway.Event) {
	w.bus.note(p.node, "shard", uint64(e.Shard), uint64(e.Epoch), e.To.String())
	if e.To != gateway.StateServing || w.bus.isDead(p.node) {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	last := w.serving[e.Shard]
	if e.Epoch <= last.epoch {
		w.bus.broken("epochs go back: %s serves shard %d at epoch %d, after %s did at %d", p.id, e.Shard, e.Epoch, last.by, last.epoch)
	}
	w.serving[e.Shard] = served{e.Epoch, p.id}
	w.bus.at(0, func() { w.checkOthers(p, e.Shard, e.Epoch) }) // not with its lock held
}

// checkOthers finds a gateway that may act on a shard which another has begun to serve.
func (w *world) checkOthers(p *gatewayNode, id protocol.ShardID, epoch protocol.Epoch) {
	gs, _ := w.living()
	for _, g := range gs {
		if g == p {
			continue
		}
		for _, s := range g.g.Shards() {
			if s.ID == id && s.Served && s.Epoch < epoch {
				w.bus.broken("two owners: %s may act on shard %d at epoch %d while %s serves it at %d", g.id, id, s.Epoch, p.id, epoch)
			}
		}
	}
}

// served is the highest epoch at which a shard was served.
type served struct {
	epoch protocol.Epoch
	by    topology.MemberID
}
