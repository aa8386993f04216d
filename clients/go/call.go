package ramen

import (
	"context"
	"errors"
	"fmt"
	"time"

	"ramen/clients/go/wire"
	"ramen/protocol"
)

// call is one PublishAll: messages that have no good answer yet, and the results so far.
type call struct {
	results []Result
	open    []pending
	cause   error // why some are open: the last refusal, or what stood in for an answer
}

// pending is a message on its way, and the places of its results, one a user.
type pending struct {
	p      protocol.Publish
	places []int
}

// newCall checks each message and user by itself: one that is wrong must not spoil the others' request.
func newCall(ms []Publication) *call {
	c := &call{results: make([]Result, 0, len(ms))}
	for i := range ms {
		p, err := ms[i].check()
		if len(ms[i].Users) == 0 {
			if place, ok := c.place(p.ID, ms[i].User, err); ok {
				c.open = append(c.open, pending{p, []int{place}})
			}
			continue
		}
		part := pending{p: p}
		part.p.Users = nil
		for _, u := range ms[i].Users {
			bad := err
			if bad == nil {
				bad = protocol.CheckUser(u)
			}
			place, ok := c.place(p.ID, u, bad)
			if !ok {
				continue
			}
			if len(part.places) == most.MaxBatch { // no request holds more
				c.open = append(c.open, part)
				part = pending{p: part.p}
				part.p.Users = nil
			}
			part.p.Users = append(part.p.Users, u)
			part.places = append(part.places, place)
		}
		if len(part.places) > 0 {
			c.open = append(c.open, part)
		}
	}
	return c
}

// place makes room for a result: that of a message that is refused here, or of one that is on its way (ok).
func (c *call) place(id, user string, err error) (at int, ok bool) {
	r := Result{ID: id, User: user}
	if err != nil {
		r.Status, r.Err = Rejected, err
	}
	c.results = append(c.results, r)
	return len(c.results) - 1, err == nil
}

// run goes over what is open, again and again, until nothing is.
func (c *call) run(ctx context.Context, p *Publisher) error {
	backoff := wire.Backoff{First: firstRetry, Most: mostRetry}
	for {
		after, err := c.round(ctx, p)
		if err == nil && len(c.open) == 0 {
			return nil
		}
		if err != nil {
			return c.because(err)
		}
		if p.cfg.OnRetry != nil {
			p.cfg.OnRetry(c.cause)
		}
		pause := time.NewTimer(after + backoff.Next())
		select {
		case <-pause.C:
		case <-ctx.Done():
			err = ctx.Err()
		case <-p.ctx.Done():
			err = ErrClosed
		}
		pause.Stop()
		if err != nil {
			return c.because(err)
		}
	}
}

// because adds to the end of the caller's patience why it was needed. A refusal says enough by itself.
func (c *call) because(err error) error {
	var refused *Error
	if c.cause == nil || errors.As(err, &refused) {
		return err
	}
	return fmt.Errorf("%w, after: %v", err, c.cause)
}

// round sends everything that is open once, a unit after the other. after is how long the server wants a pause.
func (c *call) round(ctx context.Context, p *Publisher) (after time.Duration, err error) {
	todo := c.open
	c.open = nil
	for len(todo) > 0 {
		n := p.fitting(todo)
		unit := p.newUnit(ctx, todo[:n])
		results, err := p.submit(ctx, unit)
		var refused *Error
		switch {
		case err == nil:
			after = max(after, c.note(todo[:n], results))
		case errors.As(err, &refused) && !again(refused):
			c.refuse(todo, refused)
			return 0, refused
		case errors.Is(err, ErrClosed):
			return 0, ErrClosed
		case ctx.Err() != nil:
			return 0, ctx.Err()
		default: // no answer: unknown. SPEC 9.1.3
			c.cause = err
			c.open = append(c.open, todo[:n]...)
			if refused != nil {
				after = max(after, refused.RetryAfter)
			}
		}
		todo = todo[n:]
	}
	return after, nil
}

// note takes over the results of what was sent, and keeps open what is to be tried again.
func (c *call) note(sent []pending, results []protocol.PublishResult) (after time.Duration) {
	for i := range sent {
		s := &sent[i]
		rest := pending{p: s.p}
		rest.p.Users = nil
		for j, place := range s.places {
			r := results[j]
			c.results[place] = result(c.results[place], r)
			if r.Status == Rejected && r.Err != nil && again(r.Err) {
				c.cause = r.Err
				after = max(after, r.Err.RetryAfter)
				rest.places = append(rest.places, place)
				if len(s.p.Users) > 0 {
					rest.p.Users = append(rest.p.Users, s.p.Users[j])
				}
			}
		}
		results = results[len(s.places):]
		if len(rest.places) > 0 {
			c.open = append(c.open, rest)
		}
	}
	return after
}

func (c *call) refuse(sent []pending, err *Error) {
	for i := range sent {
		for _, place := range sent[i].places {
			c.results[place].Status, c.results[place].Err = Rejected, err
		}
	}
}

func result(before Result, r protocol.PublishResult) Result {
	after := Result{ID: before.ID, User: before.User, Status: r.Status, Devices: int(r.Devices)}
	switch {
	case r.Status == Accepted, r.Status == Duplicate:
	case r.Status == Rejected && r.Err != nil:
		after.Err = r.Err
	default:
		after.Status = Rejected
		after.Err = protocol.Errorf(protocol.CodeInternal, "the server's answer has an unknown status: %d", r.Status)
	}
	return after
}

// again reports whether a refusal is for now alone. SPEC 9.1.5
func again(e *Error) bool {
	return e.Code == protocol.CodeUnavailable || e.Code == protocol.CodeResourceExhausted
}
