package linkgrpc

import (
	"context"
	"slices"
	"sync"
	"time"

	"ramen/link"
	"ramen/protocol"
)

// publishCall is one call of Publish that came over a link.
type publishCall struct {
	from  *session
	id    uint64
	until time.Time // zero: its caller waits for ever
	batch []link.Publish

	waitsFor int // guarded by the sequencer's mu: users before whose earlier calls it must not be made
}

// alone reports whether it is for one user only.
func (p *publishCall) alone() bool {
	for i := range p.batch {
		if p.batch[i].User != p.batch[0].User {
			return false
		}
	}
	return true
}

// sequencer has the publishes of each user made in the order in which they came, over all links: a call begins when the one before it
// has ended, so that one whose caller has given up is not overtaken by what it says next. What came meanwhile for the same user alone
// is made together, so that waiting costs no throughput: the gateway would have made one step of it, too.
//
// Goroutines: one for each chain of calls under way. Up to maxIdle wait for another when theirs has ended: a new one for each call had its stack
// grown on the way down to the store each time, which was a twentieth of a gateway's CPU.
type sequencer struct {
	gateway link.Gateway
	wg      sync.WaitGroup
	given   chan []*publishCall // to those who wait for calls

	mu     sync.Mutex
	users  map[protocol.UserID]turns // of whom a call is under way
	idle   int                       // who waits for calls, and has not been given any
	closed bool                      // nobody waits for calls any more
}

// maxIdle is the most goroutines that wait for calls.
const maxIdle = 32

// turns is whose turn it is with one user.
type turns struct {
	now  *publishCall
	next []*publishCall
}

func newSequencer(g link.Gateway) *sequencer {
	return &sequencer{gateway: g, users: make(map[protocol.UserID]turns), given: make(chan []*publishCall, maxIdle)}
}

// add makes p when its turn has come.
func (q *sequencer) add(p *publishCall) {
	q.mu.Lock()
	for i := range p.batch {
		user := p.batch[i].User
		t, busy := q.users[user]
		switch {
		case !busy:
			q.users[user] = turns{now: p}
		case t.now == p || len(t.next) > 0 && t.next[len(t.next)-1] == p: // it names the user twice
		default:
			t.next = append(t.next, p)
			q.users[user] = t
			p.waitsFor++
		}
	}
	ready := p.waitsFor == 0
	q.mu.Unlock()
	if ready {
		q.start([]*publishCall{p})
	}
}

// start makes calls that are of one user, or one.
func (q *sequencer) start(calls []*publishCall) {
	q.mu.Lock()
	idle := q.idle > 0
	if idle {
		q.idle--
		q.given <- calls // there is room: no more are in it than were idle
	}
	q.mu.Unlock()
	if !idle {
		q.wg.Go(func() { q.work(calls) })
	}
}

// work makes calls, those that follow from them, and then those that it is given.
func (q *sequencer) work(calls []*publishCall) {
	for more := true; more; {
		for calls != nil {
			q.make(calls)
			calls = q.end(calls)
		}
		if !q.rest() {
			return
		}
		calls, more = <-q.given
	}
}

// rest reports whether whoever asks is to wait for calls.
func (q *sequencer) rest() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || q.idle == maxIdle {
		return false
	}
	q.idle++
	return true
}

// close waits for the calls under way. None is added any more.
func (q *sequencer) close() {
	q.mu.Lock()
	if !q.closed {
		q.closed, q.idle = true, 0
		close(q.given)
	}
	q.mu.Unlock()
	q.wg.Wait()
}

// end gives the users of ended calls to those who wait for them. It answers some of the calls that can be made now, and starts the others.
func (q *sequencer) end(ended []*publishCall) (mine []*publishCall) {
	var ready [][]*publishCall
	q.mu.Lock()
	last := ended[len(ended)-1] // has the turn: all of them are of its user
	for i := range last.batch {
		user := last.batch[i].User
		t := q.users[user]
		if t.now != last {
			continue // given on already: it names the user twice
		}
		if len(t.next) == 0 {
			delete(q.users, user)
			continue
		}
		p := t.next[0]
		group, n := []*publishCall{p}, 1
		if p.alone() {
			for n < len(t.next) && n < maxTogether && t.next[n].alone() {
				group = append(group, t.next[n])
				n++
			}
			for _, o := range group {
				o.waitsFor = 0
			}
			p = group[n-1]
		} else {
			p.waitsFor--
		}
		q.users[user] = turns{now: p, next: slices.Delete(t.next, 0, n)}
		if p.waitsFor == 0 {
			ready = append(ready, group)
		}
	}
	q.mu.Unlock()
	for i, group := range ready {
		if i == 0 {
			mine = group
		} else {
			q.start(group)
		}
	}
	return mine
}

// maxTogether is the most calls that are made as one.
const maxTogether = 256

// make asks the gateway, and answers each call. Calls of links that have ended are not made: nobody waits for them, and their senders
// have been told that their outcome is unknown.
func (q *sequencer) make(calls []*publishCall) {
	var (
		batch []link.Publish
		until time.Time
		made  = make([]*publishCall, 0, len(calls))
		ever  bool
	)
	for _, p := range calls {
		if p.from.ctx.Err() != nil {
			p.from.metrics.calls.Dec()
			continue
		}
		made = append(made, p)
		ever = ever || p.until.IsZero()
		if p.until.After(until) {
			until = p.until
		}
	}
	if len(made) == 0 {
		return
	}
	batch = made[0].batch
	if len(made) > 1 {
		batch = nil
		for _, p := range made {
			batch = append(batch, p.batch...)
		}
	}
	ctx, cancel := made[0].from.server.ctx, context.CancelFunc(func() {})
	if !ever {
		ctx, cancel = context.WithDeadline(ctx, until)
	}
	results := q.gateway.Publish(ctx, batch)
	cancel()
	for _, p := range made {
		n := min(len(p.batch), len(results))
		p.from.answerPublish(p.id, results[:n])
		results = results[n:]
	}
}
