package main

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"ramen/loadtest/ledger/judge"
	"ramen/loadtest/ledger/observe"
	"ramen/loadtest/ledger/process"
)

const (
	watchEvery = 100 * time.Millisecond
	// restartAfter is the time from a start to the next where a process ends before it is ready. Each start takes a tenth of a second and more
	// of a processor, which the store's servers want, too, to come back.
	restartAfter = time.Second
	// anyoneAfter is how long clients look for a server that says that it is ready before they try one that does not.
	anyoneAfter = 300 * time.Millisecond
)

// fleet are the ramen processes on one store, one of which is to serve. Clients go where a load balancer would send them: to one that
// says that it is ready.
type fleet struct {
	all []*supervised

	acting sync.Mutex // held while processes are started and ended; guards serving
	// serving is the index of the process that was started last.
	serving int

	mu     sync.Mutex
	states []state
	peak   int64        // bytes of memory that one process has had at most
	lapses []judge.Span // in which a process that had served did not serve all shards
	clock  observe.Clock
	failed int // starts of processes that ended before they were ready
}

// state is what the watcher knows of a process.
type state struct {
	pid    int
	began  time.Time // it was started
	paused bool
	ready  bool
	served bool         // it was ready since it was started
	lacked int          // how many shards it did not serve when it was looked at last
	looked judge.Moment // when that was, or, where it lapsed, before; 0: it was never ready
	lapsed bool         // it has come to serve fewer shards, and not all since
}

// supervised is a process that is started again where it has ended before it was ready, as a supervisor does.
type supervised struct {
	*process.Process
	mu sync.Mutex // held while it is started, ended and paused
}

// newFleet is two processes, not started; one where processes cannot share the store.
func newFleet(c process.Config, shared bool) (*fleet, error) {
	f := &fleet{clock: c.Clock}
	for i := range 2 {
		if i > 0 && !shared {
			break
		}
		c.Name = "server-" + string(rune('a'+i))
		c.Empty = shared
		p, err := process.New(c)
		if err != nil {
			f.close()
			return nil, err
		}
		f.all, f.states = append(f.all, &supervised{Process: p}), append(f.states, state{})
	}
	return f, nil
}

func (f *fleet) close() {
	for _, p := range f.all {
		p.Close()
	}
}

// AwaitUp implements observe.Servers.
func (f *fleet) AwaitUp(ctx context.Context) (observe.Addresses, bool) {
	for began := time.Now(); ctx.Err() == nil; sleep(ctx, 20*time.Millisecond) {
		if i := f.choose(time.Since(began) > anyoneAfter); i >= 0 {
			return f.all[i].At(), true
		}
	}
	return observe.Addresses{}, false
}

// choose is the index of a process that is ready, or at least there; -1: there is none.
func (f *fleet) choose(anyone bool) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	found := -1
	for i, s := range f.states {
		switch {
		case s.pid == 0 || s.paused:
		case s.ready:
			return i
		case anyone && (found < 0 || rand.IntN(2) == 0):
			found = i
		}
	}
	return found
}

// watch looks at all processes until ctx ends.
func (f *fleet) watch(ctx context.Context) {
	for ctx.Err() == nil {
		for i, p := range f.all {
			f.mu.Lock()
			s := f.states[i]
			f.mu.Unlock()
			if s.pid == 0 || s.paused {
				continue
			}
			if !s.served && time.Since(s.began) >= restartAfter {
				f.restart(i)
			}
			probe, cancel := context.WithTimeout(ctx, time.Second)
			asked := f.clock.Now()
			status, text, err := p.Ask(probe, "/readyz")
			ready := err == nil && status == http.StatusOK
			cancel()
			bytes := resident(s.pid)
			f.mu.Lock()
			if f.states[i].pid == s.pid && !f.states[i].paused {
				f.states[i].ready = ready
				f.states[i].served = f.states[i].served || ready
				f.lookLocked(i, asked, lackedShards(ready, text))
			}
			f.peak = max(f.peak, bytes)
			f.mu.Unlock()
		}
		sleep(ctx, watchEvery)
	}
}

// resident is how many bytes of memory a process has; 0 where that is not to be known.
func resident(pid int) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize())
}

// notServed is how /readyz says how many shards are not served.
var notServed = regexp.MustCompile(`(\d+) of \d+ shards are not served`)

// lackedShards is how many shards a process does not serve, by what /readyz says.
func lackedShards(ready bool, text string) int {
	if !ready {
		return math.MaxInt
	}
	m := notServed.FindStringSubmatch(text)
	if m == nil {
		return 0
	}
	n, _ := strconv.Atoi(m[1])
	return n
}

