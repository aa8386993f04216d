package simulation

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"ramen/gateway"
	"ramen/gateway/member"
	"ramen/link"
	"ramen/protocol"
	"ramen/store/memory"
	"ramen/topology"
	"ramen/topology/controller"
	"ramen/topology/registry"
	registrymemory "ramen/topology/registry/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const shards = 16

// cluster is a registry, a store, and processes that come and go.
type cluster struct {
	t        *testing.T
	registry *registrymemory.Registry
	disk     *memory.Disk
	log      *slog.Logger

	controllers []*controllerProcess
	gateways    []*gatewayProcess
	started     int
	client      *registry.Mirror
	views       *registry.Views
	frontend    *registry.Session

	mu       sync.Mutex
	highest  map[protocol.ShardID]protocol.Epoch // at which something was accepted
	accepted map[string][]string                 // by user
}

type controllerProcess struct {
	c      *controller.Controller
	client *registrymemory.Client
	mirror *registry.Mirror
}

type gatewayProcess struct {
	id     topology.MemberID
	client *registrymemory.Client
	mirror *registry.Mirror
	views  *registry.Views
	store  memory.Shared
	g      *gateway.Gateway
	m      *member.Member
}

func newCluster(t *testing.T, unfenced bool) *cluster {
	c := &cluster{t: t, registry: registrymemory.New(), disk: memory.NewDisk(memory.Config{CheckLast: !unfenced, Unfenced: unfenced}),
		log: slog.New(slog.NewTextHandler(io.Discard, nil)), highest: make(map[protocol.ShardID]protocol.Epoch), accepted: make(map[string][]string)}
	if os.Getenv("RAMEN_LOG") != "" {
		c.log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	return c
}

func (c *cluster) addController() *controllerProcess {
	c.started++
	client := c.registry.Client()
	mirror := registry.NewMirror(client, c.log)
	p := &controllerProcess{client: client, mirror: mirror, c: controller.Start(controller.Config{
		Self: registry.Gateway{Member: topology.Member{ID: topology.MemberID(fmt.Sprint("controller-", c.started))}}, Shards: shards, Moves: 4, Backend: client, Mirror: mirror, Log: c.log,
	})}
	c.controllers = append(c.controllers, p)
	return p
}

func (c *cluster) addGateway(name string) *gatewayProcess { return c.addGatewayThatWatches(name, nil) }

// addGatewayThatWatches is addGateway, where views come over another client than all else; nil: over the same.
func (c *cluster) addGatewayThatWatches(name string, views *registrymemory.Client) *gatewayProcess {
	c.started++
	p := &gatewayProcess{id: topology.MemberID(fmt.Sprintf("%s@%d", name, c.started)), client: c.registry.Client(), store: c.disk.OpenShared()}
	p.mirror = registry.NewMirror(cmp.Or(views, p.client), c.log)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	var err error
	if p.views, err = registry.NewViews(ctx, p.mirror, c.log); err != nil { // the controllers are cut off, or there is no registry
		p.mirror.Close()
		_ = p.store.Close()
		return nil
	}
	p.m = member.New(member.Config{Self: topology.Member{ID: p.id, Weight: 1, State: topology.MemberServing}, Backend: p.client, Views: p.views, LastEpoch: p.store.LastEpoch, Log: c.log})
	cfg := gateway.Default()
	cfg.ShardCount, cfg.PublishesPerSecond = shards, 0
	if p.g, err = gateway.New(cfg, gateway.Deps{Store: p.store, Owner: string(p.id), Log: c.log, OnShard: p.m.OnShard}); err != nil {
		c.t.Fatal(err)
	}
	if err := p.m.Start(context.Background(), p.g); err != nil {
		c.t.Fatal(err)
	}
	c.gateways = append(c.gateways, p)
	return p
}

// stop ends a gateway in order: it drains first.
func (c *cluster) stop(p *gatewayProcess) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := p.m.Drain(ctx); err != nil && len(c.gateways) > 1 {
		c.t.Errorf("drain %s: %v", p.id, err)
	}
	c.end(p)
}

