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
	j := g.newJob()
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
		lane := p.Message.Priority.Lane()
		if len(j.ops) == 0 || lane < j.lane {
			j.lane = lane
		}
		j.add(op{Op: mailbox.Op{Message: p.Message, Device: p.Device, Where: p.Where, TTLMS: p.TTLMS}, box: b, at: i})
		written := writtenBytes(p.Message, p.Where)
		j.bytes += int(written)
		if len(p.Message.Headers)+len(p.Where) > 0 { // else it is about as much
			written = max(written, mailbox.MessageBytes(p.Message, p.Device, p.Where))
		}
		if j.held += written; j.bytes >= commitBytes || j.held >= commitBytes {
			g.conclude(j, results)
			j = g.newJob()
		}
	}
	g.conclude(j, results)
	return results
}

// conclude has a job done, and gives its results.
func (g *Gateway) conclude(j *job, results []link.Result) {
	if len(j.ops) > 0 {
		g.do(j)
	}
	for k := range j.ops {
		o := &j.ops[k]
		results[o.at] = o.result()
		g.release(o.box)
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
	if err := b.enter(); err != nil {
		g.release(b)
		return nil, err
	}
	wait, ok := b.TakePublish(g.nowUS())
	b.unlock()
	if !ok {
		g.release(b)
		return nil, &protocol.Error{Code: protocol.CodeResourceExhausted, RetryAfter: wait,
			Message: fmt.Sprintf("more than %g messages a second are published to this user; retry in %v", g.cfg.PublishesPerSecond, wait)}
	}
	return b, nil
}

// writtenBytes is what a publish has the store write, with what each costs beside its text.
func writtenBytes(m *protocol.Message, where map[string]string) int64 {
	return mailbox.QuotaBytes(m, where) + 512
}

// bytes is what o has the store write, roughly.
func (o *op) bytes() int64 {
	if o.Message == nil {
		return 0
	}
	return writtenBytes(o.Message, o.Where)
}

// Recall takes a waiting message back.
func (g *Gateway) Recall(ctx context.Context, at link.Route, user protocol.UserID, id protocol.MessageID) (bool, error) {
	b, err := g.acquire(ctx, at, user)
	if err != nil {
		return false, err
	}
	defer g.release(b)
	j := g.newJob()
	defer j.free()
	j.add(op{Op: mailbox.Op{Recall: id}, box: b})
	g.do(j)
	return j.ops[0].Found, j.ops[0].Err
}
