package h2

import (
	"container/list"
	"context"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/tap"
)

// Admit is what Port.Admit is.
type Admit func(ctx context.Context, call *tap.Info) (known bool, err error)

// tap sees each call before grpc makes a stream and a goroutine of it.
func (g *Guard) tap(ctx context.Context, call *tap.Info) (context.Context, error) {
	c := From(ctx)
	if c == nil || c.known.Load() {
		return ctx, nil
	}
	if g.port.Admit != nil {
		known, err := g.port.Admit(ctx, call)
		if err != nil {
			return nil, err
		}
		if known {
			c.setKnown()
			return ctx, nil
		}
	}
	if call.FullMethodName != g.port.Opens {
		return g.others.add(ctx, mostOthers), nil
	}
	if c.waiting.Add(1) > int32(g.cfg.UnknownCalls) {
		c.waiting.Add(-1)
		g.metrics.refused.Inc()
		return nil, status.Errorf(codes.Unavailable, "this connection has %d calls, and none has shown a valid token yet: wait for them", g.cfg.UnknownCalls)
	}
	context.AfterFunc(ctx, func() { c.waiting.Add(-1) }) // grpc ends some calls before their handler
	return ctx, nil
}

// calls are those of other services, which need no token: the oldest first.
type calls struct {
	mu  sync.Mutex
	all list.List // of context.CancelFunc
}

// add is ctx, which ends too when there are more than most and it is the oldest.
func (q *calls) add(ctx context.Context, most int) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	q.mu.Lock()
	e := q.all.PushBack(cancel)
	var old context.CancelFunc
	if q.all.Len() > most {
		old = q.all.Remove(q.all.Front()).(context.CancelFunc)
	}
	q.mu.Unlock()
	context.AfterFunc(ctx, func() {
		q.mu.Lock()
		q.all.Remove(e) // nothing where it is removed already
		q.mu.Unlock()
	})
	if old != nil {
		old()
	}
	return ctx
}
