package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"ramen/loadtest/ledger/judge"
	"ramen/loadtest/ledger/observe"
	"ramen/loadtest/ledger/process"
)

// stage is one run of a schedule.
type stage struct {
	ctx     context.Context
	t       *harness
	cfg     config
	clock   observe.Clock
	site    *site
	fleet   *fleet
	clients *observe.Clients
	name    string

	// Of the schedule's goroutine, but for flip.
	rng *rand.Rand
	// alone, while faults are done, says that it is one.
	alone bool
	// rotten, where bits were flipped, looks at the end whether that was told.
	rotten func()

	mu      sync.Mutex
	wrong   []string        // guarded by mu: what the stage itself has found
	coin    *rand.Rand      // guarded by mu
	spans   []judge.Span    // guarded by mu
	unaware []judge.Unaware // guarded by mu
	over    judge.Moment    // guarded by mu: when the last fault was over
	acts    []act           // guarded by mu
	slow    time.Duration   // guarded by mu: the longest time from the end of the faults until messages were accepted
}

// How long a publish may take: 5 s by the default deadline of frontend/route, and what the way to it and back may take.
const (
	deadline     = 6 * time.Second
	deadlineBusy = 15 * time.Second // on a machine that runs other things, too
)

// savedIn is after which time an ack is surely saved: a second by configuration, and a margin for a busy machine.
const savedIn = 10 * time.Second

// newStage is a stage for a schedule, on a site that runs.
func newStage(ctx context.Context, c config, t *harness, st *site, sc schedule, dir string) (*stage, error) {
	seed := c.Seed ^ hash(st.name+"/"+sc.name)
	s := &stage{ctx: ctx, t: t, cfg: c, clock: observe.StartClock(), site: st, name: sc.name,
		rng: rand.New(rand.NewPCG(seed, 1)), coin: rand.New(rand.NewPCG(seed, 2))}
	if sc.idle > 0 {
		c.MailboxIdle = sc.idle
	}
	args := append([]string{"--gateway.mailbox-idle", c.MailboxIdle.String(), "--gateway.save-interval", "1s"}, st.args...)
	if c.Busy { // that service goes on is to be seen nevertheless
		args = append(args, "--gateway.append-timeout", "3s")
	}
	var err error
	s.fleet, err = newFleet(process.Config{Binary: c.Binary, Dir: dir, Args: args, Clock: s.clock}, st.shared)
	if err != nil {
		return nil, err
	}
	s.clients = observe.New(observe.Config{
		Seed: seed, Users: c.Users, Pause: c.Pause, Quiet: c.Quiet, Clock: s.clock, Prefix: sc.name + "-" + fmt.Sprint(c.Seed%1e6) + "-", Moves: true, Tamper: c.Tamper,
	}, s.fleet)
	return s, nil
}

// run plays a schedule, has every device take what it is due, and answers the log.
func (s *stage) run(sc schedule) (*judge.Log, error) {
	defer s.fleet.close()
	ctx, cancel := context.WithTimeout(s.ctx, mostStage)
	defer cancel()
	s.ctx = ctx
	if err := s.fleet.start(ctx, 0); err != nil {
		return nil, err
	}
	watching, unwatch := context.WithCancel(ctx)
	var watcher sync.WaitGroup
	watcher.Go(func() { s.fleet.watch(watching) })
	defer watcher.Wait()
	defer unwatch()
	if err := s.play(ctx, sc); err != nil {
		return nil, err
	}
	unwatch()
	watcher.Wait()
	s.fleet.all[s.fleet.serving].Check(ctx)
	for i, p := range s.fleet.all {
		if p.Running() {
			s.fleet.stop(i)
		}
	}
	s.fleet.close()
	return s.log(), ctx.Err()
}

// mostStage is well below the 30 minutes that a message lives whose publisher named no ttl.
const mostStage = 15 * time.Minute

func (s *stage) play(ctx context.Context, sc schedule) error {
	living, leave := context.WithCancel(ctx)
	defer s.clients.Leave()
	defer s.clients.StopPublishing()
	defer leave()
	s.clients.Connect(living)
	sleep(ctx, s.cfg.Calm/2) // most devices are known before the first message
	s.clients.Publish(living)
	s.awaitAccepted(50)
	sleep(ctx, s.cfg.Calm)
	if err := s.playActs(sc); err != nil {
		return err
	}
	sleep(ctx, s.cfg.Calm)
	for until := int64(s.cfg.Accept); ctx.Err() == nil && s.clients.Accepted() < until; {
		sleep(ctx, 20*time.Millisecond)
	}
	s.clients.StopPublishing()
	s.clients.Leave()
	if ctx.Err() != nil {
		return s.stuck("after %v publishes are not answered", mostStage)
	}
	if sc.between != nil {
		if err := catch(func() { sc.between(s) }); err != nil {
			return fmt.Errorf("faults: %s: %w", sc.name, err)
		}
	}
	return s.drainAll(ctx)
}

