package route

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"ramen/link"
	"ramen/protocol"
	"ramen/topology"
)

// Router asks the owner of a user. It is safe for concurrent use.
type Router struct {
	// immutable
	cfg      Config
	topology topology.Topology
	links    Links
	metrics  *metrics
	draw     func(n int64) int64 // from 0 to n-1, by chance

	floors floorKeeper // what gateways have said of shards, and the view may not know yet
}

// New makes a router that follows t.
func New(cfg Config, t topology.Topology, l Links) *Router {
	r := &Router{cfg: cfg, topology: t, links: l, metrics: newMetrics(), draw: rand.Int64N}
	r.floors.init(len(t.View().Shards))
	return r
}

// UseDraw has draw be what pauses are drawn by, from 0 to n-1, in place of chance: a simulation draws by its seed. It is called before the first call.
func (r *Router) UseDraw(draw func(n int64) int64) { r.draw = draw }

// Open opens a stream at the owner of o.User, at o.Epoch or later, within that time and the router's deadline. The context is of the
// call, not of the stream. Its error may be link.ErrSuperseded. After a lost answer the stream is asked for anew: the owner ends the first by "newest wins".
func (r *Router) Open(ctx context.Context, within time.Duration, o link.Open, to link.Receiver) (link.Stream, link.Opened, error) {
	if o.Epoch != 0 {
		r.floors.raise(topology.ShardOf(o.User, len(r.topology.View().Shards)), o.Epoch)
	}
	type open struct {
		stream link.Stream
		opened link.Opened
	}
	a, err := askOwner(ctx, r, owner{o.User, min(within, r.cfg.Deadline)}, func(ctx context.Context, g link.Gateway, at link.Route) (open, error) {
		o.Route = at
		s, opened, err := g.Open(ctx, o, to)
		return open{s, opened}, err
	})
	return a.stream, a.opened, err
}

// Ack takes an ack that did not come on the stream. It is idempotent.
func (r *Router) Ack(ctx context.Context, a link.Ack) error {
	_, err := ask(ctx, r, a.User, func(ctx context.Context, g link.Gateway, at link.Route) (struct{}, error) {
		a.Route = at
		return struct{}{}, g.Ack(ctx, a)
	})
	return err
}

// Devices lists the user's known devices.
func (r *Router) Devices(ctx context.Context, user protocol.UserID) ([]link.Device, error) {
	return ask(ctx, r, user, func(ctx context.Context, g link.Gateway, at link.Route) ([]link.Device, error) {
		return g.Devices(ctx, at, user)
	})
}

// pageLimit is how many messages the router asks for at once.
const pageLimit = 1000

// Messages lists what waits in the user's mailbox: all pages of it.
func (r *Router) Messages(ctx context.Context, user protocol.UserID) (all []*protocol.Message, err error) {
	for p := (link.Page{Limit: pageLimit}); ; {
		page, err := ask(ctx, r, user, func(ctx context.Context, g link.Gateway, at link.Route) (link.MessagePage, error) {
			return g.Messages(ctx, at, user, p)
		})
		if err != nil {
			return nil, err
		}
		all = append(all, page.Messages...)
		if p.After = page.Next; p.After == (link.Ref{}) {
			return all, nil
		}
	}
}

// Recall takes a waiting message back. False after a lost answer may mean that the lost attempt did it: either way the
// message waits no longer.
func (r *Router) Recall(ctx context.Context, user protocol.UserID, id protocol.MessageID) (bool, error) {
	return ask(ctx, r, user, func(ctx context.Context, g link.Gateway, at link.Route) (bool, error) {
		return g.Recall(ctx, at, user, id)
	})
}

// Disconnect ends the streams of one device, or of all where device is empty.
func (r *Router) Disconnect(ctx context.Context, user protocol.UserID, device protocol.DeviceID, detail string) (int, error) {
	return ask(ctx, r, user, func(ctx context.Context, g link.Gateway, at link.Route) (int, error) {
		return g.Disconnect(ctx, at, user, device, detail)
	})
}

// ask calls the owner of user until it answers, or the router's deadline.
func ask[T any](caller context.Context, r *Router, user protocol.UserID, call func(context.Context, link.Gateway, link.Route) (T, error)) (T, error) {
	return askOwner(caller, r, owner{user, r.cfg.Deadline}, call)
}

