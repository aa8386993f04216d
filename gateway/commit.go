package gateway

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"ramen/gateway/mailbox"
	"ramen/link"
	"ramen/protocol"
	"ramen/store"
)

// committer appends to the store for its share of the shards, one write at a time: what came while one was under way
// shares the next, and so its fsync. It alone gives positions and fills lanes in its shards, which is their order.
type committer struct {
	g      *Gateway
	jobs   chan *job
	queued atomic.Int64 // bytes in jobs

	// owned by run: used again for each write
	batch  []*job
	steps  []*step
	spare  []*step
	writes []store.Append
	errs   []error // of writes

	answers sync.WaitGroup         // of the store that are missing
	answer  func(i int, err error) // takes one
}

// job is what one caller wants written.
type job struct {
	pool  *sync.Pool
	ops   []op
	bytes int           // of the messages to write, overhead included
	held  int64         // of memory that the messages take
	lane  int           // the highest of its messages; that of recalls and what is written again is the first
	done  chan struct{} // gets one token once every op has its result
	after func()        // called then, by who gave the token; may be nil
}

// op is what one caller wants done to one mailbox.
type op struct {
	mailbox.Op
	box *box
	at  int // where in its caller's batch
}

// result is the answer to a publish.
func (o *op) result() link.Result {
	return link.Result{Status: statuses[o.Status], Err: o.Err, Devices: o.Devices}
}

var statuses = [...]link.Status{
	mailbox.StatusNone: link.StatusUnspecified, mailbox.StatusAccepted: link.StatusAccepted,
	mailbox.StatusDuplicate: link.StatusDuplicate, mailbox.StatusRejected: link.StatusRejected,
}

func (g *Gateway) newJob() *job {
	if j, ok := g.jobs.Get().(*job); ok {
		return j
	}
	return &job{pool: &g.jobs, done: make(chan struct{}, 1)}
}

// commitBytes bounds one write and one job, overhead included, a message more or less: what the store cannot write within the deadline is
// unknown, and is written again, so that larger pieces might never succeed. mostQueued bounds the memory of what waits for a
// committer, and so does an eighth of memory_bytes for all of them.
const (
	commitBytes = 2 << 20
	mostQueued  = 64 << 20
)

// queueBytes is what may wait for a committer before a job of that lane: the less, the lower it is.
func (g *Gateway) queueBytes(lane int) int64 {
	most := min(mostQueued, max(2*commitBytes, g.cfg.MemoryBytes/8/int64(len(g.committers))))
	return most * queueShare[lane] / 100
}

var queueShare = [protocol.Lanes]int64{100, 80, 60}

// size is the bytes that the job makes the committer write, roughly.
func (j *job) size() int {
	n := j.bytes
	for i := range j.ops {
		if i == 0 || j.ops[i].box != j.ops[i-1].box {
			n += int(j.ops[i].box.inDoubtBytes.Load())
		}
	}
	return n
}

// keptOps is the most ops that a job in the pool has room for, keptStep the most entries that a write that is kept has, and keptSteps
// how many steps are kept: a burst must not hold memory for ever.
const (
	keptOps   = 1024
	keptStep  = 128
	keptSteps = 1024
)

// free gives the job back to the pool: its token has been taken, and nobody knows it any more.
func (j *job) free() {
	clear(j.ops)
	j.ops, j.bytes, j.held, j.lane = j.ops[:0], 0, 0, 0
	if cap(j.ops) <= keptOps {
		j.pool.Put(j)
	}
}

// run is the committer's goroutine. It ends once jobs is closed and drained.
func (c *committer) run() {
	for j := range c.jobs {
		c.gather(j)
		c.commit()
	}
}

// gather takes what else is waiting, up to the bound of one write.
func (c *committer) gather(first *job) {
	c.batch = append(c.batch[:0], first)
	c.queued.Add(-first.held)
	for n, bytes := len(first.ops), first.size(); n < c.g.cfg.CommitMessages && bytes < commitBytes; {
		select {
		case j, ok := <-c.jobs:
			if !ok {
				return
			}
			c.queued.Add(-j.held)
			c.batch, n, bytes = append(c.batch, j), n+len(j.ops), bytes+j.size()
		default:
			return
		}
	}
}

