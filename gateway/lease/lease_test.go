package lease

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"ramen/gateway"
	"ramen/link"
	"ramen/protocol"
	"ramen/store"
	"ramen/store/memory"
	"ramen/topology"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const shards = 4

// process is one that serves from a shared disk.
type process struct {
	t     *testing.T
	name  string
	store memory.Shared
	lease *Lease
	g     *gateway.Gateway
}

func newProcess(t *testing.T, d *memory.Disk, name string) *process {
	p := &process{t: t, name: name, store: d.OpenShared()}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	p.lease = New(Config{Store: p.store, Owner: name, Shards: shards, Log: log})
	cfg := gateway.Default()
	cfg.ShardCount, cfg.PublishesPerSecond = shards, 0
	g, err := gateway.New(cfg, gateway.Deps{Store: p.store, Owner: name, Log: log, OnShard: p.lease.OnShard})
	if err != nil {
		t.Fatal(err)
	}
	p.g = g
	return p
}

func (p *process) start() *process {
	p.lease.Start(context.Background(), p.g)
	return p
}

func (p *process) close() {
	p.t.Helper()
	if err := p.g.Close(context.Background()); err != nil {
		p.t.Errorf("close %s: %v", p.name, err)
	}
	p.lease.Close(context.Background())
}

// serves reports whether p serves all shards, and that its view says the same.
func (p *process) serves() bool {
	p.t.Helper()
	n := 0
	v := p.lease.View()
	if err := v.Check(); err != nil {
		p.t.Error(err)
	}
	for _, s := range p.g.Shards() {
		if s.State == gateway.StateServing {
			n++
		}
		if of := v.Shards[s.ID]; (s.State == gateway.StateServing) != (of.Member == Self && of.State == topology.ShardServing && of.Epoch == s.Epoch) {
			p.t.Errorf("%s: shard %+v, the view has %+v", p.name, s, of)
		}
	}
	return n == shards
}

func (p *process) publish(user, id string) (accepted bool, epoch protocol.Epoch) {
	shard := topology.ShardOf(protocol.UserID(user), shards)
	epoch = p.lease.View().Shards[shard].Epoch
	r := p.g.Publish(context.Background(), []link.Publish{{Route: link.Route{Shard: shard, Epoch: epoch}, User: protocol.UserID(user), TTLMS: 3_600_000,
		Message: &protocol.Message{ID: protocol.MessageID(id), Priority: protocol.PriorityHigh, Payload: []byte("1"), ContentType: protocol.ContentTypeJSON}}})[0]
	return r.Status == link.StatusAccepted, epoch
}

func wait(d time.Duration) { time.Sleep(d); synctest.Wait() }

// TestOlderOneStops: a second process takes all; the first says why it serves nobody, and takes all again once the second has gone, or
// been killed.
func TestOlderOneStops(t *testing.T) {
	for _, killed := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			d := memory.NewDisk(memory.Config{CheckLast: true})
			a := newProcess(t, d, "a").start()
			if !a.serves() || a.lease.Ready() != nil {
				t.Fatalf("a does not serve: %v", a.lease.Ready())
			}
			if ok, _ := a.publish("u", "m1"); !ok {
				t.Fatal("not accepted")
			}
			b := newProcess(t, d, "b").start()
			if !b.serves() {
				t.Fatalf("b does not serve: %v", b.lease.Ready())
			}
			if ok, _ := a.publish("u", "m2"); ok {
				t.Fatal("a accepts beside b")
			}
			wait(every)
			if err := a.lease.Ready(); a.g.Serving() == nil || err == nil || !strings.Contains(err.Error(), "another process (b)") {
				t.Fatalf("a serves, or says %v", err)
			}
			if killed {
				b.store.Close()
				_ = b.g.Close(context.Background())
				b.lease.Close(context.Background())
				wait(length)
			} else {
				b.close()
			}
			wait(2 * every)
			if !a.serves() || a.lease.Ready() != nil {
				t.Fatalf("a does not serve again: %v", a.lease.Ready())
			}
			a.close()
		})
	}
}

