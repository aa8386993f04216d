package gateway

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"ramen/gateway/mailbox"
	"ramen/link"
	"ramen/protocol"
	"ramen/store"
)

// A job is what one caller wants written, and is run by that caller's goroutine: it makes the steps of its mailboxes, hands them to
// the store in one append, where they share an fsync with those of other jobs, and puts each into effect once the store has answered
// it. A mailbox has one step at a time:
//
//	job 1   step of u, step of v ──append──▶ u answered: in effect ─┐      v answered: in effect
//	job 2   step of w; waits for u                                  └──turn──▶ step of u ──append──▶ ...
//
// What comes while a step is under way waits with it. When it is answered, the job of the first that waits makes one step of all
// of them, whoever's they are, and tells their jobs. So positions of a mailbox are given, and its lanes filled, in one order, and a
// store that is slow for one user holds up that user's jobs alone.
type job struct {
	g *Gateway

	// owned by who runs the job
	ops    []op
	bytes  int     // of the messages to write, overhead included
	held   int64   // of memory that the messages take
	lane   int     // the highest of its messages; that of recalls and what is written again is the first
	steps  []*step // being made
	ready  []*step // answered, to be put into effect
	begun  []*step // that wait for this job to make them
	spares spares  // from earlier jobs

	wake chan struct{} // 1: for who runs the job, where it is asleep

	mu sync.Mutex
	// guarded by mu
	open     int     // ops without an outcome
	answered []*step // to become ready
	turns    []*step // to become begun
	asleep   bool
}

// op is what one caller wants done to one mailbox.
type op struct {
	mailbox.Op
	box   *box
	job   *job  // whose it is
	at    int   // where in its caller's batch
	probe probe // what it asks, with an Err where that is not answered yet
}

// result is the answer to a publish.
func (o *op) result() link.Result {
	return link.Result{Status: statuses[o.Status], Err: o.Err, Devices: o.Devices}
}

var statuses = [...]link.Status{
	mailbox.StatusNone: link.StatusUnspecified, mailbox.StatusAccepted: link.StatusAccepted,
	mailbox.StatusDuplicate: link.StatusDuplicate, mailbox.StatusRejected: link.StatusRejected,
}

// commitBytes bounds one job, and what one job writes for others, overhead included, a message more or less: what the store cannot
// write within the deadline is unknown, and is written again, so that larger pieces might never succeed. mostUnderWay bounds the
// memory of the jobs under way, and so does an eighth of memory_bytes.
const (
	commitBytes  = 2 << 20
	mostUnderWay = 64 << 20
)

// underWayBytes is what may be under way before a job of that lane: the less, the lower it is.
func (g *Gateway) underWayBytes(lane int) int64 {
	return min(mostUnderWay, max(2*commitBytes, g.cfg.MemoryBytes/8)) * underWayShare[lane] / 100
}

var underWayShare = [protocol.Lanes]int64{100, 80, 60}

// keptOps is the most ops that a job in the pool has room for: a burst must not hold memory for ever.
const keptOps = 1024

func (g *Gateway) newJob() *job {
	if j, ok := g.jobs.Get().(*job); ok {
		return j
	}
	return &job{g: g, wake: make(chan struct{}, 1)}
}

// add appends an op.
func (j *job) add(o op) {
	o.job = j
	j.ops = append(j.ops, o)
}

// free gives the job back to the pool: its ops have their outcomes, and nobody knows it any more.
func (j *job) free() {
	clear(j.ops)
	j.ops, j.bytes, j.held, j.lane = j.ops[:0], 0, 0, 0
	if cap(j.ops) <= keptOps {
		j.g.jobs.Put(j)
	}
}

// do gives every op of j its outcome. Too much under way, or a gateway that is closing, refuses them at once.
func (g *Gateway) do(j *job) {
	if err := g.begin(j); err != nil {
		for i := range j.ops {
			j.ops[i].Reject(err)
		}
		return
	}
	defer g.end(j)
	defer crash()
	j.run()
}

// crash ends the process where its caller panics: who serves requests may recover, and the step of a mailbox would stay under way for
// ever, with all who wait for it.
func crash() {
	if cause := recover(); cause != nil {
		stack := debug.Stack()
		go panic(fmt.Sprintf("gateway: panic while a write is under way: %v\n%s", cause, stack))
		select {}
	}
}

