package lease

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ramen/gateway"
	"ramen/protocol"
	"ramen/store"
)

// The times of a lease. They fit together: a reading that fails may be followed by one more before the lease ends.
const (
	every  = 800 * time.Millisecond  // from reading to reading
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
	Log        *slog.Logger
	Registerer prometheus.Registerer
}

// Lease owns all shards of a store for one process while no other does.
type Lease struct {
	// immutable
	cfg     Config
	all     []protocol.ShardID
	views   views
	metrics metrics
	started chan struct{} // closed once the first round is over
	stop    context.CancelFunc
	done    chan struct{}

	// owned by the loop
	g       *gateway.Gateway
	pending *claim         // claimed, and not yet served; nil: nothing
	unclear bool           // shards were claimed, and not served since: what became of it is not known for sure
	highest protocol.Epoch // that was ever seen or claimed
	known   []string       // the history of each shard at the last good reading
	good    time.Time      // when the last one was sent in which they were these
	other   string         // who has all; empty: nobody else

	mu  sync.Mutex
	why error // guarded by mu: why nothing is served; nil: all is well
}

// claim is shards that were claimed at an epoch, and may be served from a time on.
type claim struct {
	shards []protocol.ShardID
	epoch  protocol.Epoch
	before []store.Claimed // of all shards, before they were claimed
	from   time.Time       // the lease of whoever had them before is over
}

// New is a lease that does nothing before Start. Its OnShard is for the gateway.
func New(cfg Config) *Lease {
	l := &Lease{cfg: cfg, all: make([]protocol.ShardID, cfg.Shards), started: make(chan struct{}), done: make(chan struct{}),
		known: make([]string, cfg.Shards), why: errors.New("lease: the store's claims are not read yet")}
	for i := range l.all {
		l.all[i] = protocol.ShardID(i)
	}
	l.views.init(cfg.Shards)
	l.metrics.init(cfg.Registerer)
	return l
}

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

// Close ends the lease, and says in the store that this process has gone. The gateway is closed before.
func (l *Lease) Close(ctx context.Context) error {
	if l.stop == nil {
		return nil
	}
	l.stop()
	<-l.done
	ctx, cancel := context.WithTimeout(ctx, every)
	defer cancel()
	if err := l.cfg.Store.Renew(ctx, l.cfg.Owner, 0); err != nil {
		return fmt.Errorf("lease: say that this process has gone: %w", err)
	}
	return nil
}

// Ready answers nil while the shards are owned, or says why they are not.
func (l *Lease) Ready() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.why
}

// tell notes why nothing is served, or that all is well, and has the log know where that has changed.
func (l *Lease) tell(why error) {
	l.mu.Lock()
	before := l.why
	l.why = why
	l.mu.Unlock()
	switch {
	case why == nil && before != nil:
		l.cfg.Log.Info("this process owns all shards of the store", "owner", l.cfg.Owner)
	case why != nil && (before == nil || before.Error() != why.Error()):
		l.cfg.Log.Warn("this process does not own the shards of the store", "why", why)
	}
}

func (l *Lease) run(ctx context.Context) {
	defer close(l.done)
	tick := time.NewTicker(every)
	defer tick.Stop()
	var begun sync.Once
	for {
		l.round(ctx)
		l.views.publish()
		if l.pending == nil {
			begun.Do(func() { close(l.started) })
		}
		var over <-chan time.Time
		if l.pending != nil {
			over = time.After(time.Until(l.pending.from))
		}
		select {
		case <-ctx.Done():
			return
		case <-l.views.changed:
			l.views.publish()
			select { // the others come at the same moment
			case <-ctx.Done():
				return
			case <-tick.C:
			case <-over:
			}
		case <-tick.C:
		case <-over:
		}
	}
}
