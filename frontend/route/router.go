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

// Links is where the router finds the link to a gateway.
type Links interface {
	// Gateway is the link to m; false while there is none.
	Gateway(m topology.MemberID) (link.Gateway, bool)
}

// Router asks the owner of a user. It is safe for concurrent use, and keeps nothing between calls.
type Router struct {
	// immutable
	cfg      Config
	topology topology.Topology
	links    Links
	metrics  *metrics
}

// New makes a router that follows t.
func New(cfg Config, t topology.Topology, l Links) *Router {
	return &Router{cfg: cfg, topology: t, links: l, metrics: newMetrics()}
}

// Open opens a stream at the owner of o.User. The context is of the call, not of the stream. Its error may be
// link.ErrSuperseded. After a lost answer the stream is asked for anew: the owner ends the first by "newest wins".
func (r *Router) Open(ctx context.Context, o link.Open, to link.Receiver) (link.Stream, link.Opened, error) {
	type open struct {
		stream link.Stream
		opened link.Opened
	}
	a, err := ask(ctx, r, o.User, func(ctx context.Context, g link.Gateway, at link.Route) (open, error) {
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

// ask calls the owner of user until it answers, or the deadline.
func ask[T any](caller context.Context, r *Router, user protocol.UserID, call func(context.Context, link.Gateway, link.Route) (T, error)) (answer T, err error) {
	ctx, cancel := context.WithTimeout(caller, r.cfg.Deadline)
	defer cancel()
	last := causeNone
	for attempt := 0; ; attempt++ {
		view := r.topology.View()
		shard, owner := view.Owner(user)
		err = errNoOwner
		if g, ok := r.gateway(owner.Member); ok {
			answer, err = call(ctx, g, link.Route{Shard: shard, Epoch: owner.Epoch})
		}
		if err == nil {
			return answer, nil
		}
		why := causeOf(err)
		if why == causeNone {
			return answer, leaving(caller, err)
		}
		last = max(last, why)
		if !r.wait(ctx, view, attempt, func(newer *topology.View) bool { return newer.Shards[shard] != owner }) {
			r.metrics.gaveUp.Inc()
			if err := caller.Err(); err != nil {
				return answer, err
			}
			return answer, gaveUp(shard, last)
		}
		r.metrics.retries[why].Inc()
	}
}

func (r *Router) gateway(m topology.MemberID) (link.Gateway, bool) {
	if m == "" {
		return nil, false
	}
	return r.links.Gateway(m)
}

// errNoOwner is an attempt that found nobody to ask.
var errNoOwner = errors.New("route: the view has no owner for the shard, or no link to it")

// errShort is a gateway that answers with fewer results than it was asked for.
var errShort = errors.New("the gateway returned too few results")

// errNoReason is a gateway that rejects a message and does not say why.
var errNoReason = errors.New("the gateway rejected the message without a reason")

// causeOf is why err is asked about again; none where it is an answer.
func causeOf(err error) cause {
	switch {
	case err == errNoOwner:
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

// wait returns true when it is time for another attempt: once a view newer than the failed one says something else of
// the shards in question, or after a pause, since a gateway may be ahead of its announcement, or a link may come back.
// False when there is no time left.
func (r *Router) wait(ctx context.Context, failed *topology.View, attempt int, moved func(*topology.View) bool) bool {
	pause := time.NewTimer(r.pause(attempt))
	defer pause.Stop()
	for {
		select {
		case <-r.topology.Changed(failed):
			if failed = r.topology.View(); moved(failed) {
				return ctx.Err() == nil
			}
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
	return full/2 + rand.N(full/2+1)
}
