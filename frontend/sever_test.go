package frontend

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ramen/frontend/route"
	gw "ramen/gateway"
	"ramen/link"
	"ramen/link/linktest"
	"ramen/protocol"
	"ramen/store/memory"
	"ramen/topology"
	"ramen/topology/topologytest"
)

// cluster is two gateways on one disk, each behind a link that can break, and a topology in which the shards move between them.
type cluster struct {
	*topologytest.Settable
	t      *testing.T
	router *route.Router
	nodes  [2]*gw.Gateway
	links  [2]*linktest.FaultyLink
	owner  int
}

const clusterShards = 4

func newCluster(t *testing.T) *cluster {
	c := &cluster{t: t, Settable: topologytest.NewSettable(clusterShards, member(0), member(1))}
	disk := memory.NewDisk(memory.Config{})
	cfg := gw.Default()
	cfg.ShardCount, cfg.OpensPerSecond = clusterShards, 0
	for i := range c.nodes {
		g, err := gw.New(cfg, gw.Deps{Store: disk.Open(), Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()})
		if err != nil {
			t.Fatal(err)
		}
		c.nodes[i], c.links[i] = g, linktest.Severable(g)
	}
	c.take(0)
	c.router = route.New(route.Default(), c, c)
	t.Cleanup(func() {
		for _, g := range c.nodes {
			if err := g.Close(context.Background()); err != nil {
				t.Error(err)
			}
		}
	})
	return c
}

// take makes node i the owner of all.
func (c *cluster) take(i int) {
	if err := c.nodes[i].Take(context.Background(), c.All(), c.View().Shards[0].Epoch+1, time.Time{}); err != nil {
		c.t.Error(err)
	}
	c.owner = i
	c.Move(member(i), c.All()...)
}

// move gives everything to the other node.
func (c *cluster) move() {
	if err := c.nodes[c.owner].Release(context.Background(), c.All()); err != nil {
		c.t.Error(err)
	}
	c.take(1 - c.owner)
}

func member(i int) topology.MemberID { return topology.MemberID(fmt.Sprint("node", i)) }

// Dial implements route.Links.
func (c *cluster) Dial(m *topology.Member) (link.Gateway, bool) {
	for i := range c.nodes {
		if member(i) == m.ID {
			return c.links[i], true
		}
	}
	return nil, false
}

// storm severs links and moves shards until ctx is over, then leaves everything whole.
func (c *cluster) storm(ctx context.Context, rng *rand.Rand) {
	for ctx.Err() == nil {
		switch rng.IntN(4) {
		case 0:
			c.move()
		default:
			link := c.links[c.owner]
			link.Sever()
			wait(ctx, rng.IntN(20))
			link.Heal()
		}
		wait(ctx, 10+rng.IntN(30))
	}
}