// playActs plays a schedule until messages are accepted again.
func (s *stage) playActs(sc schedule) error {
	err := catch(func() {
		if !sc.acts {
			s.begin(sc.name)
		}
		sc.play(s)
		if !sc.acts {
			s.must(s.awaitRecovery())
			s.end()
		}
	})
	if err != nil {
		return fmt.Errorf("faults: %s: %w", sc.name, err)
	}
	return nil
}

// drainAll has every device take what it is due, acked; then come back without a cursor to a process that has what the store has alone.
func (s *stage) drainAll(ctx context.Context) error {
	s.clients.Drain(ctx, false)
	s.clients.Drain(ctx, false) // with its cursor: hello confirms the acks
	if err := catch(func() {
		if s.site.shared {
			s.takeOver(0)
		} else {
			s.restartOwner(0)
		}
	}); err != nil {
		return err
	}
	if err := s.fleet.awaitReady(ctx, s.fleet.serving); err != nil {
		return err
	}
	s.clients.Drain(ctx, true)
	if s.rotten != nil {
		s.rotten()
	}
	return ctx.Err()
}

// These bound how long after the last fault messages are not accepted: everything comes back by itself.
const (
	recoverWithin     = time.Minute
	recoverWithinBusy = 4 * time.Minute // on a machine that runs other things, too
)

// stuckError says that a server did not come back by itself.
type stuckError struct{ error }

// stuck is one with the end of the server's log.
func (s *stage) stuck(format string, args ...any) error {
	return stuckError{fmt.Errorf("faults: %s: %s; the server's log ends with:\n%s", s.name, fmt.Sprintf(format, args...), s.fleet.lastLog(s.fleet.serving))}
}

// awaitRecovery waits until messages are accepted again.
func (s *stage) awaitRecovery() error {
	began, s0, within := time.Now(), s.clients.Accepted(), recoverWithin
	if s.cfg.Busy {
		within = recoverWithinBusy
	}
	for s.ctx.Err() == nil && s.clients.Accepted() < s0+20 {
		if time.Since(began) > within {
			return s.stuck("for %v after the last fault only %d messages were accepted", within, s.clients.Accepted()-s0)
		}
		sleep(s.ctx, 10*time.Millisecond)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.slow = max(s.slow, time.Since(began))
	return nil
}

// awaitAccepted waits until so many more messages were accepted.
func (s *stage) awaitAccepted(more int64) {
	for until := s.clients.Accepted() + more; s.ctx.Err() == nil && s.clients.Accepted() < until; {
		sleep(s.ctx, 5*time.Millisecond)
	}
}

// note writes down something wrong that the stage itself has found.
func (s *stage) note(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wrong = append(s.wrong, fmt.Sprintf(format, args...))
}

// flip draws one of two. For any goroutine.
func (s *stage) flip() bool {
	return s.draw(2) == 0
}

// draw draws one of n. For any goroutine.
func (s *stage) draw(n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.coin.IntN(n)
}

func (s *stage) logf(format string, args ...any) {
	fmt.Fprintf(s.cfg.Progress, "faults: %s %v: %s\n", s.name, s.clock.Now().Round(time.Millisecond), fmt.Sprintf(format, args...))
}

// log is what everybody saw.
func (s *stage) log() *judge.Log {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := &judge.Log{Began: s.clock.Began, Slack: s.clock.Slack(), Spans: s.spans, Unaware: s.unaware, Deadline: deadline, SavedIn: savedIn}
	if s.cfg.Busy {
		l.Deadline = deadlineBusy
	}
	l.Faults = append(l.Faults, s.wrong...)
	s.fleet.addTo(l, s.cfg.Busy) // a busy machine answers the store too late for a lease
	s.clients.AddTo(l)
	slices.Sort(l.Kills)
	slices.SortFunc(l.Spans, func(a, b judge.Span) int { return int(a.From - b.From) })
	if limit := s.cfg.MostMemory; s.fleet.peak > limit {
		l.Faults = append(l.Faults, fmt.Sprintf("a server had %d MiB of memory: %d at most", s.fleet.peak>>20, limit>>20))
	}
	return l
}

// sleep waits for d, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
