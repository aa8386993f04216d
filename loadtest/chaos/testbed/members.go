package testbed

import (
	"context"
	"sync"
	"time"

	"ramen/internal/localcluster"
	"ramen/internal/testserver"
)

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
		err := testserver.Do(func() { m.AwaitReady(b.program) })
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
	if err := b.findLapses(m); err != nil {
		b.program.Fatalf("%w", err)
	}
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

// upgrade restarts everything from the binary before, and where it has run the newer one already, goes back to the one before first.
func (b *Bed) upgrade(f *Fault) {
	b.upgrading.Lock()
	defer b.upgrading.Unlock()
	if !b.old && b.cfg.Previous != "" && !b.cfg.NoWayBack {
		b.Use(b.cfg.Previous)
		b.rollAll(f)
		sleep(b.ctx, b.cfg.Calm)
		b.logf("all members are of the binary before")
	}
	b.Use(b.cfg.Cluster.Binary)
	b.rollAll(f)
	b.old = false
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
