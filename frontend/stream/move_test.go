package stream

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ramen/frontend/admission"
	"ramen/frontend/route"
	"ramen/gateway"
	"ramen/link"
	"ramen/link/linktest"
	"ramen/protocol"
	"ramen/store/memory"
	"ramen/topology"
	"ramen/topology/topologytest"
)

// cluster is two gateways on one store, a topology in which shards move between them, and a frontend's streams.
type cluster struct {
	*topologytest.Settable
	t      *testing.T
	nodes  map[topology.MemberID]*gateway.Gateway
	links  map[topology.MemberID]*linktest.FaultyLink
	router *route.Router
	set    *Set
	permit *admission.Control
	stop   chan struct{}
	busy   sync.WaitGroup

	devices  []*testDevice
	accepted atomic.Int64 // messages
}

const (
	testShards  = 16
	testDevices = 300
)

// runCluster runs test in virtual time, with shards owned by a, every device live, and publishers at work. What was accepted by the
// end must have reached each device once, in order, on the connection that it began with.
func runCluster(t *testing.T, test func(c *cluster)) {
	synctest.Test(t, func(t *testing.T) {
		c := &cluster{
			Settable: topologytest.NewSettable(testShards, "a", "b"), t: t, permit: admission.New(admission.Limits{}), stop: make(chan struct{}),
			nodes: map[topology.MemberID]*gateway.Gateway{}, links: map[topology.MemberID]*linktest.FaultyLink{},
		}
		disk := memory.NewDisk(memory.Config{})
		cfg := gateway.Default()
		cfg.ShardCount, cfg.OpensPerSecond, cfg.PublishesPerSecond = testShards, 0, 0
		for _, id := range []topology.MemberID{"a", "b"} {
			g, err := gateway.New(cfg, gateway.Deps{Store: disk.Open(), Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()})
			if err != nil {
				t.Fatal(err)
			}
			c.nodes[id], c.links[id] = g, linktest.Severable(g)
			defer func() {
				if err := g.Close(context.Background()); err != nil {
					t.Error(err)
				}
			}()
		}
		c.take("a", c.All()...)
		c.router = route.New(route.Default(), c, c)
		set, err := NewSet(Default(), Deps{Opener: c.router, Owners: c, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		c.set = set
		defer set.Close()
		for i := range testDevices {
			c.open(i)
		}
		for p := range 4 {
			c.busy.Go(func() { c.publish(p) })
		}
		pass(200 * time.Millisecond)
		test(c)
		pass(time.Second)
		close(c.stop)
		c.busy.Wait()
		pass(2 * time.Second)
		c.finish()
	})
}

// Dial implements route.Links.
func (c *cluster) Dial(m *topology.Member) (link.Gateway, bool) {
	l, ok := c.links[m.ID]
	return l, ok
}

// take makes to the owner of shards, whatever the owner before knows of it.
func (c *cluster) take(to topology.MemberID, shards ...protocol.ShardID) {
	for _, id := range shards {
		if err := c.nodes[to].Take(context.Background(), []protocol.ShardID{id}, c.View().Shards[id].Epoch+1, time.Time{}); err != nil {
			c.t.Fatal(err)
		}
	}
	c.Move(to, shards...)
}

// release has from give shards up.
func (c *cluster) release(from topology.MemberID, shards ...protocol.ShardID) {
	if err := c.nodes[from].Release(context.Background(), shards); err != nil {
		c.t.Fatal(err)
	}
}

// testDevice is a device: it writes down what it is pushed, and acks now and then.
type testDevice struct {
	stream Stream
	user   protocol.UserID
	tape

	// guarded by the stream's mutex
	seq      protocol.Seq
	got      map[protocol.MessageID]int
	wrong    string
	accepted sync.Map // ids of what was accepted for its user
}

// WritePushes implements FrameWriter.
func (d *testDevice) WritePushes(batch []protocol.Push, _ bool) WriteResult {
	for i := range batch {
		p := &batch[i]
		if d.got[p.Message.ID]++; d.got[p.Message.ID] > 1 || p.Seq != d.seq+1 {
			d.wrong = fmt.Sprintf("push %d of %s came after push %d, for the %d. time", p.Seq, p.Message.ID, d.seq, d.got[p.Message.ID])
		}
		d.seq = p.Seq
	}
	return d.tape.WritePushes(batch, false)
}

func (c *cluster) open(i int) {
	d := &testDevice{user: protocol.UserID(fmt.Sprint("user", i)), tape: tape{clock: c.set.clock}, got: map[protocol.MessageID]int{}}
	permit, _ := c.permit.Admit("")
	r := &Request{User: d.user, Device: "d", HeartbeatMS: 4000}
	d.stream.Init(c.set, r, protocol.TransportSSE, d)
	o, err := d.stream.Open(context.Background(), r)
	if err != nil {
		c.t.Fatal(err)
	}
	d.stream.Start(o, permit, func(h *protocol.Hello) (WriteResult, error) {
		d.seq = h.Seq
		return WriteResult{10, 0}, nil
	})
	c.devices = append(c.devices, d)
	c.busy.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-c.stop:
				return
			case <-time.After(time.Duration(20+(i*7+n*13)%60) * time.Millisecond):
			}
			var seq protocol.Seq
			d.stream.UnlessClosed(func() { seq = d.seq })
			if seq > 0 && (i+n)%3 > 0 {
				d.stream.OnAcks(&Acks{some: true, seq: seq})
			}
		}
	})
}

