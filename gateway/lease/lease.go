package lease

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ramen/gateway"
	"ramen/protocol"
	"ramen/store"
)

// The times of a lease. They fit together: a reading that fails may be followed by one more before the lease ends.
const (
	every  = 800 * time.Millisecond  // from reading to reading, and the most that one takes
	length = 2400 * time.Millisecond // of the lease, from the sending of a reading
)

// Store is a store that several processes may open.
type Store interface {
	store.Store
	store.Shared
}

// Config is what a lease is of.
type Config struct {
	Store      Store
	Owner      string // the name of this process in the claims
	Shards     int
	Share      *Share // nil: it owns all shards, or none
	Log        *slog.Logger
	Registerer prometheus.Registerer
}

// Lease owns all shards of a store for one process while no other does.
type Lease struct {
	// immutable
	cfg      Config
	all      []protocol.ShardID
	views    views
	metrics  metrics
	presence presence
	started  chan struct{} // closed once it is clear what is served at first, or why it is not
	results  chan func()   // what calls of the store have answered, for the loop
	stop     context.CancelFunc
	done     chan struct{}

	// owned by the loop
	g      *gateway.Gateway
	calls  sync.WaitGroup // of the store under way
	shards []shard
	leader leader
	share  sharing
	begins bool // this process has not claimed anything yet, and takes whatever there is

	readings int       // that were sent
	sent     time.Time // when the last one was
	reading  bool      // it is under way
	due      bool      // the time for the next one has come

	cancel     context.CancelFunc // ends the claim that is under way; nil: there is none
	failed     error              // of the last claim; nil: it succeeded
	saidAt     time.Time          // when it was said for the last time, before taking over from another, that this process is there
	closed     bool               // the gateway is: nothing is claimed any more
	recovering bool               // shards are being recovered
	recovered  int                // the number of the last reading that was sent before that was over

	heard atomic.Int64 // when the last reading was sent that had any claim, in Unix ns

	mu sync.Mutex
	// guarded by mu
	why     error // why nothing is served; nil: something is
	partial error // why some shards are not served; nil: all are, or none
}

// shard is what the loop knows of one.
type shard struct {
	unread  error          // why the last reading did not have its claim; nil: it did
	claim   store.Claimed  // as it was read last
	highest protocol.Epoch // that was ever read, or tried
	history string         // of the store's copy from which nothing is missing
	good    time.Time      // when the last reading was sent in which it was that
	taking  taking
}

// taking is a shard that was claimed, or may have been, and was not served since.
type taking struct {
	tried  bool
	before store.Claimed // whose it was before that
	exact  bool          // surely nobody else has claimed it since

	claimed protocol.Epoch // at which the store has answered that it is claimed; 0: it has not
	noted   int            // the number of the last reading that was sent before that was known
	from    time.Time      // from when it may be served: the lease of whoever had it before is over
}

// New is a lease that does nothing before Start. Its OnShard is for the gateway.
func New(cfg Config) *Lease {
	l := &Lease{cfg: cfg, all: make([]protocol.ShardID, cfg.Shards), started: make(chan struct{}), results: make(chan func()), done: make(chan struct{}),
		shards: make([]shard, cfg.Shards), begins: true, why: errUnread}
	for i := range l.all {
		l.all[i] = protocol.ShardID(i)
		l.shards[i].unread = errUnread
	}
	l.share.busy, l.share.offered = make(map[protocol.ShardID]bool), make(map[protocol.ShardID]offer)
	l.presence.init(cfg)
	l.views.init(cfg.Shards)
	l.metrics.init(cfg.Registerer)
	return l
}

var errUnread = errors.New("lease: the store's claims are not read yet")

// Start takes the shards, and waits until they are served, or it is clear why not, or ctx ends; and goes on by itself until Close.
func (l *Lease) Start(ctx context.Context, g *gateway.Gateway) {
	l.g = g
	run, stop := context.WithCancel(context.Background())
	l.stop = stop
	go l.run(run)
	select {
	case <-l.started:
	case <-ctx.Done():
	}
}