func (g *Gateway) begin(j *job) error {
	g.closeMu.RLock()
	defer g.closeMu.RUnlock()
	if g.closed {
		return link.ErrNotOwner
	}
	bytes, calls := g.underWay.bytes.Add(j.held), g.underWay.jobs.Add(1)
	if (bytes <= g.underWayBytes(j.lane) || bytes == j.held) && (calls <= g.cfg.maxCalls() || calls == 1) {
		g.commits.Add(1)
		return nil
	}
	g.underWay.bytes.Add(-j.held)
	g.underWay.jobs.Add(-1)
	return protocol.Errorf(protocol.CodeUnavailable, "too many publishes wait for the store; retry with backoff")
}

func (g *Gateway) end(j *job) {
	g.underWay.bytes.Add(-j.held)
	g.underWay.jobs.Add(-1)
	g.commits.Done()
}

// run returns once every op has its outcome, and what that has brought is pushed.
func (j *job) run() {
	j.open = len(j.ops)
	now := j.g.instant()
	for i := range j.ops {
		j.prepare(&j.ops[i], now)
	}
	j.write()
}

// write appends what is prepared, and goes on until every op has its outcome.
func (j *job) write() {
	for {
		j.append()
		if !j.await() {
			return
		}
		j.applyReady()
		if len(j.begun) > 0 {
			j.takeTurns()
		}
	}
}

// prepare adds o to its mailbox's step, or has it wait for the next where one is under way, or waits for its turn to be made.
func (j *job) prepare(o *op, now mailbox.Instant) {
	b := o.box
	b.lock()
	defer b.unlock()
	switch s := b.step; {
	case s == nil:
		s = j.spares.step()
		s.begin(b, j)
		b.step = s
		j.steps = append(j.steps, s)
		s.add(o, now)
	case s.job == j && s.making:
		s.add(o, now)
	default:
		s.waiting = append(s.waiting, o)
	}
}

// takeTurns makes the steps that it is this job's turn to make, of what waits for them.
func (j *job) takeTurns() {
	now := j.g.instant()
	for i, s := range j.begun {
		j.begun[i] = nil
		j.steps = append(j.steps, s)
		s.box.lock()
		s.begin(s.box, j)
		n, taken, bytes := 0, 0, int64(0)
		for ; n < len(s.waiting) && taken < j.g.cfg.CommitMessages && bytes < commitBytes; n++ {
			if o := s.waiting[n]; s.add(o, now) { // else it must not cost those behind it another write
				taken++
				bytes += o.bytes()
			}
		}
		s.waiting = s.waiting[:copy(s.waiting, s.waiting[n:])]
		clear(s.waiting[len(s.waiting):cap(s.waiting)])
		s.box.unlock()
	}
	j.begun = j.begun[:0]
}

// append hands the steps that were made to the store.
func (j *job) append() {
	if len(j.steps) == 0 {
		return
	}
	g, a := j.g, j.spares.call(j)
	for _, s := range j.steps {
		if !s.submit() {
			j.ready = append(j.ready, s)
			continue
		}
		a.add(s)
	}
	clear(j.steps)
	j.steps = j.steps[:0]
	if len(a.steps) == 0 {
		j.spares.putCall(a)
		return
	}
	a.began = time.Now()
	g.store.Append(g.appendContext(a.began), a.batch[:len(a.steps)], a.answer)
}

// await waits until a step is ready or begun, and reports whether there is one: else every op has its outcome.
func (j *job) await() bool {
	j.mu.Lock()
	for len(j.answered)+len(j.turns)+len(j.ready) == 0 {
		if j.open == 0 {
			j.mu.Unlock()
			return false
		}
		j.asleep = true
		j.mu.Unlock()
		<-j.wake
		j.mu.Lock()
	}
	j.ready = append(j.ready, j.answered...)
	j.begun = append(j.begun, j.turns...)
	clear(j.answered)
	clear(j.turns)
	j.answered, j.turns = j.answered[:0], j.turns[:0]
	j.mu.Unlock()
	return true
}

