package testbed

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"ramen/internal/localcluster"
	"ramen/loadtest/ledger/judge"
)

// Fault is something that is done to a cluster, and undone.
type Fault struct {
	Name  string
	Nth   int           // which member of the role: counted from 0, and on from the first behind the last
	Hold  time.Duration // how long it lasts, where it lasts
	After time.Duration // after the others of its pair began

	excuses judge.Span
	ends    localcluster.Role // it may end the streams of the member, or with several of all
	all     bool
	do      func(b *Bed, f *Fault)
}

// kinds are all faults. What each excuses is what it may show, and no more.
var kinds = []Fault{
	// A gateway that is killed takes with it acks that it had not saved.
	{Name: "gateway-killed", excuses: judge.Span{Owner: true}, do: (*Bed).killGateway},
	{Name: "gateway-drained", excuses: judge.Span{Serves: true}, do: (*Bed).drainGateway},
	{Name: "gateway-paused", excuses: judge.Span{Owner: true}, do: (*Bed).pauseGateway},
	{Name: "gateway-added", excuses: judge.Span{Serves: true}, do: (*Bed).addGateway},
	// Publishes over a frontend that is killed or stopped have no answer, and acks that it had not handed on go with it.
	{Name: "frontend-killed", excuses: judge.Span{Owner: true}, ends: localcluster.Frontend, do: (*Bed).killFrontend},
	{Name: "frontend-drained", excuses: judge.Span{}, ends: localcluster.Frontend, do: (*Bed).drainFrontend},
	{Name: "frontend-paused", excuses: judge.Span{Owner: true, Silent: true}, ends: localcluster.Frontend, do: (*Bed).pauseFrontend},
	{Name: "elected-killed", excuses: judge.Span{Owner: true}, do: (*Bed).killElected},
	{Name: "elected-paused", excuses: judge.Span{Owner: true}, do: (*Bed).pauseElected},
	// Owners whose leases end stop, with acks that they have not saved.
	{Name: "controllers-killed", excuses: judge.Span{Owner: true}, do: (*Bed).killControllers},
	{Name: "etcd-wiped", excuses: judge.Span{Owner: true}, do: (*Bed).wipeEtcd},
	{Name: "rolling-restart", excuses: judge.Span{}, ends: localcluster.Frontend, all: true, do: (*Bed).rollAll},
	{Name: "redis-killed", excuses: judge.Span{Owner: true}, do: (*Bed).killRedis},
	{Name: "redis-paused", excuses: judge.Span{Owner: true}, do: (*Bed).pauseRedis},
}

// Names are those of all faults.
func Names() []string {
	var names []string
	for _, k := range kinds {
		names = append(names, k.Name)
	}
	return names
}

// Named is the fault of a name, done to the nth member, for hold. It panics where there is none of the name.
func Named(name string, nth int, hold time.Duration) Fault {
	i := slices.IndexFunc(kinds, func(k Fault) bool { return k.Name == name })
	if i < 0 {
		panic("testbed: there is no fault " + name)
	}
	f := kinds[i]
	f.Nth, f.Hold = nth, hold
	return f
}

// String says what is done.
func (f *Fault) String() string { return fmt.Sprintf("%s %d %v", f.Name, f.Nth, f.Hold) }

// Inflict does all of fs at once, waits until all are undone and the cluster is whole again, and for the calm after.
func (b *Bed) Inflict(fs ...Fault) error {
	began := b.clock.Now()
	errs := make([]error, len(fs))
	var all sync.WaitGroup
	var names []string
	for i, f := range fs {
		names = append(names, f.Name)
		all.Go(func() {
			sleep(b.ctx, f.After)
			errs[i] = b.inflict(f)
		})
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	over := b.clock.Now()
	if err := b.heal(); err != nil {
		return fmt.Errorf("testbed: after %s: %w", strings.Join(names, "+"), err)
	}
	if err := b.awaitAccepted(20); err != nil {
		return fmt.Errorf("testbed: after %s: %w", strings.Join(names, "+"), err)
	}
	d := Done{Name: strings.Join(names, "+"), From: began, To: over, Healed: b.clock.Now() - over}
	b.logf("%s is over: %v, healed %v after it", d.Name, (d.To - d.From).Round(time.Millisecond), d.Healed.Round(time.Millisecond))
	b.mu.Lock()
	b.done = append(b.done, d)
	b.mu.Unlock()
	sleep(b.ctx, b.cfg.Calm)
	return nil
}

// heal waits until every shard is served.
func (b *Bed) heal() error {
	return b.program.Do(func() { b.AwaitServed(b.program) })
}

// Done are the faults that were done, in order.
func (b *Bed) Done() []Done {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.done)
}