// lookLocked notes whether process i serves fewer shards than before. That it begins with none is not a lapse.
func (f *fleet) lookLocked(i int, asked judge.Moment, lacked int) {
	s := &f.states[i]
	switch {
	case lacked == 0:
		f.endLapseLocked(i)
	case s.lapsed:
		return
	case s.looked == 0 && lacked == math.MaxInt:
		return
	case s.looked != 0 && lacked > s.lacked:
		s.lapsed = true
		return
	}
	s.looked, s.lacked = asked, lacked
}

// endLapseLocked writes down for how long process i served fewer shards, if it did until now.
func (f *fleet) endLapseLocked(i int) {
	if s := &f.states[i]; s.lapsed {
		f.lapses = append(f.lapses, judge.Span{What: f.all[i].Name() + " does not serve all shards", From: s.looked, To: f.clock.Now(), Lapsed: true})
		s.lapsed = false
	}
}

// set has the watcher and the clients know what has become of process i.
func (f *fleet) set(i int, change func(*state)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.endLapseLocked(i)
	change(&f.states[i])
}

// other is a process that does not serve; the serving one where there is no other.
func (f *fleet) other() int { return (f.serving + 1) % len(f.all) }

// launch starts process i and has clients try it.
func (f *fleet) launch(i int) error {
	p := f.all[i]
	p.mu.Lock()
	defer p.mu.Unlock()
	return f.launchLocked(i)
}

func (f *fleet) launchLocked(i int) error {
	if err := f.all[i].Launch(); err != nil {
		return err
	}
	pid := f.all[i].PID()
	f.set(i, func(s *state) { *s = state{pid: pid, began: time.Now()} })
	return nil
}

// restart starts process i again, if it has ended before it was ready.
func (f *fleet) restart(i int) {
	f.all[i].mu.Lock()
	defer f.all[i].mu.Unlock()
	if f.endedEarlyLocked(i) {
		_ = f.launchLocked(i) // or at the next look
	}
}

// endedEarlyLocked reports whether process i has ended before it was ready: the store was not reached, say. Whoever starts it starts it
// again; whoever wants to do something to it finds none.
func (f *fleet) endedEarlyLocked(i int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.states[i]
	if s.pid == 0 || s.served || f.all[i].Running() {
		return false
	}
	f.failed++
	return true
}

// start starts process i, and waits until it takes publishes.
func (f *fleet) start(ctx context.Context, i int) error {
	if err := f.launch(i); err != nil {
		return err
	}
	f.serving = i
	return f.awaitReady(ctx, i)
}

// awaitReady waits until process i takes publishes.
func (f *fleet) awaitReady(ctx context.Context, i int) error {
	for end := time.Now().Add(process.StartTime); ; sleep(ctx, 10*time.Millisecond) {
		switch {
		case f.all[i].Ready(ctx):
			f.set(i, func(s *state) { s.ready, s.served = true, true })
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case time.Now().After(end):
			return fmt.Errorf("faults: %s does not take publishes after %v: %s", f.all[i].Name(), process.StartTime, f.lastLog(i))
		}
	}
}

// kill is kill -9 of process i.
func (f *fleet) kill(i int) {
	f.all[i].mu.Lock()
	defer f.all[i].mu.Unlock()
	if f.endedEarlyLocked(i) {
		f.set(i, func(s *state) { *s = state{} })
		return
	}
	f.set(i, func(s *state) { *s = state{} })
	f.all[i].Kill()
}

// stop ends process i in order.
func (f *fleet) stop(i int) {
	f.all[i].mu.Lock()
	defer f.all[i].mu.Unlock()
	if !f.endedEarlyLocked(i) {
		f.all[i].Stop()
	}
	f.set(i, func(s *state) { *s = state{} })
}

// pause is SIGSTOP of process i.
func (f *fleet) pause(i int) error {
	f.all[i].mu.Lock()
	defer f.all[i].mu.Unlock()
	if f.endedEarlyLocked(i) {
		if err := f.launchLocked(i); err != nil {
			return err
		}
	}
	f.set(i, func(s *state) { s.paused, s.ready = true, false })
	return f.all[i].Pause()
}

// resume is SIGCONT of process i.
func (f *fleet) resume(i int) error {
	f.all[i].mu.Lock()
	defer f.all[i].mu.Unlock()
	err := f.all[i].Continue()
	f.set(i, func(s *state) { s.paused = false })
	return err
}

// addTo adds the kills of all processes, in order, what was wrong with any, and, where lapses are excused, when any did not serve.
func (f *fleet) addTo(l *judge.Log, lapses bool) {
	if lapses {
		l.Spans = append(l.Spans, f.lapses...)
	}
	for _, p := range f.all {
		l.Kills = append(l.Kills, p.Kills()...)
		l.Faults = append(l.Faults, p.Faults()...)
	}
}

func (f *fleet) lastLog(i int) string {
	text, err := os.ReadFile(f.all[i].Log())
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(text[max(0, len(text)-2000):]))
}
