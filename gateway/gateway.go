package gateway

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
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
	lease   func() bool
	shards  []shard
	metrics *metrics
	admitOf [protocol.Lanes]func() error // admitMemory of each lane
	started time.Time                    // with its monotonic reading: the origin of µs

	writeBehind    writeBehind
	ackDeadlines   ackDeadlines
	again          again
	jobs           sync.Pool // of *job
	underWay       struct{ bytes, jobs atomic.Int64 }
	appendDeadline atomic.Pointer[appendDeadline]
	loads          chan struct{} // one for each load under way
	streams        atomic.Int64

	closeMu sync.RWMutex // guards closed, and commits against an Add behind its Wait
	closed  bool
	commits sync.WaitGroup // jobs under way
	loops   sync.WaitGroup
	stop    context.CancelFunc
}

var _ link.Gateway = (*Gateway)(nil)

// Deps is what a gateway works with.
type Deps struct {
	Store      store.Store
	Log        *slog.Logger
	Registerer prometheus.Registerer
	Owner      string      // the name of this process in the store's claims, which no other process has; empty: drawn at random
	Lease      func() bool // reports whether this process still owns its shards; nil: always, where there is no other process
}

// New makes a gateway that owns nothing yet, and starts its goroutines. Close ends them.
func New(cfg Config, deps Deps) (*Gateway, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	g := &Gateway{
		cfg: cfg, log: deps.Log, store: deps.Store, owner: deps.Owner, lease: deps.Lease,
		shards: make([]shard, cfg.ShardCount), started: time.Now(),
	}
	g.loads = make(chan struct{}, min(mostLoads, max(2, cfg.MemoryBytes/cfg.MailboxBytes)))
	if g.owner == "" {
		g.owner = rand.Text()
	}
	if g.lease == nil {
		g.lease = func() bool { return true }
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
	for i := range g.shards {
		g.shards[i].g, g.shards[i].id = g, protocol.ShardID(i)
	}
	ctx, stop := context.WithCancel(context.Background())
	g.stop = stop
	g.loops.Go(func() { g.writeBehind.run(ctx) })
	g.loops.Go(func() { g.sweep(ctx) })
	if l, ok := g.store.(store.ExpiryScanner); ok {
		g.loops.Go(func() { g.lapse(ctx, l) })
	}
	return g, nil
}

// Take owns shards from now on, at an epoch that the store has not seen for them: users are served once it has returned. Of
// those that the store refuses the error tells; the others are owned.
func (g *Gateway) Take(ctx context.Context, shards []protocol.ShardID, epoch protocol.Epoch) error {
	for _, id := range shards {
		if int(id) >= len(g.shards) || epoch == 0 {
			return fmt.Errorf("gateway: take shard %d at epoch %d: there are %d shards, and epochs begin with 1", id, epoch, len(g.shards))
		}
	}
	if g.giveUpAll(shards, protocol.ReasonRebalance) { // what an earlier ownership left in memory is stale
		if err := g.writeBehind.flush(ctx, false); err != nil {
			g.log.Warn("what was acked at an earlier epoch is not saved", "error", err)
		}
	}
	errs := g.store.Claim(ctx, shards, epoch, g.owner)
	for i, id := range shards {
		if errs != nil && errs[i] != nil {
			continue
		}
		s := &g.shards[id]
		s.mu.Lock()
		s.own.Store(&ownership{Scope: mailbox.Scope{Common: &g.common, Owner: store.Owner{Shard: id, Epoch: epoch}}, g: g, shard: s})
		s.mu.Unlock()
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("gateway: take %d shards at epoch %d: %w", len(shards), epoch, err)
	}
	return nil
}

// Release gives shards up, so that another gateway may take them: streams are told to open at the new owner, and what was
// saved lazily is durable when it returns.
func (g *Gateway) Release(ctx context.Context, shards []protocol.ShardID) error {
	g.giveUpAll(shards, protocol.ReasonRebalance)
	return g.writeBehind.flush(ctx, true)
}

// giveUpAll reports whether any of them was owned.
func (g *Gateway) giveUpAll(shards []protocol.ShardID, reason protocol.Reason) (owned bool) {
	for _, id := range shards {
		owned = g.shards[id].own.Load() != nil || owned
		g.giveUp(&g.shards[id], reason)
	}
	return owned
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
	g.closeMu.Unlock()
	g.commits.Wait()
	g.stop()
	g.loops.Wait()
	for i := range g.shards {
		g.giveUp(&g.shards[i], protocol.ReasonDrain)
	}
	return g.writeBehind.flush(ctx, true)
}

// storeError turns a store's answer into what the caller is told, and acts on a fence: somebody else owns the shard.
func (g *Gateway) storeError(o store.Owner, verb string, err error) error {
	if errors.Is(err, store.ErrFenced) {
		g.fenced(o)
		return link.ErrNotOwner
	}
	g.log.Warn("store failed", "verb", verb, "shard", o.Shard, "error", err)
	return g.storeAnswer(o, verb, err)
}

// storeAnswer is storeError without a line in the log, for many answers of one call.
func (g *Gateway) storeAnswer(o store.Owner, verb string, err error) error {
	if errors.Is(err, store.ErrFenced) {
		g.fenced(o)
		return link.ErrNotOwner
	}
	g.metrics.storeErrors.Inc()
	return protocol.Errorf(protocol.CodeUnavailable, "the store did not answer in time or failed (%s); try again with the same id", verb)
}

// fenced notes that somebody else owns the shard. The sweeper clears it away: no lock may be needed here.
func (g *Gateway) fenced(o store.Owner) {
	s := &g.shards[o.Shard]
	if own := s.own.Load(); own != nil && own.Owner == o && s.own.CompareAndSwap(own, nil) {
		s.passed(o.Epoch)
		g.log.Warn("shard was taken by another owner", "shard", o.Shard, "epoch", o.Epoch)
	}
}

// admit refuses by priority where memory or the store runs short: low first. SPEC 9.
func (g *Gateway) admit(p protocol.Priority) error {
	if err := g.admitMemory(p); err != nil {
		return err
	}
	if a, ok := g.store.(store.Admitter); ok {
		if err := a.Admit(p); err != nil {
			g.metrics.refused[p.Lane()].Inc()
			return protocol.Errorf(protocol.CodeUnavailable, "the store takes no %s priority now: %v; retry with backoff", p, err)
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
	return protocol.Errorf(protocol.CodeUnavailable, "the gateway's memory for waiting messages is nearly full (%d of %d bytes) and takes no %s priority now; retry with backoff", used, g.cfg.MemoryBytes, p)
}

// admitUser refuses to take anybody into memory while it is full: a mailbox of the store's, or a device that is not known yet. Who
// is there is served as ever, and so makes room.
func (g *Gateway) admitUser() error {
	if used := g.common.Ledger.Memory.Load(); used > g.cfg.MemoryBytes*userShare/100 {
		g.metrics.turned.Inc()
		return protocol.Errorf(protocol.CodeUnavailable, "the gateway's memory is nearly full (%d of %d bytes) and takes no more users or devices now; retry with backoff", used, g.cfg.MemoryBytes)
	}
	return nil
}

// memoryShare is the percentage of the memory up to which each lane is taken.
var memoryShare = [protocol.Lanes]int64{100, 90, 80}

// userShare is the same for who comes without a publish: devices come, and make room, when no message of medium priority is taken
// any more; and what they take is not that of high priority.
const userShare = 95

func (g *Gateway) holdsLease() bool { return g.lease() }

func (g *Gateway) nowMS() int64 { return time.Now().UnixMilli() }
func (g *Gateway) nowUS() int64 { return time.Now().UnixMicro() }

// instant is now as positions see it, too: the wall clock when the gateway started plus monotonic time since.
func (g *Gateway) instant() mailbox.Instant {
	now := time.Now()
	return mailbox.Instant{MS: now.UnixMilli(), Micros: uint64(g.started.UnixMicro() + now.Sub(g.started).Microseconds())}
}

// unseenBefore is the Unix ms before which a device must have been seen to be forgotten.
func (g *Gateway) unseenBefore() int64 { return time.Now().Add(-g.cfg.DeviceUnseen).UnixMilli() }
