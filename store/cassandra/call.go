package cassandra

import (
	"context"
	"sync/atomic"
	"time"
)

// attempts is how many hosts a call asks at most.
const attempts = 3

// write has run write to one host after the other, until one has answered that it is done, or ctx ends, or none is left. What run writes is the
// same each time. The error wraps store.ErrUnknown where one of the hosts may have done it.
func (s *Store) write(ctx context.Context, run func(ctx context.Context) error) error {
	c := new(call)
	var last error
	maybe := false
	for n := 0; n < attempts; n++ {
		if err := ctx.Err(); err != nil {
			if last == nil {
				return err
			}
			break
		}
		a := &attempt{Context: s.attemptContext(ctx), call: c}
		err := run(a)
		f := s.note(a, err)
		if err == nil {
			return nil
		}
		if n > 0 && a.host == nil { // all were asked: once more
			c.forget()
			continue
		}
		last = err
		maybe = maybe || f.unknown
		if !f.again {
			break
		}
	}
	if maybe {
		return unknownError(last)
	}
	return last
}

// note tells breaker and metrics how an attempt has ended.
func (s *Store) note(a *attempt, err error) (f fault) {
	if err != nil {
		f = faultOf(err)
		s.metrics.errors[f.reason].Inc()
	}
	if a.host == nil {
		return f
	}
	b := s.breakers.host(a.host.HostID())
	if !f.silent {
		b.answered()
	} else if b.failed(s.breakers.now()) {
		s.log.Warn("cassandra: a host does not answer; it is passed over", "host", a.host.ConnectAddress().String(), "error", err)
	}
	return f
}

// deadline is the end of the attempts that begin within a short time: one timer for all of them.
type deadline struct {
	ctx    context.Context
	cancel context.CancelFunc // never called: the deadline comes soon
	until  time.Time          // attempts that begin later get another
	end    time.Time
}

// attemptContext ends with the attempt that begins now: after Config's timeout, or with ctx where that is earlier.
func (s *Store) attemptContext(ctx context.Context) context.Context {
	now := time.Now()
	d := s.deadline.Load()
	if d == nil || !now.Before(d.until) {
		d = &deadline{until: now.Add(s.cfg.timeout / 8), end: now.Add(s.cfg.timeout)}
		d.ctx, d.cancel = context.WithDeadline(context.Background(), d.end)
		s.deadline.Store(d)
	}
	if end, ok := ctx.Deadline(); ok && end.Before(d.end) {
		return ctx
	}
	return d.ctx
}

// read has run read from a host. A second one is asked once it has taken longer than 99 of 100 do, or has failed, and then a third; the first
// success counts.
func read[T any](ctx context.Context, s *Store, run func(ctx context.Context) (T, error)) (T, error) {
	type result struct {
		value T
		err   error
		again bool
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c, results := new(call), make(chan result, attempts)
	asked, open := 0, 0
	ask := func() {
		asked++
		open++
		s.requests.Go(func() {
			a := &attempt{Context: ctx, call: c}
			began := time.Now()
			value, err := run(a)
			if ctx.Err() != nil && err != nil { // it was not waited for
				results <- result{err: err}
				return
			}
			f := s.note(a, err)
			if err == nil {
				s.slowRead.add(time.Since(began))
			}
			results <- result{value, err, f.again && a.host != nil}
		})
	}
	ask()
	hedge := time.NewTimer(s.slowRead.get())
	defer hedge.Stop()
	var last result
	for {
		select {
		case r := <-results:
			open--
			if r.err == nil {
				return r.value, nil
			}
			if last.err == nil || r.again {
				last = r
			}
			if r.again && asked < attempts {
				ask()
			} else if open == 0 {
				return last.value, last.err
			}
		case <-hedge.C:
			if asked < attempts {
				s.metrics.hedged.Inc()
				ask()
				hedge.Reset(s.slowRead.get())
			}
		case <-ctx.Done():
			return last.value, ctx.Err()
		}
	}
}

// quantile follows the 99th percentile of times: a slower one raises it, each other lowers it a 99th as much.
type quantile struct{ ns atomic.Int64 }

// What quantile begins with, and its bounds: below, a hedge would ask for nothing; above, it would come too late.
const (
	slowAtFirst = 20 * time.Millisecond
	slowLeast   = 2 * time.Millisecond
	slowMost    = 100 * time.Millisecond
)

func (q *quantile) get() time.Duration {
	if ns := q.ns.Load(); ns != 0 {
		return time.Duration(ns)
	}
	return slowAtFirst
}

func (q *quantile) add(d time.Duration) {
	old := q.ns.Load()
	now := int64(q.get())
	if step := now / 10; int64(d) > now {
		now += step
	} else {
		now -= step / 99
	}
	q.ns.CompareAndSwap(old, min(max(now, int64(slowLeast)), int64(slowMost)))
}