// TestTwoThatStartAtOnce: exactly one serves.
func TestTwoThatStartAtOnce(t *testing.T) {
	for seed := range uint64(40) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			var mu sync.Mutex
			d := memory.NewDisk(memory.Config{CheckLast: true, Unfenced: seed%2 == 0})
			var all []*process
			for _, name := range []string{"a", "b"} {
				p := newProcess(t, d, name)
				p.store.Script(func(_ context.Context, op memory.Op) memory.Fault {
					if op.Kind == memory.OpClaim || op.Kind == memory.OpClaims || op.Kind == memory.OpRenew {
						mu.Lock()
						delay := time.Duration(r.IntN(20)) * time.Millisecond
						mu.Unlock()
						time.Sleep(delay)
					}
					return memory.Fault{}
				})
				all = append(all, p)
			}
			var starts sync.WaitGroup
			for _, p := range all {
				starts.Go(func() { p.start() })
			}
			starts.Wait()
			wait(10 * time.Second)
			n := 0
			for _, p := range all {
				if p.serves() {
					n++
				} else if p.g.Serving() == nil || p.lease.Ready() == nil {
					t.Errorf("seed %d: %s serves some shards, or says nothing", seed, p.name)
				}
			}
			if n != 1 {
				t.Errorf("seed %d: %d serve", seed, n)
			}
			for _, p := range all {
				p.close()
			}
		})
	}
}

// TestReadingsCountFromTheirSending: a reading that is answered late lengthens the lease from when it was sent; and one that does not come
// ends it.
func TestReadingsCountFromTheirSending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newProcess(t, memory.NewDisk(memory.Config{CheckLast: true}), "a").start()
		wait(every)
		var at atomic.Int64 // when the reading was sent that comes, in Unix ns
		a.store.Script(func(ctx context.Context, op memory.Op) memory.Fault {
			if op.Kind != memory.OpClaims {
				return memory.Fault{}
			}
			if now := time.Now().UnixNano(); at.CompareAndSwap(0, now) || at.Load() == now { // the next one alone comes, 0.7 s late
				return memory.Fault{Answer: func() { time.Sleep(700 * time.Millisecond) }}
			}
			<-ctx.Done()
			return memory.Fault{Err: ctx.Err()}
		})
		wait(every)
		wait(time.Until(time.Unix(0, at.Load()).Add(length - time.Millisecond)))
		if ok, _ := a.publish("u", "m1"); !ok {
			t.Error("the lease has ended early")
		}
		wait(time.Millisecond)
		if ok, _ := a.publish("u", "m2"); ok {
			t.Error("accepted after the end of the lease")
		}
		wait(every)
		if err := a.lease.Ready(); err == nil || !strings.Contains(err.Error(), "read the store's claims") {
			t.Errorf("ready: %v", err)
		}
		a.store.Script(nil)
		wait(2 * every)
		if !a.serves() || a.lease.Ready() != nil {
			t.Errorf("does not serve again: %v", a.lease.Ready())
		}
		a.close()
	})
}

// TestAnotherCopyIsRecovered: a promoted replica shows in the history: what is idle is written again, and no shard is lost.
func TestAnotherCopyIsRecovered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := memory.NewDisk(memory.Config{CheckLast: true})
		a := newProcess(t, d, "a").start()
		replica := d.Replica()
		for i := range 20 {
			if ok, _ := a.publish(fmt.Sprint("u", i), "m1"); !ok {
				t.Fatal("not accepted")
			}
		}
		epoch := a.lease.View().Shards[0].Epoch
		wait(time.Second)
		replica.Promote()
		wait(3 * time.Second)
		d.Wipe()
		wait(3 * time.Second)
		if now := a.lease.View().Shards[0].Epoch; now != epoch || !a.serves() {
			t.Fatalf("epoch %d, was %d", now, epoch)
		}
		b := newProcess(t, d, "b").start()
		for i := range 20 {
			wantWaiting(t, b, fmt.Sprint("u", i), "m1")
		}
		wait(every)
		a.close()
		b.close()
	})
}

// wantWaiting wants exactly these messages to wait for a user.
func wantWaiting(t *testing.T, p *process, user string, ids ...string) {
	t.Helper()
	shard := topology.ShardOf(protocol.UserID(user), shards)
	at := link.Route{Shard: shard, Epoch: p.lease.View().Shards[shard].Epoch}
	page, err := p.g.Messages(context.Background(), at, protocol.UserID(user), link.Page{Limit: 1 << 20})
	if err != nil {
		t.Fatalf("messages of %s: %v", user, err)
	}
	have := make(map[string]bool)
	for _, m := range page.Messages {
		have[string(m.ID)] = true
	}
	for _, id := range ids {
		if !have[id] {
			t.Errorf("%s was accepted for %s, and does not wait", id, user)
		}
	}
}

