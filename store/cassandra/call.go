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
	c := new(writeCall)
	var last error
	maybe, asked := false, false
	for n, waits := 0, 0; n < attempts; n++ {
		if err := ctx.Err(); err != nil {
			if last == nil {
				return err
			}
			break
		}
		a := &c.first
		if n > 0 {
			a = new(attempt)
		}
		a.call, a.began, a.host = &c.call, time.Now(), nil
		a.Context = s.attemptContext(ctx, a.began)
		err := run(a)
		f := s.note(a, err)
		if err == nil {
			s.ready.succeeded()
			return nil
		}
		if a.host == nil {
			c.forget()
			if asked { // all that have a connection were: once more
				asked = false
			} else if waits++; waits < mostWaits && pause(ctx, noHostPause) {
				n--
			}
		}
		asked = asked || a.host != nil
		last = err
		maybe = maybe || f.unknown
		if !f.again {
			break
		}
	}
	s.ready.failed(last)
	if maybe {
		return unknownError(last)
	}
	return last
}

// writeCall is a call with its first attempt, which is mostly the only one.
type writeCall struct {
	call
	first attempt
}

// noHostPause is how long a call waits that finds no host with a connection, and mostWaits how often: one may be about to have some again.
const (
	noHostPause = 25 * time.Millisecond
	mostWaits   = 40
)

// pause reports whether ctx has lasted for so long.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
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
	switch {
	case !f.silent:
		b.answered()
	case time.Since(a.began) < s.cfg.timeout/2: // it had little time left
	case b.failed(s.breakers.now()):
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

// attemptContext ends with the attempt that begins now: after the timeout of one, or with ctx where that is earlier.
func (s *Store) attemptContext(ctx context.Context, now time.Time) context.Context {
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
	for waits := 1; ; waits++ {
		value, asked, err := readOnce(ctx, s, run)
		if err == nil || asked || waits == mostWaits || !pause(ctx, noHostPause) {
			return value, err
		}
	}
}

// answer is what an attempt of a read has brought.
type answer[T any] struct {
	value T
	err   error
	again bool // another host may do it
	asked bool // a host was asked
}

func readOnce[T any](ctx context.Context, s *Store, run func(ctx context.Context) (T, error)) (value T, asked bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c, answers := new(call), make(chan answer[T], attempts)
	hedge := time.NewTimer(s.slowRead.get())
	defer hedge.Stop()
	begun, open := 0, 0
	begin := func() {
		begun++
		open++
		s.requests.Go(func() { answers <- attemptRead(ctx, s, c, run) })
	}
	begin()
	for {
		select {
		case r := <-answers:
			open--
			if r.err == nil {
				return r.value, true, nil
			}
			if asked = asked || r.asked; r.asked || err == nil {
				err = r.err
			}
			if r.again && begun < attempts {
				begin()
			} else if open == 0 {
				return value, asked, err
			}
		case <-hedge.C:
			if begun < attempts {
				s.metrics.hedged.Inc()
				begin()
				hedge.Reset(s.slowRead.get())
			}
		case <-ctx.Done():
			return value, true, ctx.Err()
		}
	}
}

func attemptRead[T any](ctx context.Context, s *Store, c *call, run func(ctx context.Context) (T, error)) (r answer[T]) {
	a := &attempt{Context: ctx, call: c, began: time.Now()}
	r.value, r.err = run(a)
	r.asked = a.host != nil
	if r.err != nil && ctx.Err() != nil { // it was not waited for: that says nothing of the host
		return r
	}
	r.again = s.note(a, r.err).again && r.asked
	if r.err == nil {
		s.slowRead.add(time.Since(a.began))
	}
	return r
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