// end ends a gateway without ado.
func (c *cluster) end(p *gatewayProcess) {
	c.gateways = slices.DeleteFunc(c.gateways, func(x *gatewayProcess) bool { return x == p })
	_ = p.g.Close(context.Background())
	p.client.Cut(false)
	_ = p.m.Close(context.Background()) // the registry may be down
	p.views.Close()
	p.mirror.Close()
	_ = p.store.Close()
}

// kill ends a gateway as kill -9 does: nothing more of it reaches the store or the registry, and its registration ends by time.
func (c *cluster) kill(p *gatewayProcess) {
	c.gateways = slices.DeleteFunc(c.gateways, func(x *gatewayProcess) bool { return x == p })
	p.client.Cut(true)
	_ = p.store.Close()
	_ = p.g.Close(context.Background())
	_ = p.m.Close(context.Background())
	p.views.Close()
	p.mirror.Close()
}

func (c *cluster) endController(p *controllerProcess) {
	c.controllers = slices.DeleteFunc(c.controllers, func(x *controllerProcess) bool { return x == p })
	p.client.Cut(false)
	_ = p.c.Close(context.Background()) // the registry may be down
	p.mirror.Close()
}

func (c *cluster) close() {
	for len(c.gateways) > 0 {
		c.end(c.gateways[0])
	}
	for len(c.controllers) > 0 {
		c.endController(c.controllers[0])
	}
	if c.views != nil {
		_ = c.frontend.Close(context.Background())
		c.views.Close()
		c.client.Close()
	}
}

// watch has c follow views as a frontend does.
func (c *cluster) watch() {
	client := c.registry.Client()
	c.client = registry.NewMirror(client, c.log)
	var err error
	if c.views, err = registry.NewViews(context.Background(), c.client, c.log); err != nil {
		c.t.Fatal(err)
	}
	c.frontend = registry.RegisterFrontend(client, registry.Frontend{Self: topology.Member{ID: "frontend"}, Views: c.views}, c.log)
}

// owners is how many shards each gateway serves, by what it says itself; and that no shard is served twice.
func (c *cluster) owners() map[topology.MemberID]int {
	c.t.Helper()
	synctest.Wait() // what is seen is of one moment
	n := make(map[topology.MemberID]int)
	by := make(map[protocol.ShardID]topology.MemberID)
	for _, p := range c.gateways {
		if p.m.Ready() != nil { // its lease is over: what it has it does not touch
			continue
		}
		for _, s := range p.g.Shards() {
			if s.State != gateway.StateServing {
				continue
			}
			if other, is := by[s.ID]; is {
				c.t.Errorf("%v: shard %d is served by %s and %s", time.Now().UTC().Format("04:05.000"), s.ID, other, p.id)
			}
			by[s.ID] = p.id
			n[p.id]++
		}
	}
	return n
}

// await waits until the view has all shards served, evenly by those that are there, and they say the same.
func (c *cluster) await(patience time.Duration) {
	c.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		synctest.Wait()
		n, v := c.owners(), c.views.View()
		served := 0
		for _, s := range v.Shards {
			if s.State == topology.ShardServing {
				served++
			}
		}
		even := len(n) == len(c.gateways) && served == shards
		for _, k := range n {
			if k < shards/len(c.gateways) || k > (shards+len(c.gateways)-1)/len(c.gateways) {
				even = false
			}
		}
		if even {
			return
		}
		if time.Now().After(end) {
			c.t.Fatalf("waited %v: %v serve, the view has %+v", patience, n, v)
		}
	}
}

// publish publishes by the newest view, until it is accepted or patience ends. What an owner of an older epoch accepts after one of a newer
// is a second owner.
func (c *cluster) publish(user, id string, patience time.Duration) bool {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		v := c.views.View()
		shard, owner := v.Owner(protocol.UserID(user))
		i := slices.IndexFunc(c.gateways, func(p *gatewayProcess) bool { return p.id == owner.Member })
		if i < 0 {
			continue
		}
		r := c.gateways[i].g.Publish(context.Background(), []link.Publish{{Route: link.Route{Shard: shard, Epoch: owner.Epoch}, User: protocol.UserID(user), TTLMS: 3_600_000,
			Message: &protocol.Message{ID: protocol.MessageID(id), Priority: protocol.PriorityHigh, Payload: []byte("1"), ContentType: protocol.ContentTypeJSON}}})[0]
		if r.Status == link.StatusAccepted || r.Status == link.StatusDuplicate {
			c.mu.Lock()
			if owner.Epoch < c.highest[shard] {
				c.t.Errorf("shard %d: accepted at epoch %d after one at %d was", shard, owner.Epoch, c.highest[shard])
			}
			c.highest[shard] = max(c.highest[shard], owner.Epoch)
			c.accepted[user] = append(c.accepted[user], id)
			c.mu.Unlock()
			return true
		}
	}
	return false
}