// cut is what a process cannot read: claims, of some shards or all, and who is there.
type cut struct {
	until time.Time
	of    protocol.ShardID // of those from this one on
	all   bool
}

func (c cut) hits(op memory.Op) bool {
	switch op.Kind {
	case memory.OpClaims:
		return c.all || op.Shard >= c.of
	case memory.OpRenew, memory.OpPresence:
		return true
	}
	return false
}

// chance is a schedule of processes on one disk, and what is known of it.
type chance struct {
	t    *testing.T
	disk *memory.Disk

	mu       sync.Mutex
	r        *rand.Rand
	cut      map[string]cut
	highest  map[string]protocol.Epoch
	accepted map[string][]string // by user
	counts   map[string]int
}

func (c *chance) draw(n int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.r.IntN(n)
}

// begin starts a process whose store takes its time.
func (c *chance) begin(name string) *process {
	p := newProcess(c.t, c.disk, name)
	p.store.Script(func(ctx context.Context, op memory.Op) memory.Fault {
		c.mu.Lock()
		cut := c.cut[name]
		c.mu.Unlock()
		if cut.hits(op) && time.Now().Before(cut.until) {
			<-ctx.Done()
			return memory.Fault{Err: ctx.Err()}
		}
		most := map[memory.Kind]int{memory.OpAppend: 450, memory.OpClaims: 300, memory.OpClaim: 100, memory.OpRenew: 100, memory.OpLoad: 50}[op.Kind]
		if most == 0 {
			return memory.Fault{}
		}
		late := time.Duration(c.draw(most)) * time.Millisecond
		if c.draw(2) == 0 {
			time.Sleep(late)
			return memory.Fault{}
		}
		return memory.Fault{Answer: func() { time.Sleep(late) }}
	})
	return p.start()
}

// mend ends the cut of a process.
func (c *chance) mend(p *process) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.cut, p.name)
}

// publish publishes to any of the processes. What a process of an older epoch accepts after one of a newer has is a second owner.
func (c *chance) publish(p *process, user, id string) {
	ok, epoch := p.publish(user, id)
	if !ok {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if epoch < c.highest[user] {
		c.t.Errorf("%s accepts %s for %s at epoch %d after one of epoch %d has", p.name, id, user, epoch, c.highest[user])
	}
	c.highest[user] = max(c.highest[user], epoch)
	c.accepted[user] = append(c.accepted[user], id)
	c.counts[p.name]++
}

// TestOwnersByChance: two processes on one disk, started and stopped, whose readings are cut and whose answers come late: no older owner
// accepts after a newer one has, and all that was accepted waits at the end. Where the store does not fence the lease alone keeps that.
func TestOwnersByChance(t *testing.T) {
	eachSeed(t, 40, 10, ownersByChance)
}

// eachSeed plays so many seeds, on a store that fences and on one that does not, or RAMEN_SEED alone. A seed that fails is told.
func eachSeed(t *testing.T, rounds, short int, play func(t *testing.T, seed uint64, unfenced bool)) {
	first := uint64(time.Now().UnixNano())
	if testing.Short() {
		rounds = short
	}
	if s := os.Getenv("RAMEN_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal("RAMEN_SEED must be a number")
		}
		first, rounds = n, 1
	}
	for i := range uint64(rounds) {
		for _, unfenced := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				defer func() {
					if t.Failed() {
						t.Logf("again with RAMEN_SEED=%d", first+i)
					}
				}()
				play(t, first+i, unfenced)
			})
		}
	}
}

func ownersByChance(t *testing.T, seed uint64, unfenced bool) {
	c := &chance{t: t, disk: memory.NewDisk(memory.Config{CheckLast: !unfenced, Unfenced: unfenced}), r: rand.New(rand.NewPCG(seed, 2)),
		cut: make(map[string]cut), highest: make(map[string]protocol.Epoch), accepted: make(map[string][]string), counts: make(map[string]int)}
	running := []*process{c.begin("p0"), c.begin("p1")}
	var calls sync.WaitGroup
	started := 2
	for n := range 400 {
		switch c.draw(40) {
		case 0:
			p := running[c.draw(2)]
			c.mu.Lock()
			c.cut[p.name] = cut{time.Now().Add(time.Duration(c.r.IntN(5000)) * time.Millisecond), protocol.ShardID(c.r.IntN(shards)), c.r.IntN(3) == 0}
			c.mu.Unlock()
		case 1:
			i := c.draw(2)
			calls.Wait()
			c.mend(running[i])
			running[i].close()
			running[i] = c.begin(fmt.Sprint("p", started))
			started++
		case 2:
			time.Sleep(time.Duration(c.draw(3000)) * time.Millisecond)
		default:
			p, user := running[c.draw(2)], fmt.Sprint("u", c.draw(3))
			calls.Go(func() { c.publish(p, user, fmt.Sprint("m", n)) })
			time.Sleep(time.Duration(c.draw(60)) * time.Millisecond)
		}
	}
	calls.Wait()
	for _, p := range running {
		c.mend(p)
		p.close()
	}
	last := newProcess(t, c.disk, "last").start()
	for last.lease.Ready() != nil || last.lease.Partial() != nil {
		time.Sleep(every)
	}
	total := 0
	for user, ids := range c.accepted {
		wantWaiting(t, last, user, ids...)
		total += len(ids)
	}
	if total < 50 {
		t.Errorf("%d messages were accepted", total)
	}
	last.close()
}

