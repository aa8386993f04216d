package gateway

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ramen/gateway/mailbox"
	"ramen/link"
	"ramen/protocol"
	"ramen/store"
)

// Gateway owns shards of users. It is what a frontend asks over a link.
type Gateway struct {
	// immutable
	cfg     Config
	log     *slog.Logger
	store   store.Store
	common  mailbox.Common
	owner   string
	onShard func(Event)
	shards  []shard
	metrics *metrics
	admitOf [protocol.Lanes]func() error // admitMemory of each lane
	idleMS  int64                        // how long a mailbox stays in memory that nobody needs
	started time.Time                    // with its monotonic reading: the origin of µs
	aheadMS int64                        // Deps.Ahead

	writeBehind    writeBehind
	ackDeadlines   ackDeadlines
	again          again
	mender         mender
	sleep          sleepWatch
	evicted        evicted
	saves          saveWaits
	jobs           sync.Pool // of *job
	underWay       struct{ bytes, jobs atomic.Int64 }
	appendDeadline atomic.Pointer[appendDeadline]
	loads          chan struct{} // one for each load under way
	losses         losses
	lost           chan struct{} // of capacity 1: a shard is lost, and the sweeper is to clear it away
	streams        atomic.Int64

	closeMu sync.RWMutex // guards closed, and commits against an Add behind its Wait
	closed  bool
	closing chan struct{}  // closed with it
	commits sync.WaitGroup // jobs under way, and what unlessClosed runs
	loops   sync.WaitGroup
	stop    context.CancelFunc
}

var _ link.Gateway = (*Gateway)(nil)

// Deps is what a gateway works with.
type Deps struct {
	Store      store.Store
	Log        *slog.Logger
	Registerer prometheus.Registerer
	Owner      string // the name of this process in the store's claims, which no other process has; empty: drawn at random
	// OnShard is told of every transition in the life of a shard, in their order; nil: nobody is. It is called with the shard locked: it
	// must neither block nor call the gateway.
	OnShard func(Event)
	// Ahead is by how much the wall clock of this process is ahead of the machine's: tests have members whose clocks differ.
	Ahead time.Duration
}

// New makes a gateway that owns nothing yet, and starts its goroutines. Close ends them.
func New(cfg Config, deps Deps) (*Gateway, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Committers > 0 {
		deps.Log.Warn("the configuration key gateway.committers is deprecated: set gateway.commit_queue, and leave it out",
			"gateway.committers", cfg.Committers, "gateway.commit_queue", cfg.maxCalls())
	}
	g := &Gateway{
		cfg: cfg, log: deps.Log, store: deps.Store, owner: deps.Owner, onShard: deps.OnShard,
		shards: make([]shard, cfg.ShardCount), started: time.Now(), aheadMS: deps.Ahead.Milliseconds(), lost: make(chan struct{}, 1), closing: make(chan struct{}),
	}
	g.loads = make(chan struct{}, min(mostLoads, max(2, cfg.MemoryBytes/cfg.MailboxBytes)))
	if g.owner == "" {
		g.owner = rand.Text()
	}
	id := deps.Store.Identity()
	g.common.Limits = cfg.limits()
	g.common.Identity, g.common.Sealer = id, protocol.Sealer{Generation: id.Generation, Key: id.Key}
	g.metrics = newMetrics(deps.Registerer, g)
	for i := range g.admitOf {
		p := protocol.LanePriority(i)
		g.admitOf[i] = func() error { return g.admitMemory(p) }
	}
	g.writeBehind.init(g)
	g.ackDeadlines.init()
	g.mender.init(g.store)
	g.watchSleep()
	if g.idleMS = cfg.MailboxIdle.Milliseconds(); g.mender.replacer != nil {
		g.idleMS = max(g.idleMS, keptIdle.Milliseconds())
	}
	for i := range g.shards {
		g.shards[i].g, g.shards[i].id = g, protocol.ShardID(i)
	}
	ctx, stop := context.WithCancel(context.Background())
	g.stop = stop
	g.loops.Go(func() { g.writeBehind.run(ctx) })
	g.loops.Go(func() { g.sweep(ctx) })
	if l, ok := g.store.(store.ExpiryScanner); ok {
		g.loops.Go(func() { g.scanExpired(ctx, l) })
	}
	return g, nil
}

