package gateway

import (
	"context"
	"errors"
	"fmt"

	"ramen/gateway/mailbox"
	"ramen/link"
	"ramen/protocol"
)

// Publish accepts messages: durable before it returns, and pushed to whoever has a stream with room.
func (g *Gateway) Publish(ctx context.Context, batch []link.Publish) []link.Result {
	results := make([]link.Result, len(batch))
	var few, fewer [8]*job
	jobs := few[:] // being filled, by committer
	if len(g.committers) > len(few) {
		jobs = make([]*job, len(g.committers))
	}
	submitted := fewer[:0]
	for i := range batch {
		p := &batch[i]
		b, err := g.admitPublish(ctx, p)
		if err != nil {
			if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
				err = protocol.Errorf(protocol.CodeUnavailable, "the user's mailbox was not loaded in time; try again with the same id")
			}
			results[i] = link.Result{Status: link.StatusRejected, Err: err}
			continue
		}
		c := g.committerIndex(b.shard)
		lane := p.Message.Priority.Lane()
		if jobs[c] == nil {
			jobs[c] = g.newJob()
			jobs[c].lane = lane
		}
		j := jobs[c]
		j.lane = min(j.lane, lane)
		j.ops = append(j.ops, op{Op: mailbox.Op{Message: p.Message, Device: p.Device, Where: p.Where, TTLMS: p.TTLMS}, box: b, at: i})
		written := writtenBytes(p)
		j.bytes += int(written)
		if len(p.Message.Headers)+len(p.Where) > 0 { // else it is about as much
			written = max(written, mailbox.MessageBytes(p.Message, p.Device, p.Where))
		}
		if j.held += written; j.bytes >= commitBytes || j.held >= commitBytes {
			g.submit(g.committers[c], j)
			submitted, jobs[c] = append(submitted, j), nil
		}
	}
	for c, j := range jobs {
		if j != nil {
			g.submit(g.committers[c], j)
			submitted = append(submitted, j)
		}
	}
	for _, j := range submitted {
		g.conclude(j, results)
	}
	return results
}

// conclude waits for a job, gives its results, and pushes what it has brought.
func (g *Gateway) conclude(j *job, results []link.Result) {
	<-j.done
	for k := range j.ops {
		results[j.ops[k].at] = j.ops[k].result()
	}
	g.pushPublished(j)
	for k := range j.ops {
		g.release(j.ops[k].box)
	}
	j.free()
}

// admitPublish finds the mailbox, and counts the publish against the user's rate. The mailbox is pinned on success.
func (g *Gateway) admitPublish(ctx context.Context, p *link.Publish) (*box, error) {
	if err := ctx.Err(); err != nil { // of a batch whose loads took long: nobody waits for the rest
		return nil, err
	}
	b, err := g.acquireIf(ctx, p.Route, p.User, g.admitOf[p.Message.Priority.Lane()])
	if err != nil {
		return nil, err
	}
	b.lock()
	wait, ok := b.TakePublish(g.nowUS())
	b.unlock()
	if !ok {
		g.release(b)
		return nil, &protocol.Error{Code: protocol.CodeResourceExhausted, RetryAfter: wait,
			Message: fmt.Sprintf("more than %g messages a second are published to this user; retry in %v", g.cfg.PublishesPerSecond, wait)}
	}
	return b, nil
}

// submit queues a job; a full queue, or a gateway that is closing, refuses it at once.
func (g *Gateway) submit(c *committer, j *job) {
	refusal := g.enqueue(c, j)
	if refusal == nil {
		return
	}
	for i := range j.ops {
		j.ops[i].Reject(refusal)
	}
	j.finish()
}

func (g *Gateway) enqueue(c *committer, j *job) error {
	g.closeMu.RLock()
	defer g.closeMu.RUnlock()
	if g.closed {
		return link.ErrNotOwner
	}
	bytes := j.held // j is the committer's once it is sent
	if queued := c.queued.Add(bytes); queued <= g.queueBytes(j.lane) || queued == bytes {
		select {
		case c.jobs <- j:
			return nil
		default:
		}
	}
	c.queued.Add(-bytes)
	return protocol.Errorf(protocol.CodeUnavailable, "too many publishes wait for the store; retry with backoff")
}

// pushPublished pushes to the streams of the users of a written job, in the publisher's own goroutine.
func (g *Gateway) pushPublished(j *job) {
	all := streamsPool.Get().(*[]*stream)
	var last *box
	for i := range j.ops {
		if b := j.ops[i].box; b != last {
			last = b // rejected or not: what was in doubt before it may have been settled with it
			b.appendStreams(all)
		}
	}
	deliverTo(all)
}

// writtenBytes is what a publish has the store write, with what each costs beside its text.
func writtenBytes(p *link.Publish) int64 { return mailbox.QuotaBytes(p.Message, p.Where) + 512 }

// Recall takes a waiting message back.
func (g *Gateway) Recall(ctx context.Context, at link.Route, user protocol.UserID, id protocol.MessageID) (bool, error) {
	b, err := g.acquire(ctx, at, user)
	if err != nil {
		return false, err
	}
	defer g.release(b)
	j := g.newJob()
	defer j.free()
	j.ops = append(j.ops, op{Op: mailbox.Op{Recall: id}, box: b})
	g.submit(g.committers[g.committerIndex(b.shard)], j)
	<-j.done
	g.pushPublished(j)
	return j.ops[0].Found, j.ops[0].Err
}
