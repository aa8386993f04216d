package simulation

import (
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ramen/link"
	"ramen/loadtest/ledger/judge"
	"ramen/protocol"
	"ramen/store/memory"
	"ramen/topology"
	registrymemory "ramen/topology/registry/memory"
)

// world is all that there is in one schedule.
type world struct {
	t        *testing.T
	s        *schedule
	bus      *bus
	log      *slog.Logger
	registry *registrymemory.Registry
	etcd     *node
	disk     *memory.Disk
	store    *node
	kept     *kept

	background sync.WaitGroup // processes that start or end, publishers
	publishing atomic.Int64   // publishers that go on

	// owned by the schedule's goroutine
	started     int
	controllers []*controllerNode
	devices     []*device

	mu sync.Mutex
	// guarded by mu
	gateways  []*gatewayNode // those that live
	known     map[topology.MemberID]*gatewayNode
	frontends []*frontend
	serving   map[protocol.ShardID]served
	opens     map[string][]*firstOpen // of each device
	messages  []*judge.Message
	ended     bool
}

func newWorld(t *testing.T, s *schedule) *world {
	w := &world{t: t, s: s, bus: newBus(s.Seed), log: slog.New(slog.DiscardHandler), registry: registrymemory.New(),
		disk: memory.NewDisk(memory.Config{CheckLast: !s.Unfenced, Unfenced: s.Unfenced}), kept: &kept{ids: make(map[string]bool)},
		known: make(map[topology.MemberID]*gatewayNode), serving: make(map[protocol.ShardID]served), opens: make(map[string][]*firstOpen)}
	if os.Getenv("RAMEN_LOG") != "" {
		w.log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	w.etcd, w.store = w.bus.node("etcd"), w.bus.node("store")
	return w
}

func (w *world) isOver() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ended
}

func (w *world) join(p *gatewayNode) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gateways = append(w.gateways, p)
	w.known[p.id] = p
	w.bus.note(p.node, "started", 0, 0, "")
}

func (w *world) leave(p *gatewayNode) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gateways = slices.DeleteFunc(w.gateways, func(x *gatewayNode) bool { return x == p })
}

func (w *world) gateway(id topology.MemberID) *gatewayNode {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.known[id]
}

// living are the gateways and frontends that are there.
func (w *world) living() ([]*gatewayNode, []*frontend) {
	w.mu.Lock()
	defer w.mu.Unlock()
	fs := slices.DeleteFunc(slices.Clone(w.frontends), func(f *frontend) bool { return w.bus.isDead(f.node) })
	return slices.Clone(w.gateways), fs
}

// disturb has the connections of n, or all with nil, look whether they break.
func (w *world) disturb(n *node) {
	_, fs := w.living()
	for _, f := range fs {
		f.links.mu.Lock()
		all := slices.Clone(f.links.order)
		f.links.mu.Unlock()
		for _, c := range all {
			if n == nil || c.f.node == n || c.g.node == n {
				c.disturbed()
			}
		}
	}
}

// newest is the highest epoch at which a shard was served.
func (w *world) newest(id protocol.ShardID) served {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.serving[id]
}

// published is told what a gateway has answered, before anybody else is.
func (w *world) published(g *gatewayNode, p *link.Publish, r *link.Result) {
	if r.Status != link.StatusAccepted && r.Status != link.StatusDuplicate {
		return
	}
	w.bus.note(g.node, "accepts", uint64(p.Shard), uint64(p.Epoch), string(p.Message.ID))
	if last := w.newest(p.Shard); p.Epoch < last.epoch {
		w.bus.broken("two owners: %s answers for shard %d at epoch %d while %s serves it at %d", g.id, p.Shard, p.Epoch, last.by, last.epoch)
	}
	if r.Status == link.StatusAccepted && !w.kept.has(p.User, p.Message.ID) {
		w.bus.broken("accepted before it is stored: %s of %s by %s", p.Message.ID, p.User, g.id)
	}
}

// pushed is told what a gateway pushes, before anybody else is.
func (w *world) pushed(e *end, batch []protocol.Push) {
	g := e.conn.g
	if w.bus.isDead(g.node) {
		return
	}
	if last := w.newest(e.at.Shard); e.at.Epoch < last.epoch {
		w.bus.broken("two owners: %s pushes %s of shard %d at epoch %d while %s serves it at %d", g.id, batch[0].Message.ID, e.at.Shard, e.at.Epoch, last.by, last.epoch)
	}
}

// firstOpen is the first open of a socket at a gateway.
type firstOpen struct {
	receiver   link.Receiver
	came, done int64
	ok         bool
}

// opening is told that a stream is about to be opened, and answers what to call when that is done.
func (w *world) opening(g *gatewayNode, o *link.Open, e *end) (done func(err error)) {
	x := &firstOpen{receiver: e.receiver, came: w.bus.now()}
	if o.Generation == 0 {
		key := string(o.User) + "/" + string(o.Device)
		w.mu.Lock()
		w.opens[key] = append(w.opens[key], x)
		w.mu.Unlock()
	}
	return func(err error) {
		if err != nil {
			return
		}
		if last := w.newest(o.Shard); o.Epoch < last.epoch {
			w.bus.broken("two owners: %s opens a stream of shard %d at epoch %d while %s serves it at %d", g.id, o.Shard, o.Epoch, last.by, last.epoch)
		}
		x.done, x.ok = w.bus.now(), true
	}
}

// superseded is told of a stream that is ended, or not opened again, for a newer one of its device: there has to be one, which came to a gateway
// when its socket had been opened, or while it was.
func (w *world) superseded(e *end) {
	key, now := string(e.user)+"/"+string(e.device), w.bus.now()
	w.bus.at(3*time.Second, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		var own *firstOpen
		for _, x := range w.opens[key] {
			if x.receiver == e.receiver && x.ok {
				own = x
			}
		}
		for _, x := range w.opens[key] {
			if own == nil || x != own && x.ok && x.came <= now && x.done >= own.came {
				return
			}
		}
		w.bus.broken("a stream of %s is ended at %v for one that is older", key, time.Duration(now))
	})
}

func moment(b *bus) judge.Moment { return judge.Moment(b.now()) }

// sleep passes time, to an instant at which nothing else happens.
func (w *world) sleep(d time.Duration) {
	done := make(chan struct{})
	w.bus.at(d, func() { close(done) })
	<-done
}