// owner is whom to ask: the owner of a user. It has to answer within a time, over all attempts.
type owner struct {
	of     protocol.UserID
	within time.Duration
}

// askOwner calls an owner until it answers, or its time is over.
func askOwner[T any](caller context.Context, r *Router, o owner, call func(context.Context, link.Gateway, link.Route) (T, error)) (answer T, err error) {
	ctx, cancel := context.WithTimeout(caller, o.within)
	defer cancel()
	last := causeNone
	for attempt := 0; ; attempt++ {
		now := r.ownership()
		shard, at := now.view.Owner(o.of)
		err = errNoOwner
		if g, ok := r.dial(now, shard); ok {
			answer, err = call(ctx, g, link.Route{Shard: shard, Epoch: at.Epoch})
		}
		if err == nil {
			return answer, nil
		}
		why := causeOf(err)
		if why == causeNone {
			return answer, leaving(caller, err)
		}
		r.floors.learn(shard, err)
		last = max(last, why)
		if !r.wait(ctx, now.view, attempt, func(newer ownership, failed *topology.View) bool { return newer.news(failed, shard) }) {
			r.metrics.gaveUp.Inc()
			if err := caller.Err(); err != nil {
				return answer, err
			}
			return answer, gaveUp(shard, last)
		}
		r.metrics.retries[why].Inc()
	}
}

// errNoOwner is an attempt that found nobody to ask.
var errNoOwner = errors.New("route: find owner: the view has none that serves the shard, or there is no link to it")

// errShort is a gateway that answers with fewer results than it was asked for.
var errShort = errors.New("the gateway returned too few results")

// errNoReason is a gateway that rejects a message and does not say why.
var errNoReason = errors.New("the gateway rejected the message without a reason")

// causeOf is why err is asked about again; none where it is an answer.
func causeOf(err error) cause {
	switch {
	case err == errNoOwner, errors.Is(err, link.ErrNotSent):
		return causeNoOwner
	case errors.Is(err, link.ErrNotOwner):
		return causeNotOwner
	case errors.Is(err, link.ErrLost):
		return causeLost
	}
	return causeNone
}

// leaving is err as it may leave the router.
func leaving(caller context.Context, err error) error {
	if e, ok := errors.AsType[*protocol.Error](err); ok {
		return e
	}
	switch {
	case errors.Is(err, link.ErrSuperseded):
		return link.ErrSuperseded
	case caller.Err() != nil:
		return caller.Err()
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return errUnanswered()
	}
	if err == nil {
		err = errNoReason
	}
	return protocol.Errorf(protocol.CodeInternal, "the user's gateway failed: %v", err)
}

func errUnanswered() *protocol.Error {
	return protocol.Errorf(protocol.CodeUnavailable, "the user's gateway did not answer in time: whether the call took effect is unknown; try again with the same id")
}

func gaveUp(shard protocol.ShardID, last cause) *protocol.Error {
	if last == causeLost {
		return protocol.Errorf(protocol.CodeUnavailable, "the link to the owner of shard %d broke: whether the call took effect is unknown; try again with the same id", shard)
	}
	return protocol.Errorf(protocol.CodeUnavailable, "shard %d has no owner at the moment: nothing was done; try again", shard)
}

// wait returns true when it is time for another attempt: once a view newer than the failed one has news of the shards in
// question, or after a pause, since a gateway may be ahead of its announcement, or a link may come back. False when there is no
// time left.
func (r *Router) wait(ctx context.Context, failed *topology.View, attempt int, news func(newer ownership, failed *topology.View) bool) bool {
	pause := time.NewTimer(r.pause(attempt))
	defer pause.Stop()
	for {
		select {
		case <-r.topology.Changed(failed):
			newer := r.ownership()
			if news(newer, failed) {
				return ctx.Err() == nil
			}
			failed = newer.view
		case <-pause.C:
			return ctx.Err() == nil
		case <-ctx.Done():
			return false
		}
	}
}

// pause draws from the upper half: those who failed together do not come back together.
func (r *Router) pause(attempt int) time.Duration {
	full := min(r.cfg.PauseMin<<min(attempt, 16), r.cfg.PauseMax)
	return full/2 + time.Duration(r.draw(int64(full/2+1)))
}
