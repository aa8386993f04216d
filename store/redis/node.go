package redis

import (
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// What a pipeline holds at most: a server does one thing at a time, and what is in one script or pipeline holds up all others.
const (
	pipelineCalls = 64
	pipelineBytes = 256 << 10
)

// stalledAfter is how long a pipeline may be under way before what waits behind it goes by another connection.
const stalledAfter = 20 * time.Millisecond

// deadlinesApart is how far the deadlines of the calls of a pipeline may lie apart: all of it ends by the earliest.
const deadlinesApart = 150 * time.Millisecond

// node is one server that takes writes, and what waits for it.
type node struct {
	s       *Store
	addr    string // host:port; of sentinels' master: its name
	client  *goredis.Client
	usedMS  atomic.Int64 // when it was asked last
	loading atomic.Bool  // scripts are being loaded again

	queues [3]queue // appends and what else is waited for; what is written behind; reads
}

// newNode is the node at an address.
func (s *Store) newNode(addr string) *node {
	o := s.cfg.nodeOptions(addr)
	o.OnConnect = s.prepare
	return newNode(s, addr, goredis.NewClient(o))
}

func newNode(s *Store, addr string, client *goredis.Client) *node {
	n := &node{s: s, addr: addr, client: client}
	for i := range n.queues {
		n.queues[i].n = n
	}
	return n
}

// queueOf is the queue that a call waits in.
func (n *node) queueOf(c *call) *queue {
	switch {
	case c.read:
		return &n.queues[2]
	case c.durable || c.kind == kindAppend:
		return &n.queues[0]
	}
	return &n.queues[1]
}

// queue gathers calls for one server into pipelines. A pipeline is sent at once where none is under way; what comes while one is shares
// the next. Another one goes beside it where enough waits for a full one, or where the first has been under way for long: one by one
// up to Config.Pipelines. At its bound a call is refused.
//
//	call ──▶ waiting ──take──▶ pipeline of up to 64 calls ──▶ answers, a call at a time
type queue struct {
	n *node

	mu sync.Mutex
	// guarded by mu
	waiting []*call
	bytes   int64     // of waiting
	running int       // pipelines under way
	count   int       // calls waiting and under way
	size    int64     // of those
	since   time.Time // when the last pipeline was sent
	timer   *time.Timer
	armed   bool
}

// put has c wait, and reports whether there was room. kick sends it.
func (q *queue) put(c *call) bool {
	size := int64(c.size())
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.count >= q.n.s.cfg.MaxInFlight || q.size+size > q.n.s.cfg.MaxInFlightBytes && q.count > 0 {
		return false
	}
	q.waiting = append(q.waiting, c)
	q.bytes += size
	q.count++
	q.size += size
	q.n.s.metrics.inFlight.Add(1)
	q.n.s.metrics.inFlightBytes.Add(size)
	return true
}

// kick sends what waits, where it is time to.
func (q *queue) kick() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.kickLocked()
}

func (q *queue) kickLocked() {
	most := q.n.s.cfg.Pipelines
	for n := len(q.waiting); n > 0 && q.running < most; {
		full := n >= pipelineCalls || q.bytes >= pipelineBytes
		if q.running > 0 && !full && time.Since(q.since) < stalledAfter {
			break
		}
		batch := q.takeLocked()
		if len(batch) == 0 {
			break
		}
		q.running++
		q.n.s.running.Go(func() { q.run(batch) })
		n = len(q.waiting)
	}
	if len(q.waiting) > 0 && !q.armed {
		q.armed = true
		if q.timer == nil {
			q.timer = time.AfterFunc(stalledAfter, q.tick)
		} else {
			q.timer.Reset(stalledAfter)
		}
	}
}

// tick is the timer's, while calls wait: it ends those whose deadline has come, and sends what a slow pipeline holds up.
func (q *queue) tick() {
	q.mu.Lock()
	q.armed = false
	now := time.Now()
	var late []*call
	left := q.waiting[:0]
	for _, c := range q.waiting {
		if now.After(c.deadline) {
			late = append(late, c)
			q.bytes -= int64(c.size())
		} else {
			left = append(left, c)
		}
	}
	clear(q.waiting[len(left):])
	q.waiting = left
	q.kickLocked()
	q.mu.Unlock()
	for _, c := range late {
		q.leave(c)
		q.n.s.fail(c, reasonLate, errLate)
	}
}

// takeLocked takes the calls of one pipeline, the ones that have waited for longest.
func (q *queue) takeLocked() []*call {
	n, bytes := 0, 0
	first := q.waiting[0].deadline
	for n < len(q.waiting) && n < pipelineCalls && (n == 0 || bytes+q.waiting[n].size() <= pipelineBytes) {
		if d := q.waiting[n].deadline.Sub(first); d > deadlinesApart || d < -deadlinesApart {
			break
		}
		bytes += q.waiting[n].size()
		n++
	}
	batch := append(make([]*call, 0, n), q.waiting[:n]...)
	m := copy(q.waiting, q.waiting[n:])
	clear(q.waiting[m:])
	q.waiting = q.waiting[:m]
	q.bytes -= int64(bytes)
	q.since = time.Now()
	return batch
}

// run sends batch, and goes on with what waits then.
func (q *queue) run(batch []*call) {
	for len(batch) > 0 {
		q.n.exec(q, batch)
		q.mu.Lock()
		batch = nil
		if len(q.waiting) > 0 {
			batch = q.takeLocked()
		}
		if len(batch) == 0 {
			q.running--
		}
		q.mu.Unlock()
	}
}

// leave notes that c is not this queue's any more.
func (q *queue) leave(c *call) {
	size := int64(c.size())
	q.mu.Lock()
	q.count--
	q.size -= size
	q.mu.Unlock()
	q.n.s.metrics.inFlight.Add(-1)
	q.n.s.metrics.inFlightBytes.Add(-size)
}