// check wants all that was accepted to wait for its user.
func (c *cluster) check() {
	c.t.Helper()
	for user, ids := range c.accepted {
		have, err := c.waiting(user)
		for end := time.Now().Add(5 * time.Second); err != nil && time.Now().Before(end); have, err = c.waiting(user) {
			time.Sleep(50 * time.Millisecond)
		}
		if err != nil {
			c.t.Errorf("messages of %s: %v", user, err)
			continue
		}
		for _, id := range ids {
			if !have[id] {
				c.t.Errorf("%s was accepted for %s, and does not wait", id, user)
			}
		}
	}
}

// waiting asks the owner of user for what waits.
func (c *cluster) waiting(user string) (map[string]bool, error) {
	shard, owner := c.views.View().Owner(protocol.UserID(user))
	i := slices.IndexFunc(c.gateways, func(p *gatewayProcess) bool { return p.id == owner.Member })
	if i < 0 {
		return nil, fmt.Errorf("nobody owns shard %d", shard)
	}
	page, err := c.gateways[i].g.Messages(context.Background(), link.Route{Shard: shard, Epoch: owner.Epoch}, protocol.UserID(user), link.Page{Limit: 1 << 20})
	have := make(map[string]bool)
	for _, m := range page.Messages {
		have[string(m.ID)] = true
	}
	return have, err
}

// TestClusterComesUpGrowsAndShrinks: shards are even over those that are there; drained and killed gateways' shards move to others within 5 s.
func TestClusterComesUpGrowsAndShrinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, false)
		defer c.close()
		c.addController()
		c.addController()
		a := c.addGateway("a")
		c.watch()
		c.await(10 * time.Second)
		b := c.addGateway("b")
		c.addGateway("c")
		c.await(10 * time.Second)
		for i := range 40 {
			if !c.publish(fmt.Sprint("u", i), "m1", time.Second) {
				t.Fatal("not accepted")
			}
		}
		c.stop(a)
		c.await(time.Second)
		for i := range 40 {
			if !c.publish(fmt.Sprint("u", i), "m2", time.Second) {
				t.Fatal("not accepted")
			}
		}
		c.kill(b)
		c.await(5 * time.Second)
		c.addGateway("a")
		c.await(5 * time.Second)
		c.check()
	})
}

// TestShardsGoWhereTheStoreIsReached: a gateway that is given shards and cannot claim them leaves them to others, and has its share once it can.
func TestShardsGoWhereTheStoreIsReached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, false)
		defer c.close()
		c.addController()
		c.addGateway("a")
		c.addGateway("b")
		c.watch()
		c.await(10 * time.Second)
		p := c.addGateway("c")
		p.store.Script(func(ctx context.Context, op memory.Op) memory.Fault {
			if op.Kind == memory.OpClaim || op.Kind == memory.OpClaims {
				<-ctx.Done()
				return memory.Fault{Err: ctx.Err()}
			}
			return memory.Fault{}
		})
		time.Sleep(12 * time.Second)
		synctest.Wait()
		if n, v := c.owners(), c.views.View(); n["a@2"]+n["b@3"] != shards || v.Members[p.id].State != topology.MemberJoining {
			t.Fatalf("%v serve; the view has %+v, members %+v", n, v, v.Members[p.id])
		}
		p.store.Script(nil)
		c.await(30 * time.Second)
	})
}