// commit writes the jobs' ops in one append, and answers them.
func (c *committer) commit() {
	c.prepare()
	if len(c.steps) > 0 {
		errs := c.append()
		for i, s := range c.steps {
			s.finish(errs[i])
		}
		c.logFailed(errs)
		c.keepWrites(errs)
	}
	for _, s := range c.steps {
		c.put(s)
	}
	for i, j := range c.batch {
		c.batch[i] = nil
		j.finish()
	}
}

// logFailed logs what failed: one line a write, whatever the number of users.
func (c *committer) logFailed(errs []error) {
	failed, first := 0, error(nil)
	for _, err := range errs {
		if err != nil && !errors.Is(err, store.ErrFenced) {
			if failed++; first == nil {
				first = err
			}
		}
	}
	if failed > 0 {
		c.g.log.Warn("store failed", "verb", "append", "users", len(errs), "failed", failed, "error", first)
	}
}

// finish answers the job. Its caller may have it back in the pool the moment the token is there.
func (j *job) finish() {
	after := j.after
	j.after = nil
	j.done <- struct{}{}
	if after != nil { // nobody waits
		after()
		<-j.done
		j.free()
	}
}

// prepare decides, op by op and in their order, what is to be written to which mailbox.
func (c *committer) prepare() {
	steps, now := c.steps[:0], c.g.instant()
	for _, j := range c.batch {
		for i := range j.ops {
			o := &j.ops[i]
			b := o.box
			b.lock()
			if b.step == nil {
				b.step = c.newStepLocked(b)
				steps = append(steps, b.step)
			}
			b.step.add(o, now)
			b.unlock()
		}
	}
	live := steps[:0]
	for _, s := range steps {
		s.box.step = nil
		if s.IsEmpty() {
			c.put(s)
		} else {
			live = append(live, s)
		}
	}
	c.steps = live
}

// newStepLocked begins what one write does to b, with b.mu held.
func (c *committer) newStepLocked(b *box) *step {
	s := new(step)
	if n := len(c.spare); n > 0 {
		s, c.spare = c.spare[n-1], c.spare[:n-1]
	}
	s.box = b
	s.Begin(&b.Mailbox)
	return s
}

// put keeps a step for another write.
func (c *committer) put(s *step) {
	s.box = nil
	if s.Reset() && len(c.spare) < keptSteps {
		c.spare = append(c.spare, s)
	}
}

// keepWrites keeps the slices of the last write for the next, unless the store may not be done with them.
func (c *committer) keepWrites(errs []error) {
	for i, err := range errs {
		if unknown(err) {
			c.writes = nil
			return
		}
		w := &c.writes[i]
		if max(cap(w.Entries), cap(w.Kills)) > keptStep {
			*w = store.Append{}
			continue
		}
		clear(w.Entries)
		clear(w.Kills)
		*w = store.Append{Entries: w.Entries[:0], Kills: w.Kills[:0]}
	}
}

// append writes the steps, within the deadline.
func (c *committer) append() []error {
	if len(c.writes) < len(c.steps) {
		c.writes = append(c.writes, make([]store.Append, len(c.steps)-len(c.writes))...)
	}
	writes := c.writes[:len(c.steps)]
	messages := 0
	for i, s := range c.steps {
		s.WriteTo(&writes[i])
		messages += len(writes[i].Entries)
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.g.cfg.AppendTimeout)
	defer cancel()
	start := time.Now()
	errs := append(c.errs[:0], make([]error, len(writes))...)
	c.errs = errs
	c.answers.Add(len(writes))
	c.g.store.Append(ctx, writes, c.answer)
	c.answers.Wait()
	c.g.metrics.append.Observe(time.Since(start).Seconds())
	c.g.metrics.appendMessages.Observe(float64(messages))
	return errs
}