// inflict does one fault, and writes down when, and what it excuses.
func (b *Bed) inflict(f Fault) error {
	span := f.excuses
	span.What = f.String()
	for i, m := range b.Members(f.ends) {
		if f.ends != "" && (f.all || i == f.Nth%len(b.Members(f.ends))) {
			span.Ends = append(span.Ends, m.At.Devices)
		}
	}
	span.From = b.clock.Now()
	b.logf("%s", &f)
	err := b.program.Do(func() { f.do(b, &f) })
	span.To = b.clock.Now() + leaseOver
	b.mu.Lock()
	defer b.mu.Unlock()
	b.spans = append(b.spans, span)
	return err
}

// nth is a member of a role, which is held until release is called: two faults at once are done to it one after the other.
func (b *Bed) nth(role localcluster.Role, n int) (m *localcluster.Member, release func()) {
	all := b.Members(role)
	m = all[n%len(all)]
	return m, b.hold(m)
}

func (b *Bed) hold(m *localcluster.Member) (release func()) { return b.holdNamed(m.Name) }

func (b *Bed) holdNamed(name string) (release func()) {
	mu, _ := b.acting.LoadOrStore(name, new(sync.Mutex))
	mu.(*sync.Mutex).Lock()
	return mu.(*sync.Mutex).Unlock
}

// begin starts a member and waits until it is ready.
func (b *Bed) begin(m *localcluster.Member) {
	m.Launch(b.program)
	b.awaitReady(m)
	b.setUp(m, true)
}

// awaitReady waits until a member is ready, and starts it again where it ends before, as a supervisor does: a store may not be there yet.
func (b *Bed) awaitReady(m *localcluster.Member) {
	for {
		err := b.program.Do(func() { m.AwaitReady(b.program) })
		switch {
		case err == nil:
			return
		case m.Running() || b.ctx.Err() != nil:
			b.program.Fatalf("%w", err)
		}
		b.logf("%s has ended before it was ready, and is started again", m.Name)
		sleep(b.ctx, restartPause)
		m.Launch(b.program)
	}
}

// end ends a member in order, and looks at how it ended.
func (b *Bed) end(m *localcluster.Member) {
	b.setUp(m, false)
	began := time.Now()
	m.Stop(b.program)
	b.logf("%s has ended after %v", m.Name, time.Since(began).Round(time.Millisecond))
	if m.Failed() {
		b.note("after SIGTERM %s has failed: %s", m.Name, m.LogTail())
	}
}

func (b *Bed) kill(m *localcluster.Member) {
	b.setUp(m, false)
	if !m.Running() {
		b.note("%s has ended by itself: %s", m.Name, m.LogTail())
	}
	m.Kill(b.program)
}

// killFor kills a member, and starts it again after hold.
func (b *Bed) killFor(m *localcluster.Member, hold time.Duration) {
	b.kill(m)
	sleep(b.ctx, hold)
	b.begin(m)
}

// pauseFor stops a member by SIGSTOP, and continues it after hold.
func (b *Bed) pauseFor(m *localcluster.Member, hold time.Duration) {
	b.setUp(m, false)
	m.Pause(b.program)
	sleep(b.ctx, hold)
	m.Continue(b.program)
	b.awaitReady(m)
	b.setUp(m, true)
}

func (b *Bed) killGateway(f *Fault) {
	m, release := b.nth(localcluster.Gateway, f.Nth)
	defer release()
	b.killFor(m, f.Hold)
}

func (b *Bed) pauseGateway(f *Fault) {
	m, release := b.nth(localcluster.Gateway, f.Nth)
	defer release()
	b.pauseFor(m, f.Hold)
}