// publish has messages accepted for one device after another until the cluster stops.
func (c *cluster) publish(p int) {
	for n := 0; ; n++ {
		select {
		case <-c.stop:
			return
		case <-time.After(5 * time.Millisecond):
		}
		var batch []link.Publish
		for k := range 10 {
			d := c.devices[(n*40+p*10+k)%len(c.devices)]
			m := &protocol.Message{ID: protocol.MessageID(fmt.Sprintf("%d.%d.%d", p, n, k)), Priority: protocol.PriorityMedium, ContentType: "text/plain", Payload: []byte("x")}
			batch = append(batch, link.Publish{User: d.user, Message: m, TTLMS: 600_000})
		}
		for i, r := range c.router.Publish(context.Background(), batch) {
			if r.Status == link.StatusAccepted {
				c.accepted.Add(1)
				c.devices[(n*40+p*10+i)%len(c.devices)].accepted.Store(batch[i].Message.ID, true)
			}
		}
	}
}

// finish checks what every device has, and ends it.
func (c *cluster) finish() {
	if err := c.set.Check(); err != nil {
		c.t.Error(err)
	}
	lost := 0
	for _, d := range c.devices {
		d.stream.locked(func() {
			if d.stream.state != live || d.ended != protocol.ReasonNone || d.wrong != "" {
				c.t.Errorf("%s is in state %d, ended by %q: %s", d.user, d.stream.state, d.ended, d.wrong)
			}
			d.accepted.Range(func(id, _ any) bool {
				if d.got[id.(protocol.MessageID)] == 0 {
					lost++
				}
				return true
			})
		})
		d.stream.Finish(protocol.ReasonGone, "")
	}
	if c.accepted.Load() < 1000 || lost > 0 {
		c.t.Errorf("%d messages were accepted; %d of them reached nobody", c.accepted.Load(), lost)
	}
	if n := c.inShards(); n > 0 {
		c.t.Errorf("%d streams that have ended are in a shard", n)
	}
}

func (c *cluster) inShards() (n int) {
	for i := range c.set.shards.of {
		h := &c.set.shards.of[i]
		n += len(h.waiting)
		for _, g := range h.live {
			n += len(g.streams)
		}
	}
	return n
}

// awaitLive waits until every stream is live, and says how long that took.
func (c *cluster) awaitLive() time.Duration {
	began := time.Now()
	for time.Since(began) < 10*time.Second {
		n := 0
		for _, d := range c.devices {
			d.stream.locked(func() {
				if d.stream.state == live {
					n++
				}
			})
		}
		if n == len(c.devices) {
			break
		}
		pass(time.Millisecond)
	}
	return time.Since(began)
}

// Half the shards are taken by another gateway, and the old one does not know, or does not say so: the newer view moves the streams.
func TestAViewMovesStreamsWithoutTheirGatewaysWord(t *testing.T) {
	runCluster(t, func(c *cluster) {
		c.take("b", c.All()[:testShards/2]...)
		if took := c.awaitLive(); took > 200*time.Millisecond {
			c.t.Errorf("the streams took %v to move", took)
		}
	})
}

// A shard is given up and taken in order, one after the other, all of them.
func TestShardsMoveInOrder(t *testing.T) {
	runCluster(t, func(c *cluster) {
		for _, id := range c.All() {
			c.release("a", id)
			c.take("b", id)
			if took := c.awaitLive(); took > 200*time.Millisecond {
				c.t.Errorf("the streams of shard %d took %v to move", id, took)
			}
		}
	})
}

// The owner dies: first its link breaks, then the view says that it is gone, then another takes what it had.
func TestStreamsOutliveTheirGateway(t *testing.T) {
	runCluster(t, func(c *cluster) {
		c.links["a"].Sever()
		pass(300 * time.Millisecond)
		c.SetState("a", topology.MemberGone)
		pass(2 * time.Second)
		c.take("b", c.All()...)
		if took := c.awaitLive(); took > 500*time.Millisecond {
			c.t.Errorf("the streams took %v to move", took)
		}
	})
}

// A view in which the owner is gone detaches its streams, though its link stands; they wait for another, asking nobody.
func TestAViewDetachesStreamsOfAMemberThatIsGone(t *testing.T) {
	runCluster(t, func(c *cluster) {
		c.SetState("a", topology.MemberGone)
		pass(100 * time.Millisecond)
		for _, d := range c.devices {
			d.stream.locked(func() {
				if d.stream.state != detached {
					c.t.Fatalf("a stream of %s is in state %d", d.user, d.stream.state)
				}
			})
		}
		if c.set.reopener.workers > 0 {
			c.t.Errorf("%d workers wait for owners", c.set.reopener.workers)
		}
		c.take("b", c.All()...)
		if took := c.awaitLive(); took > 200*time.Millisecond {
			c.t.Errorf("the streams took %v to move", took)
		}
	})
}

// Shards move on, and back, before the streams have followed the first move.
func TestTwoMovesInQuickSuccession(t *testing.T) {
	for _, between := range []time.Duration{0, time.Millisecond, 10 * time.Millisecond} {
		runCluster(t, func(c *cluster) {
			for range 5 {
				c.release("a", c.All()...)
				c.take("b", c.All()...)
				time.Sleep(between)
				c.take("a", c.All()[:testShards/2]...) // b does not know
				c.release("b", c.All()[testShards/2:]...)
				c.take("a", c.All()[testShards/2:]...)
				time.Sleep(10 * between)
			}
			if took := c.awaitLive(); took > 500*time.Millisecond {
				c.t.Errorf("the streams took %v to move", took)
			}
		})
	}
}