// TestLostRegistryIsReplaced: an etcd that is wiped under load costs a pause, and nothing else: epochs go on above the old ones.
func TestLostRegistryIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, true)
		defer c.close()
		c.addController()
		c.addGateway("a")
		c.addGateway("b")
		c.watch()
		c.await(10 * time.Second)
		for i := range 40 {
			c.publish(fmt.Sprint("u", i), "m1", time.Second)
		}
		before := c.views.View().Shards[0].Epoch
		c.registry.Wipe()
		for i := range 40 {
			if !c.publish(fmt.Sprint("u", i), "m2", 10*time.Second) {
				t.Fatal("not accepted")
			}
			time.Sleep(200 * time.Millisecond)
		}
		c.await(10 * time.Second)
		for _, s := range c.views.View().Shards {
			if s.Epoch <= before {
				t.Errorf("epoch %d; before it was up to %d", s.Epoch, before)
			}
		}
		c.check()
	})
}

// TestLastGatewayStopsSoon: a gateway that has nobody to give its shards to does not wait for as long as it may; nor do all that stop at once.
func TestLastGatewayStopsSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, false)
		defer c.close()
		c.addController()
		c.addGateway("a")
		c.addGateway("b")
		c.watch()
		c.await(10 * time.Second)
		began := time.Now()
		var all sync.WaitGroup
		var alone atomic.Int32
		for _, p := range c.gateways {
			all.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				switch err := p.m.Drain(ctx); {
				case errors.Is(err, member.ErrNobodyElse):
					alone.Add(1)
				case err != nil:
					t.Errorf("drain %s: %v", p.id, err)
				}
			})
		}
		all.Wait()
		if alone.Load() == 0 { // the other may have been given all before it was drained itself
			t.Error("both have given their shards away")
		}
		if took := time.Since(began); took < 2*time.Second || took > 6*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

// TestRestoredRegistry: an etcd that was down, and comes back from an older backup, has views that are followed: epochs and versions go on above
// those that members have seen.
func TestRestoredRegistry(t *testing.T) {
	for _, unfenced := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			c := newCluster(t, unfenced)
			defer c.close()
			c.addController()
			c.addGateway("a")
			c.watch()
			c.await(10 * time.Second)
			restore := c.registry.Save()
			b := c.addGateway("b")
			c.await(10 * time.Second)
			c.addGateway("c")
			c.await(10 * time.Second)
			c.stop(b)
			c.await(10 * time.Second)
			for i := range 40 {
				if !c.publish(fmt.Sprint("u", i), "m1", time.Second) {
					t.Fatal("not accepted")
				}
			}
			before := c.views.View()
			c.registry.SetDown(true)
			time.Sleep(5 * time.Second)
			restore()
			c.registry.SetDown(false)
			c.await(15 * time.Second)
			c.addGateway("d")
			c.await(10 * time.Second)
			if after := c.views.View(); after.Version <= before.Version {
				t.Errorf("view %d is in force; before it was %d", after.Version, before.Version)
			}
			for i := range 40 {
				if !c.publish(fmt.Sprint("u", i), "m2", time.Second) {
					t.Fatal("not accepted")
				}
			}
			c.check()
		})
	}
}

// TestRestoredRegistryGivesNothingThatIsServed: a gateway that was given shards behind the backup renews its lease, which lives again, and sees no
// view for a while. Nobody else is given them until it does.
func TestRestoredRegistryGivesNothingThatIsServed(t *testing.T) {
	for _, unfenced := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			c := newCluster(t, unfenced)
			defer c.close()
			c.addController()
			c.addGateway("a")
			c.watch()
			c.await(10 * time.Second)
			views := c.registry.Client()
			b := c.addGatewayThatWatches("b", views)
			for {
				s, changed := c.client.Snapshot()
				if _, is := s.Entries[registry.GatewaysKey+string(b.id)]; is {
					break
				}
				<-changed
			}
			restore := c.registry.Save()
			c.await(10 * time.Second)
			served := c.owners()[b.id]
			restore()
			views.Cut(true)
			for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
				if n := c.owners()[b.id]; n != served {
					t.Fatalf("it serves %d shards, not %d: nothing is shown", n, served)
				}
			}
			views.Cut(false)
			c.await(10 * time.Second)
			for i := range 40 {
				if !c.publish(fmt.Sprint("u", i), "m1", time.Second) {
					t.Fatal("not accepted")
				}
			}
			c.check()
		})
	}
}
