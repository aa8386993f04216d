package pebble

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"ramen/store"
	"ramen/store/pebble/journal"
)

// ErrStalled is the answer while too many writes wait for a disk that does not respond. Nothing was written.
var ErrStalled = errors.New("store/pebble: the disk does not answer")

const (
	// lingerCalls is the number of calls in a group that ends its linger.
	lingerCalls = 64
	// maxParts is the most groups that may be buffered.
	maxParts = 256
	// keptOps is the largest buffer, in bytes, that is reused for the next group's ops.
	keptOps = 1 * miB
	// keptEffects is the largest slice of effects that is reused for the next group, less than 1 MiB.
	keptEffects = 16 << 10
	// markAfter is how long the journal is idle before a mark proves its last record.
	markAfter = time.Second
	// slowWrite is how long a write may take before a warning is logged.
	slowWrite = 5 * time.Second
)

// group is what is written at once: all calls that arrived while the group before it was being written.
type group struct {
	number  uint64        // immutable: groups are written in order of it
	ops     []byte        // set by closeOpen; the overlay keeps it
	effects []effect      // of ops; set by closeOpen, nil once they are applied
	done    chan struct{} // closed when the group is in the journal, or in the buffer if it is not durable, or has failed
	err     error         // set before done is closed

	// guarded by committer.mu
	durable bool
	urgent  bool // it does not linger
	empty   bool // no call had anything to write
	calls   int
	overdue int // callers who gave up
}

// urgency says when a call's group has to be durable.
type urgency int

const (
	lazily  urgency = iota // with the next durable group, or after Config.LazySync
	shared                 // at once, or within Config.Linger so that others share the fsync
	durable                // at once
)

// committer writes all groups, in order. Callers add to the open group, and wait for it or give up.
type committer struct {
	// immutable
	journal      *journal.Journal
	overlay      *overlay
	journalSpace *journalSpace
	checkpointer *checkpointer
	metrics      *metrics
	wrote        func(bytes int)
	nowMS        func() int64
	fatal        func(error) // does not return
	slow         func(took time.Duration)
	lazySync     time.Duration
	linger       time.Duration
	maxBytes     int
	maxCalls     int
	wake         chan struct{} // 1: there is an open group
	hurry        chan struct{} // 1: the open group must not linger any more
	stop         chan struct{}
	ended        chan struct{}

	rotate  atomic.Bool  // the next group goes into the next segment
	started time.Time    // immutable: the origin of writing
	writing atomic.Int64 // ns since started at which the journal's write under way began; 0: there is none

	// owned by run
	buffer       [][]byte // groups that are not in the journal yet, in order; the overlay has them
	bufferBytes  int
	spare        []byte   // for the next group's ops
	spareEffects []effect // for the next group's effects
	left         error    // of the last write at close; set before ended is closed
	wroteAt      time.Time

	mu      sync.Mutex
	ops     ops    // writes the open group
	open    *group // nil: none
	groups  uint64 // made so far
	late    *group // the newest group that a caller gave up on
	overdue int    // calls whose caller gave up and whose group is not done
	closed  bool
}

func newCommitter(s *Store) *committer {
	return &committer{
		journal: s.journal, overlay: s.overlay, journalSpace: &s.journalSpace, checkpointer: s.checkpointer, metrics: s.metrics,
		wrote: s.diskSpace.wrote, nowMS: s.nowMS, fatal: s.fatal, slow: s.slowWrite,
		lazySync: s.cfg.LazySync,
		linger:   s.cfg.Linger,
		maxBytes: int(min(s.cfg.MaxPendingBytes, 2*s.memTable)),
		maxCalls: s.cfg.MaxOverdue,
		wake:     make(chan struct{}, 1), hurry: make(chan struct{}, 1),
		stop: make(chan struct{}), ended: make(chan struct{}), started: time.Now(),
	}
}

// join adds a call to the open group: it calls add with c.mu held; add writes ops, and reports whether it wrote any. join waits while
// the open group or the journal is full; the first call of a group always fits. After an error nothing was written.
func (c *committer) join(ctx context.Context, how urgency, add func(*ops) bool) (*group, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("%w: nothing was written: %v", ErrStalled, err) // err is not wrapped: callers take a deadline for an unknown outcome
		}
		full, g, err := c.tryJoin(how, add)
		if full == nil {
			return g, err
		}
		select {
		case <-full:
		case <-ctx.Done():
		case <-c.stop: // tryJoin says that the store is closed
		}
	}
}

func (c *committer) tryJoin(how urgency, add func(*ops) bool) (full <-chan struct{}, joined *group, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, nil, store.ErrClosed
	}
	if c.overdue >= c.maxCalls {
		return nil, nil, fmt.Errorf("%w: %d abandoned writes are ahead of this one", ErrStalled, c.overdue)
	}
	if c.open != nil && len(c.ops.b) >= c.maxBytes {
		return c.open.done, nil, nil
	}
	if full := c.journalSpace.wait(len(c.ops.b)); full != nil {
		return full, nil, nil
	}
	return nil, c.addLocked(how, add), nil
}

// barrier joins the open group with nothing to write: once the group is done, everything before it is in the journal. Only the
// checkpointer calls it; it does not wait where join does.
func (c *committer) barrier() (*group, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, errStopped
	}
	return c.addLocked(durable, func(*ops) bool { return false }), nil
}

func (c *committer) addLocked(how urgency, add func(*ops) bool) *group {
	g := c.open
	if g == nil {
		c.groups++
		g = &group{number: c.groups, empty: true, done: make(chan struct{})}
		c.open = g
		c.ops.time(0) // closeOpen sets the time
	}
	before := len(c.ops.b)
	if add(&c.ops) {
		g.empty = false
	}
	c.wrote(len(c.ops.b) - before)
	g.durable = g.durable || how != lazily
	g.calls++
	if !g.urgent && (how == durable || g.calls >= lingerCalls) {
		g.urgent = true
		select {
		case c.hurry <- struct{}{}:
		default:
		}
	}
	if g.calls == 1 {
		c.wake <- struct{}{} // does not block: the token of the group before was received
	}
	return g
}

// wait returns g's outcome, or store.ErrUnknown when ctx ends.
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

// awaitAbandoned waits until the outcome of every write that its caller gave up on is known, so that a load returns nothing that may
// still be lost.
func (c *committer) awaitAbandoned(ctx context.Context) error {
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

// closeOpen closes the open group to further calls. It copies the ops: the overlay keeps them, so they must have no spare capacity.
func (c *committer) closeOpen() *group {
	g, written := c.swap()
	g.ops = bytes.Clone(written)
	stamp(g.ops, g.effects, c.nowMS())
	if c.spare = written[:0]; cap(written) > keptOps {
		c.spare = nil
	}
	return g
}

func (c *committer) swap() (g *group, written []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	g, written = c.open, c.ops.b
	g.effects = c.ops.effects
	c.open, c.ops.b, c.ops.effects = nil, c.spare, c.spareEffects
	return g, written
}

// publish tells the callers of g its outcome.
func (c *committer) publish(g *group, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.overdue -= g.overdue
	if c.late == g {
		c.late = nil
	}
	g.err = err
	close(g.done)
}

// close refuses new calls, and waits for the groups that are not written yet.
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
