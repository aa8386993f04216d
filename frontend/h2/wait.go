package h2

import (
	"context"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"ramen/frontend/grpcend"
)

// Wait is a handler's wait for the first message of its call. It costs a goroutine and some KiB, whether anything comes or not, so
// there is a bound on all waits of a port together, beyond which the oldest call ends: a good client's first message follows its
// headers at once. The zero value waits for nothing.
type Wait struct {
	ctx   context.Context
	waits *waits

	// guarded by waits.mu
	prev, next *Wait
	listed     bool
	age        int // sweeps
}

// mostWaits bounds the waits of a port.
const mostWaits = 4096

// Begin says that the handler of ctx waits from now on.
func (w *Wait) Begin(ctx context.Context) {
	if c := From(ctx); c != nil {
		w.ctx = ctx
		if old := c.guard.waits.add(w); old != nil {
			c.guard.metrics.waits[dropped].Inc()
			grpcend.End(old, status.New(codes.Unavailable, "too many calls wait for their first message, and this one has waited the longest: send it with the headers"))
		}
	}
}

// End says that the message has come, or will not.
func (w *Wait) End() {
	if w.ctx != nil {
		w.waits.remove(w)
		w.ctx = nil
	}
}

// waits are the waits of a port, in the order in which they began.
type waits struct {
	mu          sync.Mutex
	first, last *Wait
	count       int
}

// add adds w, and answers the call that is to end for it.
func (q *waits) add(w *Wait) (old context.Context) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.count >= mostWaits {
		old = q.first.ctx
		q.removeLocked(q.first)
	}
	w.waits, w.listed, w.prev, w.next, w.age = q, true, q.last, nil, 0
	if q.last != nil {
		q.last.next = w
	} else {
		q.first = w
	}
	q.last = w
	q.count++
	return old
}

func (q *waits) remove(w *Wait) {
	q.mu.Lock()
	q.removeLocked(w)
	q.mu.Unlock()
}

func (q *waits) removeLocked(w *Wait) {
	if !w.listed { // it was dropped
		return
	}
	if w.prev != nil {
		w.prev.next = w.next
	} else {
		q.first = w.next
	}
	if w.next != nil {
		w.next.prev = w.prev
	} else {
		q.last = w.prev
	}
	w.listed, w.prev, w.next = false, nil, nil
	q.count--
}

// sweep ends the calls whose message has not come in time.
func (q *waits) sweep() (late []context.Context) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for w := q.first; w != nil; {
		next := w.next
		if c := From(w.ctx); c != nil && c.coming() {
			w = next // its message may be on the way: whether it comes too slowly is seen by its bytes
			continue
		}
		if w.age++; w.age > slowAfter {
			late = append(late, w.ctx)
			q.removeLocked(w)
		}
		w = next
	}
	return late
}
