package gateway

import (
	"context"
	"time"

	"ramen/link"
	"ramen/protocol"
	"ramen/store"
)

// committer appends to the store for its share of the shards, one write at a time: what came while one was under way
// shares the next, and so its fsync. It alone gives positions and fills lanes in its shards, which is their order.
type committer struct {
	g    *Gateway
	jobs chan *job
}

// job is what one caller wants written.
type job struct {
	ops   []op
	done  chan struct{} // closed once every op has its result
	after func()        // called then, by who closed done; may be nil
}

// op is one publish; or one recall; or neither, so that what is unsure of the mailbox is written again.
type op struct {
	box     *mailbox
	publish *link.Publish
	recall  protocol.MessageID

	hash   idHash
	entry  *entry // what was made of a publish, or is to be recalled; nil where nothing is written for it
	result link.Result
	found  bool // recall: there was one
}

// run is the committer's goroutine. It ends once jobs is closed and drained.
func (c *committer) run() {
	for j := range c.jobs {
		c.commit(c.gather(j))
	}
}

// gather takes what else is waiting, up to the bound of one write.
func (c *committer) gather(first *job) []*job {
	batch, n := []*job{first}, len(first.ops)
	for n < c.g.cfg.CommitMessages {
		select {
		case j, ok := <-c.jobs:
			if !ok {
				return batch
			}
			batch, n = append(batch, j), n+len(j.ops)
		default:
			return batch
		}
	}
	return batch
}

// commit writes the jobs' ops in one append, and answers them.
func (c *committer) commit(batch []*job) {
	if steps := c.prepare(batch); len(steps) > 0 {
		errs := c.append(steps)
		for i, s := range steps {
			s.finish(errs[i])
		}
	}
	for _, j := range batch {
		j.finish()
	}
}

func (j *job) finish() {
	close(j.done)
	if j.after != nil {
		j.after()
	}
}

// prepare decides, op by op and in their order, what is to be written to which mailbox.
func (c *committer) prepare(batch []*job) []*step {
	steps := make([]*step, 0, len(batch))
	byBox := make(map[*mailbox]*step, len(batch))
	for _, j := range batch {
		for i := range j.ops {
			o := &j.ops[i]
			s := byBox[o.box]
			o.box.mu.Lock()
			if s == nil {
				s = o.box.newStepLocked()
				byBox[o.box] = s
				steps = append(steps, s)
			}
			s.addLocked(o)
			o.box.mu.Unlock()
		}
	}
	live := steps[:0]
	for _, s := range steps {
		if len(s.ops)+len(s.prior) > 0 {
			live = append(live, s)
		}
	}
	return live
}

// append writes the steps, within the deadline.
func (c *committer) append(steps []*step) []error {
	writes := make([]store.Append, len(steps))
	messages := 0
	for i, s := range steps {
		writes[i] = s.write()
		messages += len(writes[i].Entries)
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.g.cfg.AppendTimeout)
	defer cancel()
	start := time.Now()
	errs := c.g.store.Append(ctx, writes)
	c.g.metrics.append.Observe(time.Since(start).Seconds())
	c.g.metrics.appendMessages.Observe(float64(messages))
	return errs
}
