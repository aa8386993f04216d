package pebble

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	engine "github.com/cockroachdb/pebble/v2"

	"ramen/store"
)

// ErrStalled is the answer while too many writes wait for a disk that does not answer. Nothing was done.
var ErrStalled = errors.New("store/pebble: the disk does not answer")

// group is what is committed at once: every call that arrived while the group before it was being written.
type group struct {
	number uint64        // immutable: groups are written in order of it
	batch  *engine.Batch // owned by the committer once taken, else guarded by committer.mu
	done   chan struct{} // closed when it is on the disk, or failed
	err    error         // set before done is closed

	// guarded by committer.mu
	durable bool
	calls   int
	overdue int // callers that gave up
}

// committer is the one who writes. Callers add to the open group, and wait for it or give up.
type committer struct {
	// immutable
	db       *engine.DB
	metrics  *metrics
	wrote    func(bytes int)
	tick     func(b *engine.Batch) // at leisure, with each idle turn: rows that time has ended
	lazySync time.Duration
	every    time.Duration // between ticks
	maxBytes int
	maxCalls int
	noSync   bool
	wake     chan struct{} // 1: there is an open group
	stop     chan struct{}
	ended    chan struct{}

	mu      sync.Mutex
	open    *group // nil: none
	groups  uint64 // made so far
	late    *group // the newest that a caller gave up on
	overdue int    // calls given up, their groups not done
	closed  bool
}

func newCommitter(s *Store) *committer {
	return &committer{
		db: s.db, metrics: s.metrics, wrote: s.space.wrote,
		tick:     func(b *engine.Batch) { s.buckets.drop(b, s.nowMS()) },
		lazySync: s.cfg.LazySync,
		every:    time.Duration(s.buckets.width) * time.Millisecond,
		maxBytes: int(min(s.cfg.MaxPendingBytes, 2*s.memTable)), // a group is a log of its own where it is larger
		maxCalls: s.cfg.MaxOverdue,
		noSync:   s.cfg.noSync,
		wake:     make(chan struct{}, 1), stop: make(chan struct{}), ended: make(chan struct{}),
	}
}

// join adds a call to the open group: add is called with the queue held, and fills the batch. An error means that nothing
// was done. A group that is full is waited for; the first call of a group always fits.
func (c *committer) join(ctx context.Context, durable bool, add func(*engine.Batch)) (*group, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("%w: nothing was written: %v", ErrStalled, err) // not as err: a deadline could mean unknown
		}
		full, g, err := c.tryJoin(durable, add)
		if full == nil {
			return g, err
		}
		select {
		case <-full.done:
		case <-ctx.Done():
		}
	}
}

func (c *committer) tryJoin(durable bool, add func(*engine.Batch)) (full, joined *group, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, nil, store.ErrClosed
	}
	if c.overdue >= c.maxCalls {
		return nil, nil, fmt.Errorf("%w: %d writes that nobody waits for any more are before this one", ErrStalled, c.overdue)
	}
	g := c.open
	if g == nil {
		c.groups++
		g = &group{number: c.groups, batch: c.db.NewBatch(), done: make(chan struct{})}
		c.open = g
	} else if g.batch.Len() >= c.maxBytes {
		return g, nil, nil
	}
	before := g.batch.Len()
	add(g.batch)
	c.wrote(g.batch.Len() - before)
	g.durable = g.durable || durable
	if g.calls++; g.calls == 1 {
		c.wake <- struct{}{} // empty: the last group was taken with its token
	}
	return nil, g, nil
}

// wait is g's outcome, or store.ErrUnknown at ctx's end.
func (c *committer) wait(ctx context.Context, g *group) error {
	select {
	case <-g.done:
		return g.err
	case <-ctx.Done():
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-g.done:
		return g.err
	default:
	}
	if c.late == nil || c.late.number < g.number {
		c.late = g
	}
	c.overdue++
	g.overdue++
	c.metrics.overdue.Inc()
	return fmt.Errorf("%w: the write goes on: %w", store.ErrUnknown, context.Cause(ctx))
}

// settle waits until every write that a caller gave up on has its outcome, so that a load sees nothing that may yet be lost.
func (c *committer) settle(ctx context.Context) error {
	c.mu.Lock()
	late := c.late
	c.mu.Unlock()
	if late == nil {
		return nil
	}
	select {
	case <-late.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("an earlier write is unfinished: %w", context.Cause(ctx))
	}
}

// run commits group by group until close.
func (c *committer) run() {
	defer close(c.ended)
	lazy, armed := time.NewTimer(c.lazySync), false // armed: since the oldest write without a sync
	lazy.Stop()
	defer lazy.Stop()
	ticker := time.NewTicker(c.every)
	defer ticker.Stop()
	for {
		select {
		case <-c.wake:
			if c.commit(c.take()) {
				lazy.Stop()
				armed = false
			} else if !armed {
				lazy.Reset(c.lazySync)
				armed = true
			}
		case <-lazy.C:
			c.sync()
			armed = false
		case <-ticker.C:
			c.tidy()
		case <-c.stop:
			c.drain()
			return
		}
	}
}

// drain writes what is left, and all that was saved lazily.
func (c *committer) drain() {
	select {
	case <-c.wake:
		c.commit(c.take())
	default:
	}
	c.sync()
}

func (c *committer) take() *group {
	c.mu.Lock()
	defer c.mu.Unlock()
	g := c.open
	c.open = nil
	return g
}

// commit writes g, and answers whether everything up to it is synced.
func (c *committer) commit(g *group) (synced bool) {
	began := time.Now()
	opts := engine.NoSync
	if g.durable && !c.noSync {
		opts = engine.Sync
	}
	err := c.db.Apply(g.batch, opts)
	if g.durable {
		c.metrics.commit.Observe(time.Since(began).Seconds())
		c.metrics.groupCalls.Observe(float64(g.calls))
	}
	_ = g.batch.Close() // gives its memory back; it has nothing to fail at
	c.finish(g, err)
	return g.durable
}

func (c *committer) finish(g *group, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.overdue -= g.overdue
	if c.late == g {
		c.late = nil
	}
	if err != nil {
		g.err = fmt.Errorf("commit: %w", err)
	}
	close(g.done)
}

// sync brings what was written without an fsync to the disk.
func (c *committer) sync() {
	if !c.noSync {
		_ = c.db.LogData(nil, engine.Sync) // an error ends the process (logger.go)
	}
}

func (c *committer) tidy() {
	b := c.db.NewBatch()
	c.tick(b)
	if !b.Empty() {
		c.wrote(b.Len())
		_ = c.db.Apply(b, engine.NoSync) // as above
	}
	_ = b.Close()
}

// close refuses new calls, and waits for those that are in.
func (c *committer) close(timeout time.Duration) error {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	close(c.stop)
	t := time.NewTimer(timeout)
	defer t.Stop()
	select {
	case <-c.ended:
		return nil
	case <-t.C:
		return fmt.Errorf("%w for %v", ErrStalled, timeout)
	}
}
