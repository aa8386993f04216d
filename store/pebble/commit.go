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

// ErrStalled is the answer while too many writes wait for a disk that does not answer. Nothing was done.
var ErrStalled = errors.New("store/pebble: the disk does not answer")

const (
	// lingerCalls end a group's linger: so many share its fsync.
	lingerCalls = 64
	// maxParts is how many groups without a sync may wait for one, at most.
	maxParts = 256
	// keptOps is what the memory that groups are written into may have between them.
	keptOps = 1 * miB
	// keptEffects is how many effects the memory that they are noted in may have room for, to be used again.
	keptEffects = 16 << 10
	// markAfter is how long nothing was written before the journal's last record is proven by a mark.
	markAfter = time.Second
	// slowWrite is what a write may take before an operator is told.
	slowWrite = 5 * time.Second
)

// group is what is written at once: every call that arrived while the group before it was being written.
type group struct {
	number  uint64        // immutable: groups are written in order of it
	ops     []byte        // set by take; kept by recent
	effects []effect      // of ops; set by take, nil once they are applied
	done    chan struct{} // closed when it is in the journal, or in its buffer where it is not durable, or failed
	err     error         // set before done is closed

	// guarded by committer.mu
	durable bool
	urgent  bool // it must not linger
	empty   bool // no call had anything to write
	calls   int
	overdue int // callers that gave up
}

// urgency is what a call wants of its group.
type urgency int

const (
	lazily  urgency = iota // in the journal with the next durable group, or after Config.LazySync
	shared                 // durable, though a moment later if others can share the fsync
	durable                // durable, at once
)

// committer is the one who writes. Callers add to the open group, and wait for it or give up.
type committer struct {
	// immutable
	journal      *journal.Journal
	recent       *recent
	room         *room
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
	buffer       [][]byte // groups that are not in the journal yet, in their order; recent has them
	bufferBytes  int
	spare        []byte   // for the next group's ops
	spareEffects []effect // for the next group's effects
	left         error    // of the last write at close; set before ended is closed
	wroteAt      time.Time

	mu      sync.Mutex
	ops     ops    // writes the open group
	open    *group // nil: none
	groups  uint64 // made so far
	late    *group // the newest that a caller gave up on
	overdue int    // calls given up, their groups not done
	closed  bool
}

func newCommitter(s *Store) *committer {
	return &committer{
		journal: s.journal, recent: s.recent, room: &s.room, checkpointer: s.checkpointer, metrics: s.metrics,
		wrote: s.space.wrote, nowMS: s.nowMS, fatal: s.fatal, slow: s.slowWrite,
		lazySync: s.cfg.LazySync,
		linger:   s.cfg.Linger,
		maxBytes: int(min(s.cfg.MaxPendingBytes, 2*s.memTable)),
		maxCalls: s.cfg.MaxOverdue,
		wake:     make(chan struct{}, 1), hurry: make(chan struct{}, 1),
		stop: make(chan struct{}), ended: make(chan struct{}), started: time.Now(),
	}
}

// join adds a call to the open group: add is called with the queue held, writes its ops, and answers whether there are any.
// An error means that nothing was done. A group that is full, or a journal, is waited for; the first call of a group always
// fits.
func (c *committer) join(ctx context.Context, how urgency, add func(*ops) bool) (*group, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("%w: nothing was written: %v", ErrStalled, err) // not as err: a deadline could mean unknown
		}
		full, g, err := c.tryJoin(how, add)
		if full == nil {
			return g, err
		}
		select {
		case <-full:
		case <-ctx.Done():
		case <-c.stop: // nobody makes room any more
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
	if held := c.room.wait(len(c.ops.b)); held != nil {
		return held, nil, nil
	}
	return nil, c.addLocked(how, add), nil
}

// barrier joins the open group with nothing to write: once that is done, all before it is in the journal. It is the
// checkpointer's, and goes through where calls are held.
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
		c.ops.time(0) // take sets it
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
		c.wake <- struct{}{} // empty: the last group was taken with its token
	}
	return g
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

// take takes the open group. Its ops are copied: recent keeps them, and they must hold no more memory than they need.
func (c *committer) take() *group {
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

func (c *committer) finish(g *group, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.overdue -= g.overdue
	if c.late == g {
		c.late = nil
	}
	g.err = err
	close(g.done)
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