// TestCopyFromBeforeTheTakeOver: a replica is promoted that has the claims of the owner of before, who has gone. What was accepted since is
// in memory, and written again.
func TestCopyFromBeforeTheTakeOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := memory.NewDisk(memory.Config{CheckLast: true})
		b := newProcess(t, d, "b").start()
		if ok, _ := b.publish("u", "m1"); !ok {
			t.Fatal("not accepted")
		}
		b.close()
		replica := d.Replica()
		a := newProcess(t, d, "a").start()
		for i := range 5 {
			if ok, _ := a.publish(fmt.Sprint("u", i), "m2"); !ok {
				t.Fatal("not accepted")
			}
		}
		epoch := a.lease.View().Shards[0].Epoch
		wait(every)
		replica.Promote()
		wait(3 * time.Second)
		if now := a.lease.View().Shards[0].Epoch; now != epoch || !a.serves() {
			t.Errorf("epoch %d, was %d", now, epoch)
		}
		c := newProcess(t, d, "c").start()
		for i := range 5 {
			wantWaiting(t, c, fmt.Sprint("u", i), "m2")
		}
		wait(every)
		a.close()
		c.close()
	})
}

// TestLostClaimIsNotFollowed: a replica is promoted that lacks the claim of an owner who is killed: whoever comes next claims above it.
func TestLostClaimIsNotFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := memory.NewDisk(memory.Config{CheckLast: true})
		newProcess(t, d, "b").start().close()
		replica := d.Replica()
		a := newProcess(t, d, "a").start()
		if ok, _ := a.publish("u", "m1"); !ok {
			t.Fatal("not accepted")
		}
		lost := a.lease.View().Shards[0].Epoch
		replica.Promote()
		a.store.Close()
		_ = a.g.Close(context.Background())
		a.lease.Close(context.Background())
		wait(length)
		c := newProcess(t, d, "c").start()
		for _, s := range c.lease.View().Shards {
			if s.Epoch <= lost {
				t.Fatalf("epoch %d follows epoch %d, which was lost", s.Epoch, lost)
			}
		}
		c.close()
	})
}

// TestAClaimWithoutAnAnswerWaitsToo: it has taken effect, so that the next reading names its process; whoever had the shards may still act.
func TestAClaimWithoutAnAnswerWaitsToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := memory.NewDisk(memory.Config{Unfenced: true})
		a := newProcess(t, d, "a").start()
		time.Sleep(3 * time.Second)
		if !a.serves() {
			t.Fatal("the first does not serve")
		}
		a.store.Script(func(_ context.Context, op memory.Op) memory.Fault { // it reads nothing from now on
			if op.Kind == memory.OpClaims {
				return memory.Fault{Err: store.ErrUnknown}
			}
			return memory.Fault{}
		})
		began := time.Now()
		b := newProcess(t, d, "b")
		b.store.Script(func(_ context.Context, op memory.Op) memory.Fault {
			if op.Kind == memory.OpClaim && time.Since(began) < 500*time.Millisecond {
				return memory.Fault{Err: store.ErrUnknown}
			}
			return memory.Fault{}
		})
		go b.start()
		for range 100 {
			time.Sleep(50 * time.Millisecond)
			if a.g.Serving() == nil && b.g.Serving() == nil {
				t.Fatalf("both serve %v after the second has begun", time.Since(began))
			}
		}
		if b.g.Serving() != nil {
			t.Error("the second does not serve")
		}
		b.close()
		a.store.Script(nil)
		a.close()
	})
}
