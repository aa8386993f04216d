package main

import (
	"strings"
	"time"

	"ramen/loadtest/ledger/judge"
)

// fault is something that can be done to a store or to who serves.
type fault struct {
	name    string
	excuses judge.Span // Owner, Silent, Loses and Serves: what it excuses, and what it does not
	fleet   bool       // it is done to the ramen processes, and not to the store
	long    bool       // it takes half a minute and more: not for a short run
	starts  bool       // it has Cassandra nodes start again, which takes seconds of a processor each
	// do does it, for as long as hold says where it lasts, and undoes it.
	do func(s *stage, hold time.Duration)
}

// leaseOver is how long after a fault an owner can still find that it has lost its shards: the time of a lease, and what a slow
// machine adds.
const leaseOver = 5 * time.Second

// inflict does f now, and writes down when and what it excuses.
func (s *stage) inflict(f fault, hold time.Duration) {
	span := f.excuses
	span.What = f.name
	span.From = s.clock.Now()
	s.logf("%s", f.name)
	f.do(s, hold)
	span.To = s.clock.Now()
	s.logf("%s is over", f.name)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = max(s.over, span.To)
	if span.Owner || span.Silent {
		span.To += leaseOver
	}
	s.spans = append(s.spans, span)
}

// nameOf is that of faults at once.
func nameOf(fs []fault) string {
	var names []string
	for _, f := range fs {
		names = append(names, f.name)
	}
	return strings.Join(names, "+")
}

// perform is an act of faults at once.
func (s *stage) perform(fs []fault, hold time.Duration) {
	s.begin(nameOf(fs))
	s.inflictAll(fs, hold)
	s.must(s.awaitRecovery())
	s.end()
}

// refusing has nothing be accepted that is sent and answered while do lasts: the store that a fault is done to can keep nothing. Where
// another fault is done at once, it may undo this one.
func (s *stage) refusing(do func()) {
	from := s.clock.Now()
	do()
	if s.alone {
		s.addSpan(judge.Span{What: "nothing can be kept", From: from, To: s.clock.Now(), Refuses: true})
	}
}

// addSpan writes down what was done.
func (s *stage) addSpan(span judge.Span) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.spans = append(s.spans, span)
}

// inflictAll does all of fs at once, within a second, and returns when all are over.
func (s *stage) inflictAll(fs []fault, hold time.Duration) {
	s.alone = len(fs) == 1
	done := make(chan error)
	for _, f := range fs {
		delay := time.Duration(s.rng.Int64N(int64(time.Second)))
		if len(fs) == 1 {
			delay = 0
		}
		go func() {
			done <- catch(func() {
				sleep(s.ctx, delay)
				s.inflict(f, hold)
			})
		}()
	}
	var failed error
	for range fs {
		if err := <-done; err != nil {
			failed = err
		}
	}
	if failed != nil {
		s.t.Fatalf("%w", failed)
	}
}

// serverFaults are those of who serves.
func serverFaults(shared bool) []fault {
	owner := judge.Span{Owner: true, Silent: true}
	if !shared {
		return []fault{
			{name: "owner-killed", excuses: owner, fleet: true, do: (*stage).restartOwner},
			{name: "owner-paused", excuses: owner, fleet: true, do: (*stage).pauseOwner},
		}
	}
	return []fault{
		{name: "owner-killed", excuses: owner, fleet: true, do: (*stage).restartOwner},
		{name: "owner-paused", excuses: owner, fleet: true, do: (*stage).pauseOwner},
		{name: "take-over", excuses: owner, fleet: true, do: (*stage).takeOver},
		{name: "two-owners", excuses: owner, fleet: true, do: (*stage).twoOwners},
		{name: "two-owners-one-paused", excuses: owner, fleet: true, do: (*stage).takeFromPaused},
	}
}

// must fails the stage where something could not be done.
func (s *stage) must(err error) {
	if err != nil {
		s.t.Fatalf("%w", err)
	}
}

// restartOwner kills the owner and starts it again.
func (s *stage) restartOwner(time.Duration) {
	f := s.fleet
	f.acting.Lock()
	defer f.acting.Unlock()
	f.kill(f.serving)
	s.must(f.launch(f.serving))
}

// pauseOwner stops the owner by SIGSTOP and continues it.
func (s *stage) pauseOwner(hold time.Duration) {
	f := s.fleet
	f.acting.Lock()
	defer f.acting.Unlock()
	s.must(f.pause(f.serving))
	sleep(s.ctx, hold)
	s.must(f.resume(f.serving))
}

// takeOver kills the owner, and has another process take over.
func (s *stage) takeOver(time.Duration) {
	f := s.fleet
	f.acting.Lock()
	defer f.acting.Unlock()
	s.takeOverLocked()
}

func (s *stage) takeOverLocked() {
	f := s.fleet
	f.kill(f.serving)
	f.serving = f.other()
	s.must(f.launch(f.serving))
}

// twoOwners has another process take over from an owner that lives. Then one of the two ends, by kill -9 or in order: where it is the
// newer one, the older one has to serve again by itself.
func (s *stage) twoOwners(hold time.Duration) {
	f := s.fleet
	f.acting.Lock()
	defer f.acting.Unlock()
	older, newer := f.serving, f.other()
	from := s.clock.Now()
	s.must(f.launch(newer))
	s.addUnaware(older, from, from+leaseOver)
	sleep(s.ctx, hold)
	gone := older
	if s.flip() {
		gone = newer
	}
	f.serving = older + newer - gone
	if s.flip() {
		f.kill(gone)
	} else {
		f.stop(gone)
	}
}

// takeFromPaused has another process take over from an owner that is paused, and continues that one: it must not answer for anything
// any more. It is killed then.
func (s *stage) takeFromPaused(hold time.Duration) {
	f := s.fleet
	f.acting.Lock()
	defer f.acting.Unlock()
	older, newer := f.serving, f.other()
	s.must(f.pause(older))
	paused := s.clock.Now()
	s.must(f.launch(newer))
	f.serving = newer
	sleep(s.ctx, hold)
	s.must(f.resume(older))
	s.addUnaware(older, paused, paused+leaseOver)
	sleep(s.ctx, hold)
	f.kill(older)
}

// addUnaware writes down that process i may not know until a moment of who takes over from it, where that one does not wait for its lease.
func (s *stage) addUnaware(i int, from, to judge.Moment) {
	if !s.site.fences {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unaware = append(s.unaware, judge.Unaware{Server: s.fleet.all[i].At().Devices, From: from, To: to})
}