func (b *Bed) drainGateway(f *Fault) {
	m, release := b.nth(localcluster.Gateway, f.Nth)
	defer release()
	b.end(m)
	sleep(b.ctx, f.Hold)
	b.begin(m)
}

// addGateway has one more gateway for a while.
func (b *Bed) addGateway(f *Fault) {
	m := b.Add(b.program, localcluster.Gateway)
	defer b.hold(m)()
	b.begin(m)
	b.AwaitServed(b.program)
	sleep(b.ctx, f.Hold)
	b.end(m)
	b.Remove(m)
}

func (b *Bed) killFrontend(f *Fault) {
	m, release := b.nth(localcluster.Frontend, f.Nth)
	defer release()
	b.killFor(m, f.Hold)
}

func (b *Bed) pauseFrontend(f *Fault) {
	m, release := b.nth(localcluster.Frontend, f.Nth)
	defer release()
	b.pauseFor(m, f.Hold)
}

func (b *Bed) drainFrontend(f *Fault) {
	m, release := b.nth(localcluster.Frontend, f.Nth)
	defer release()
	b.end(m)
	sleep(b.ctx, f.Hold)
	b.begin(m)
}

// elected is the controller that is elected, held.
func (b *Bed) elected() (m *localcluster.Member, release func()) {
	for b.ctx.Err() == nil {
		if m := b.Elected(b.ctx); m != nil {
			return m, b.hold(m)
		}
		sleep(b.ctx, 20*time.Millisecond)
	}
	b.program.Fatalf("testbed: no controller is elected: %v", context.Cause(b.ctx))
	return nil, nil
}

func (b *Bed) killElected(f *Fault) {
	m, release := b.elected()
	defer release()
	b.killFor(m, f.Hold)
}

func (b *Bed) pauseElected(f *Fault) {
	m, release := b.elected()
	defer release()
	b.pauseFor(m, f.Hold)
}

// eachController holds all controllers.
func (b *Bed) eachController(do func(all []*localcluster.Member)) {
	all := b.Members(localcluster.Controller)
	for _, m := range all {
		defer b.hold(m)()
	}
	do(all)
}

func (b *Bed) killControllers(f *Fault) {
	b.restartControllers(f, func(*localcluster.Member) {})
}

// wipeEtcd has all controllers killed, and start on nothing.
func (b *Bed) wipeEtcd(f *Fault) {
	b.restartControllers(f, func(m *localcluster.Member) { m.WipeEtcd(b.program) })
}

func (b *Bed) restartControllers(f *Fault, between func(*localcluster.Member)) {
	b.eachController(func(all []*localcluster.Member) {
		for _, m := range all {
			b.kill(m)
		}
		for _, m := range all {
			between(m)
		}
		sleep(b.ctx, f.Hold)
		for _, m := range all {
			m.Launch(b.program) // ready with a majority alone
		}
		for _, m := range all {
			b.awaitReady(m)
		}
	})
}

// rollAll restarts everything in order, one after the other.
func (b *Bed) rollAll(*Fault) {
	for _, role := range []localcluster.Role{localcluster.Controller, localcluster.Gateway, localcluster.Frontend} {
		for _, m := range b.Members(role) {
			func() {
				defer b.hold(m)()
				b.end(m)
				b.begin(m)
			}()
			b.AwaitServed(b.program)
		}
	}
}

// killAllGateways has everything be loaded anew.
func (b *Bed) killAllGateways(*Fault) {
	all := b.Members(localcluster.Gateway)
	for _, m := range all {
		defer b.hold(m)()
	}
	for _, m := range all {
		b.kill(m)
	}
	for _, m := range all {
		m.Launch(b.program)
	}
	for _, m := range all {
		b.awaitReady(m)
	}
}

// killRedis kills the Redis, which has fsynced what it answered for.
func (b *Bed) killRedis(f *Fault) {
	if b.Redis == nil {
		return
	}
	defer b.holdNamed("redis")()
	b.Redis.Kill(b.program)
	sleep(b.ctx, f.Hold)
	b.Redis.Start(b.program)
}

func (b *Bed) pauseRedis(f *Fault) {
	if b.Redis == nil {
		return
	}
	defer b.holdNamed("redis")()
	b.Redis.Pause(b.program)
	sleep(b.ctx, f.Hold)
	b.Redis.Continue(b.program)
}