// Close ends the lease, and says in the store that this process has gone. Where that cannot be said, the log has it: others take over as from
// a process that was killed, once it was not heard of for as long as a lease. The gateway is closed before.
func (l *Lease) Close(ctx context.Context) {
	if l.stop == nil {
		return
	}
	l.stop()
	<-l.done
	ctx, cancel := context.WithTimeout(ctx, every)
	defer cancel()
	if err := l.cfg.Store.Renew(ctx, l.cfg.Owner, 0); err != nil {
		l.cfg.Log.Warn("this process could not say in the store that it has gone; others take over its shards a little later", "error", err)
	}
}

// Ready answers nil while any shard is served, or says why none is.
func (l *Lease) Ready() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.why
}

// Age is how long ago the last reading was sent that had any claim; more than any time where there was none.
func (l *Lease) Age() time.Duration { return time.Since(time.Unix(0, l.heard.Load())) }

// Partial says how many shards are not served, and why, while others are; nil: all are, or Ready says why none is.
func (l *Lease) Partial() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.partial
}

// run is the loop.
func (l *Lease) run(ctx context.Context) {
	defer close(l.done)
	defer l.calls.Wait()
	l.calls.Go(func() { l.presence.run(ctx) })
	tick := time.NewTicker(every)
	defer tick.Stop()
	begun := l.started
	l.read(ctx)
	for {
		var over <-chan time.Time // the next shard may be served, once the claims have been read again
		if d, waits := l.nextServed(); waits && !l.reading {
			over = time.After(d)
		}
		var hurry <-chan time.Time
		if !l.reading && l.hurries() {
			hurry = time.After(max(0, hurryEvery-time.Since(l.sent)))
		}
		select {
		case <-ctx.Done():
			return
		case <-l.views.changed:
		case f := <-l.results:
			f()
		case <-tick.C:
			l.due = true
		case <-over:
			l.due = true
		case <-hurry:
			l.due = true
		case <-l.shareChanged():
			l.due = true
		}
		l.views.publish()
		if begun != nil && l.settled() {
			close(begun)
			begun = nil
		}
		if l.due && !l.reading {
			l.read(ctx)
		}
	}
}

// call runs a call of the store beside the loop, for as long as it may take. The loop calls what it returns.
func (l *Lease) call(ctx context.Context, most time.Duration, f func(context.Context) func()) {
	l.calls.Go(func() {
		bounded, cancel := context.WithTimeout(ctx, most)
		defer cancel()
		l.tellLoop(ctx, f(bounded))
	})
}

// tellLoop has the loop call f, unless it ends.
func (l *Lease) tellLoop(ctx context.Context, f func()) {
	select {
	case l.results <- f:
	case <-ctx.Done():
	}
}

// read starts a reading of the claims. One that is under way is the only one, so that each was sent after the one before was acted upon.
func (l *Lease) read(ctx context.Context) {
	l.reading, l.due = true, false
	l.readings++
	l.sent = time.Now()
	r := reading{number: l.readings, sent: l.sent}
	l.call(ctx, every, func(bounded context.Context) func() {
		r.claims, r.errs = l.cfg.Store.Claims(bounded, l.all)
		return func() {
			l.reading = false
			if ctx.Err() == nil {
				l.round(ctx, r)
			}
		}
	})
}

// settled reports whether it is clear what this process serves at first: a reading was acted upon, and nothing is under way.
func (l *Lease) settled() bool {
	_, waits := l.nextServed()
	return !waits && !l.reading && l.cancel == nil
}

// nextServed is how long it is until the first shard that waits may be served, by a reading that is sent then. Those that the last
// reading might have had served could not be read: the next one in its turn tells.
func (l *Lease) nextServed() (d time.Duration, waits bool) {
	for i := range l.shards {
		t := &l.shards[i].taking
		if t.claimed == 0 || l.readings > t.noted && !t.from.After(l.sent) {
			continue
		}
		if until := time.Until(t.from); !waits || until < d {
			d, waits = until, true
		}
	}
	return d, waits
}