// Close gives up every shard, writes what was saved lazily, and ends the goroutines. Streams are told to open elsewhere;
// publishes under way are answered first.
func (g *Gateway) Close(ctx context.Context) error {
	g.closeMu.Lock()
	if g.closed {
		g.closeMu.Unlock()
		return nil
	}
	g.closed = true
	close(g.closing)
	g.closeMu.Unlock()
	g.commits.Wait()
	g.stop()
	g.loops.Wait()
	g.clearLost()
	all := make([]protocol.ShardID, len(g.shards))
	for i := range all {
		all[i] = protocol.ShardID(i)
	}
	g.endTaking(all)
	defer g.tellLosses()
	return g.releaseShards(ctx, all, protocol.ReasonDrain, true)
}

// storeError turns a store's answer into what the caller is told, and acts on a fence: somebody else owns the shard.
func (o *ownership) storeError(verb string, err error) error {
	if !errors.Is(err, store.ErrFenced) {
		o.g.log.Warn("store failed", "verb", verb, "shard", o.Owner.Shard, "error", err)
	}
	return o.storeAnswer(verb, err)
}

// storeAnswer is storeError without a line in the log, for many answers of one call.
func (o *ownership) storeAnswer(verb string, err error) error {
	if errors.Is(err, store.ErrFenced) && o.fenced(err) {
		return o.refusal()
	}
	o.g.metrics.storeErrors.Inc()
	return protocol.Errorf(protocol.CodeUnavailable, "the store failed or did not answer in time (%s); try again with the same id", verb)
}

// admit refuses by priority where memory or the store runs short: low first. SPEC 9.
func (g *Gateway) admit(p protocol.Priority) error {
	if err := g.admitMemory(p); err != nil {
		return err
	}
	if a, ok := g.store.(store.Admitter); ok {
		if err := a.Admit(p); err != nil {
			g.metrics.refused[p.Lane()].Inc()
			return protocol.Errorf(protocol.CodeUnavailable, "the store accepts no %s priority messages now: %v; retry with backoff", p, err)
		}
	}
	return nil
}

func (g *Gateway) admitMemory(p protocol.Priority) error {
	used := g.common.Ledger.Memory.Load()
	if used <= g.cfg.MemoryBytes*memoryShare[p.Lane()]/100 {
		return nil
	}
	g.metrics.refused[p.Lane()].Inc()
	return protocol.Errorf(protocol.CodeUnavailable, "the gateway's memory for waiting messages is nearly full (%d of %d bytes): no %s priority messages are accepted now; retry with backoff", used, g.cfg.MemoryBytes, p)
}

// admitUser refuses to take anybody into memory while it is full: a mailbox of the store's, or a device that is not known yet. Who
// is there is served as ever, and so makes room.
func (g *Gateway) admitUser() error {
	if used := g.common.Ledger.Memory.Load(); used > g.cfg.MemoryBytes*userShare/100 {
		g.metrics.turned.Inc()
		return protocol.Errorf(protocol.CodeUnavailable, "the gateway's memory is nearly full (%d of %d bytes): no more users or devices are accepted now; retry with backoff", used, g.cfg.MemoryBytes)
	}
	return nil
}

// memoryShare is the percentage of the memory up to which each lane is taken.
var memoryShare = [protocol.Lanes]int64{100, 90, 80}

// userShare is the same for who comes without a publish: devices come, and make room, when no message of medium priority is taken
// any more; and what they take is not that of high priority.
const userShare = 95

func (g *Gateway) nowMS() int64 { return time.Now().UnixMilli() + g.aheadMS }
func (g *Gateway) nowUS() int64 { return time.Now().UnixMicro() }

// instant is now as positions see it, too: the wall clock when the gateway started plus monotonic time since.
func (g *Gateway) instant() mailbox.Instant {
	now := time.Now()
	return mailbox.Instant{MS: now.UnixMilli() + g.aheadMS, Micros: uint64(g.started.UnixMicro() + g.aheadMS*1000 + now.Sub(g.started).Microseconds())}
}

// unseenBefore is the Unix ms before which a device must have been seen to be forgotten.
func (g *Gateway) unseenBefore() int64 { return g.nowMS() - g.cfg.DeviceUnseen.Milliseconds() }