// applyReady puts the steps that are ready into effect, and pushes what they have brought.
func (j *job) applyReady() {
	if len(j.ready) == 0 {
		return
	}
	all := streamsPool.Get().(*[]*stream)
	own := 0
	for i, s := range j.ready {
		j.ready[i] = nil
		next := s.finish(all)
		if next != nil {
			next.job.turn(next)
		}
		for _, o := range s.asked {
			if o.job == j {
				own++
			} else {
				o.job.outcome(1)
			}
		}
		if a := s.call; a != nil && a.finished(s) {
			j.spares.putCall(a)
		}
		j.spares.putStep(s)
	}
	j.ready = j.ready[:0]
	j.mu.Lock()
	j.open -= own
	j.mu.Unlock()
	deliverTo(all)
}

// outcome notes that n ops of j have their outcome.
func (j *job) outcome(n int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.open -= n; j.open == 0 {
		j.rouse()
	}
}

// turn has j make s.
func (j *job) turn(s *step) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.turns = append(j.turns, s)
	j.rouse()
}

// rouse wakes who runs j, with j.mu held.
func (j *job) rouse() {
	if j.asleep {
		j.asleep = false
		j.wake <- struct{}{} // empty: who is asleep has taken the last
	}
}

// appendCall is one append to the store.
type appendCall struct {
	job    *job
	began  time.Time
	batch  []store.Append // of steps, and room for more
	steps  []*step
	answer func(i int, err error) // the store's

	// owned by who runs the job
	done     int // steps that are in effect
	failed   int
	unknown  bool
	firstErr error
}

// add adds a step.
func (a *appendCall) add(s *step) {
	n := len(a.steps)
	if a.steps = append(a.steps, s); len(a.batch) <= n {
		a.batch = append(a.batch, store.Append{})
	}
	s.call = a
	s.WriteTo(&a.batch[n])
}

// answered takes the store's answer to a step, or has it mended first. The job is under way until then, so that Close waits for it.
func (a *appendCall) answered(i int, err error) {
	s := a.steps[i]
	switch {
	case err != nil && s.box.mends(err):
		a.job.g.commits.Go(func() { a.resolve(s, s.mend(err)) })
	case err == nil && s.replaces:
		a.job.g.commits.Go(func() { a.resolve(s, s.replaceAll()) })
	default:
		a.resolve(s, err)
	}
}

// resolve hands a step with its answer to who runs the job.
func (a *appendCall) resolve(s *step, err error) {
	j := a.job
	s.err = err
	j.mu.Lock()
	j.answered = append(j.answered, s)
	j.rouse()
	j.mu.Unlock()
}

// finished notes that s is in effect, and reports that all are.
func (a *appendCall) finished(s *step) bool {
	if unknown(s.err) {
		a.unknown = true
	}
	if s.err != nil && !errors.Is(s.err, store.ErrFenced) {
		if a.failed++; a.failed == 1 {
			a.firstErr = s.err
		}
	}
	if a.done++; a.done < len(a.steps) {
		return false
	}
	g := a.job.g
	messages := 0
	for i := range a.steps {
		messages += len(a.batch[i].Entries)
	}
	g.metrics.append.Observe(time.Since(a.began).Seconds())
	g.metrics.appendMessages.Observe(float64(messages))
	if a.failed > 0 { // one line a write, whatever the number of users
		g.log.Warn("store failed", "verb", "append", "users", len(a.steps), "failed", a.failed, "error", a.firstErr)
	}
	return true
}

// appendDeadline is the deadline of the appends of a moment: one timer for all of them.
type appendDeadline struct {
	ctx    context.Context
	cancel context.CancelFunc // never called: the deadline comes soon
	until  time.Time          // appends that begin later get another
}

// appendContext ends within the deadline of an append that begins now.
func (g *Gateway) appendContext(now time.Time) context.Context {
	if d := g.appendDeadline.Load(); d != nil && now.Before(d.until) {
		return d.ctx
	}
	d := &appendDeadline{until: now.Add(g.cfg.AppendTimeout / 8)}
	d.ctx, d.cancel = context.WithTimeout(context.Background(), g.cfg.AppendTimeout)
	g.appendDeadline.Store(d)
	return d.ctx
}