func wait(ctx context.Context, ms int) {
	t := time.NewTimer(time.Duration(ms) * time.Millisecond)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

const stormMessages = 600

// publish has all messages accepted, whatever it takes.
func (c *cluster) publish(ctx context.Context, rng *rand.Rand) {
	for i := 0; i < stormMessages; {
		n := min(1+rng.IntN(12), stormMessages-i)
		var batch []link.Publish
		for k := range n {
			size := rng.IntN(2000)
			if rng.IntN(20) == 0 {
				size = 40_000 // over the credit of a stream
			}
			m := &protocol.Message{ID: protocol.MessageID(fmt.Sprint("m", i+k)), Priority: protocol.Priority(1 + rng.IntN(3)), ContentType: "text/plain", Payload: make([]byte, size)}
			batch = append(batch, link.Publish{User: "u", Message: m, TTLMS: 600_000})
		}
		for again := true; again && ctx.Err() == nil; {
			again = false
			for _, r := range c.router.Publish(ctx, batch) {
				again = again || r.Status == link.StatusRejected
			}
		}
		i += n
		wait(ctx, rng.IntN(10))
	}
}

// received is what a device has processed. Its cursor covers exactly that.
type received struct {
	t      *testing.T
	b      *bench
	ids    map[protocol.MessageID]bool
	cursor string
	seq    protocol.Seq
}

func (r *received) take(p *protocol.Push) {
	if r.ids[p.Message.ID] {
		r.t.Fatalf("push %d brings %s again", p.Seq, p.Message.ID)
	}
	if p.Seq != r.seq+1 {
		r.t.Fatalf("push %d came, not %d", p.Seq, r.seq+1)
	}
	r.ids[p.Message.ID], r.cursor, r.seq = true, p.Cursor, p.Seq
}

func (r *received) place() url.Values {
	v := asking("u", "d", "heartbeat_ms", "1000")
	if r.cursor != "" {
		v.Set("cursor", r.cursor)
	}
	return v
}

func (r *received) greeted(h *protocol.Hello) {
	if h.Resumed != (r.cursor != "") || h.Seq < r.seq {
		r.t.Fatalf("hello is %+v for a device at %d, cursor %q", h, r.seq, r.cursor)
	}
	r.seq = h.Seq // beyond it where pushes were under way when the last stream was cut
}

// ack acks everything on the stream, or beside it.
func (r *received) ack(d device, bySeq bool) {
	_, events := d.(*events)
	switch {
	case r.cursor == "":
	case events: // an ack that finds no owner in time is made good by the next
		if resp, err := r.b.client().Post(r.b.url("/ramen/ack", r.place()), "", nil); err != nil {
			r.t.Error(err)
		} else if resp.Body.Close(); resp.StatusCode != http.StatusNoContent && resp.StatusCode != http.StatusServiceUnavailable {
			r.t.Errorf("ack: %s", resp.Status)
		}
	case bySeq:
		d.say(ackSeq(r.seq))
	default:
		d.say(ackCursor(r.cursor))
	}
}

// listen reads one stream until it has had n pushes, or all.
func (r *received) listen(d device, n int, rng *rand.Rand) {
	defer d.close()
	for greeted := false; n > 0 && len(r.ids) < stormMessages; {
		f, err := within(r.t, d)
		switch {
		case !greeted && (err != nil || f.Kind == protocol.ServerGoAway):
			return // no owner answered in time: it comes back
		case err != nil:
			r.t.Fatalf("the stream ended after push %d: %v", r.seq, err)
		case f.Kind == protocol.ServerHello:
			greeted = true
			r.greeted(&f.Hello)
		case f.Kind == protocol.ServerPush:
			r.take(&f.Push)
			if n--; rng.IntN(8) == 0 {
				r.ack(d, rng.IntN(2) == 0)
			}
		case f.Kind == protocol.ServerHeartbeat:
			if g, is := d.(*rpc); is {
				g.say(&protocol.DeviceFrame{Kind: protocol.FrameHeartbeat, TimeMS: f.TimeMS})
			}
		default:
			r.t.Fatalf("%+v came after push %d", f, r.seq)
		}
	}
	r.ack(d, true)
}

// poll asks once.
func (r *received) poll() {
	v := r.place()
	v.Set("wait", "1")
	resp, err := r.b.client().Get(r.b.url("/ramen/poll", v))
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if resp.StatusCode == http.StatusServiceUnavailable {
		return
	}
	a, derr := protocol.DecodePollAnswer(body)
	if err := errors.Join(err, derr); err != nil || a.GoAway != nil {
		r.t.Fatalf("%s %v: %s", resp.Status, err, body)
	}
	if a.Resumed != (r.cursor != "") {
		r.t.Fatalf("resumed: %t for cursor %q", a.Resumed, r.cursor)
	}
	if len(a.Messages) > 0 && a.Messages[0].Seq > r.seq {
		r.seq = a.Messages[0].Seq - 1
	}
	for i := range a.Messages {
		r.take(&a.Messages[i])
	}
	if len(a.Messages) > 0 {
		r.cursor = a.Cursor
	}
}

// Links break and shards move in the middle of everything, and a device on any transport is pushed every message once, in seqs
// without a gap, on one socket and over reconnects; what it acked meanwhile counts.
func TestSeveredLinksLoseAndRepeatNothing(t *testing.T) {
	type way struct {
		name string
		read func(r *received, rng *rand.Rand)
	}
	ways := []way{{"poll", func(r *received, _ *rand.Rand) { r.poll() }}}
	for _, d := range dialers {
		ways = append(ways, way{d.name, func(r *received, rng *rand.Rand) { r.listen(d.dial(r.b, r.place()), 1+rng.IntN(2*stormMessages), rng) }})
	}
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			seed := rand.Uint64()
			t.Cleanup(func() {
				if t.Failed() {
					t.Logf("seed %d", seed)
				}
			})
			c := newCluster(t)
			b := newBench(t, func(_ *Config, d *Deps) { d.Router, d.Owners = c.router, c })
			r := &received{t: t, b: b, ids: map[protocol.MessageID]bool{}}
			rng := rand.New(rand.NewPCG(seed, 0))
			ctx, endStorm := context.WithCancel(t.Context())
			var others sync.WaitGroup
			others.Go(func() { c.storm(ctx, rand.New(rand.NewPCG(seed, 1))) })
			others.Go(func() { c.publish(ctx, rand.New(rand.NewPCG(seed, 2))) })
			defer others.Wait()
			defer endStorm()
			for limit := time.Now().Add(time.Minute); len(r.ids) < stormMessages; {
				if time.Now().After(limit) {
					t.Fatalf("%d messages of %d came", len(r.ids), stormMessages)
				}
				w.read(r, rng)
			}
			endStorm()
			others.Wait()
			r.wantAllAcked(c)
		})
	}
}

// wantAllAcked checks that everything is acked: the mailbox is empty.
func (r *received) wantAllAcked(c *cluster) {
	if err := c.router.Ack(r.t.Context(), link.Ack{User: "u", Device: "d", Cursor: r.cursor}); err != nil {
		r.t.Error(err)
	}
	left, err := c.router.Messages(r.t.Context(), "u")
	if err != nil || len(left) != 0 {
		r.t.Errorf("%d messages are left: %v", len(left), err)
	}
}
