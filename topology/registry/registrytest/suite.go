// Package registrytest is the conformance suite of what keeps a cluster's registry.
//
// Goroutines: those of a test, which end with it.
package registrytest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"ramen/topology/registry"
)

// Subject is a registry to be tested.
type Subject struct {
	Open func() registry.Backend // another client of the same registry
	Wipe func()                  // replaces it by an empty one; nil: it cannot
	Stop func() (start func())   // has it answer nobody until start is called, which waits until it answers; nil: it cannot
	// Patience is how long what must come may take.
	Patience time.Duration
	// Sleep waits, in whatever time the registry lives in.
	Sleep func(time.Duration)
}

// Run checks what registry.Backend promises. start cleans up with t.
func Run(t *testing.T, start func(t *testing.T, test func(Subject))) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, s Subject)
	}{
		{"CommitsOnlyWhereItsConditionsHold", commits},
		{"TwoThatCommitAtOnceDoNotBoth", race},
		{"LeasesEndWithWhatTheyHold", leases},
		{"RenewedLeasesLast", renewed},
		{"RevokedLeasesAreOver", revoked},
		{"MirrorHasAllThatChanges", mirror},
		{"MirrorSurvivesAWipe", wiped},
		{"MirrorSurvivesAnOutageBetweenReadingAndWatching", stopped},
	} {
		t.Run(c.name, func(t *testing.T) { start(t, func(s Subject) { c.test(t, s) }) })
	}
}

func (s Subject) commit(t *testing.T, b registry.Backend, conditions []registry.Condition, puts ...registry.Put) (bool, registry.Revision) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), s.Patience)
	defer cancel()
	done, at, err := b.Commit(ctx, conditions, puts)
	if err != nil {
		t.Fatal(err)
	}
	return done, at
}

func (s Subject) all(t *testing.T, b registry.Backend) registry.Snapshot {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), s.Patience)
	defer cancel()
	all, err := b.All(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func (s Subject) grant(t *testing.T, b registry.Backend) registry.Lease {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), s.Patience)
	defer cancel()
	l, err := b.Grant(ctx, 2*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func commits(t *testing.T, s Subject) {
	b := s.Open()
	none := registry.Condition{Key: "a"}
	done, first := s.commit(t, b, []registry.Condition{none}, registry.Put{Key: "a", Value: []byte("1")})
	if !done {
		t.Fatal("not put where there was none")
	}
	if done, _ := s.commit(t, b, []registry.Condition{none}, registry.Put{Key: "a", Value: []byte("2")}); done {
		t.Fatal("put although there is one")
	}
	done, second := s.commit(t, b, []registry.Condition{{Key: "a", Modified: first}, {Key: "a", Created: first}}, registry.Put{Key: "a", Value: []byte("3")}, registry.Put{Key: "b", Value: []byte{}})
	if !done || second <= first {
		t.Fatalf("done %v at %d behind %d", done, second, first)
	}
	if done, _ := s.commit(t, b, []registry.Condition{{Key: "a", Modified: first}}, registry.Put{Key: "a", Value: []byte("4")}); done {
		t.Fatal("put on condition of an earlier put")
	}
	all := s.all(t, s.Open())
	a := all.Entries["a"]
	if string(a.Value) != "3" || a.Created != first || a.Modified != second || all.At < second || len(all.Entries) != 2 || all.Entries["b"].Value == nil {
		t.Fatalf("%+v", all)
	}
	if done, _ := s.commit(t, b, []registry.Condition{{Key: "a", Created: first}}, registry.Put{Key: "a"}); !done {
		t.Fatal("not taken away")
	}
	if done, _ := s.commit(t, b, []registry.Condition{{Key: "a", Created: first}}, registry.Put{Key: "c", Value: []byte("1")}); done {
		t.Fatal("put on condition of what has gone")
	}
}

// race has many clients count one key up on condition of its revision: no step is lost.
func race(t *testing.T, s Subject) {
	const clients, steps = 4, 10
	var all sync.WaitGroup
	for range clients {
		all.Go(func() {
			b := s.Open()
			for done := 0; done < steps; {
				now := s.all(t, b)
				e := now.Entries["n"]
				if ok, _ := s.commit(t, b, []registry.Condition{{Key: "n", Modified: e.Modified}}, registry.Put{Key: "n", Value: fmt.Appendf(nil, "%d", len(e.Value))}, registry.Put{Key: fmt.Sprintf("steps/%d", e.Modified), Value: []byte("x")}); ok {
					done++
				}
			}
		})
	}
	all.Wait()
	if n := len(s.all(t, s.Open()).Entries) - 1; n != clients*steps {
		t.Fatalf("%d steps of %d", n, clients*steps)
	}
}

func leases(t *testing.T, s Subject) {
	b := s.Open()
	l := s.grant(t, b)
	s.commit(t, b, nil, registry.Put{Key: "of-lease", Value: []byte("1"), Lease: l}, registry.Put{Key: "stays", Value: []byte("1")})
	if all := s.all(t, b); all.Entries["of-lease"].Lease != l || all.Entries["stays"].Lease != registry.NoLease {
		t.Fatalf("%+v; the lease is %d", all, l)
	}
	for end := time.Now().Add(s.Patience); ; s.Sleep(100 * time.Millisecond) {
		all := s.all(t, b)
		_, of := all.Entries["of-lease"]
		if _, stays := all.Entries["stays"]; !stays {
			t.Fatal("what was put without a lease has gone")
		}
		if !of {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the lease has not ended")
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.Patience)
	defer cancel()
	if err := b.Renew(ctx, l); !errors.Is(err, registry.ErrLeaseEnded) {
		t.Fatalf("renew what has ended: %v", err)
	}
	if _, _, err := b.Commit(ctx, nil, []registry.Put{{Key: "late", Value: []byte("1"), Lease: l}}); !errors.Is(err, registry.ErrLeaseEnded) {
		t.Fatalf("put under what has ended: %v", err)
	}
	if err := b.Revoke(ctx, l); err != nil {
		t.Fatalf("revoke what has ended: %v", err)
	}
}

func renewed(t *testing.T, s Subject) {
	b := s.Open()
	l := s.grant(t, b)
	s.commit(t, b, nil, registry.Put{Key: "of-lease", Value: []byte("1"), Lease: l})
	for range 8 { // twice as long as the lease
		s.Sleep(500 * time.Millisecond)
		ctx, cancel := context.WithTimeout(context.Background(), s.Patience)
		err := b.Renew(ctx, l)
		cancel()
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, is := s.all(t, b).Entries["of-lease"]; !is {
		t.Fatal("gone although it was renewed")
	}
}

func revoked(t *testing.T, s Subject) {
	b := s.Open()
	l := s.grant(t, b)
	s.commit(t, b, nil, registry.Put{Key: "of-lease", Value: []byte("1"), Lease: l})
	ctx, cancel := context.WithTimeout(context.Background(), s.Patience)
	defer cancel()
	if err := s.Open().Revoke(ctx, l); err != nil {
		t.Fatal(err)
	}
	if _, is := s.all(t, b).Entries["of-lease"]; is {
		t.Fatal("there although the lease is over")
	}
	if err := b.Renew(ctx, l); !errors.Is(err, registry.ErrLeaseEnded) {
		t.Fatalf("renew what is over: %v", err)
	}
}

// await waits until m has what has says.
func (s Subject) await(t *testing.T, m *registry.Mirror, what string, has func(registry.Snapshot) bool) {
	t.Helper()
	late := time.NewTimer(s.Patience)
	defer late.Stop()
	for {
		now, changed := m.Snapshot()
		if now.Entries != nil && has(now) {
			return
		}
		select {
		case <-changed:
		case <-late.C:
			t.Fatalf("waited %v for %s: %+v", s.Patience, what, now)
		}
	}
}

func value(key, v string) func(registry.Snapshot) bool {
	return func(s registry.Snapshot) bool { return string(s.Entries[key].Value) == v }
}

func mirror(t *testing.T, s Subject) {
	b := s.Open()
	s.commit(t, b, nil, registry.Put{Key: "before", Value: []byte("1")})
	m := registry.NewMirror(s.Open(), slog.New(slog.NewTextHandler(io.Discard, nil)))
	defer m.Close()
	s.await(t, m, "what was there", value("before", "1"))
	l := s.grant(t, b)
	s.commit(t, b, nil, registry.Put{Key: "before", Value: []byte("2")}, registry.Put{Key: "of-lease", Value: []byte("3"), Lease: l})
	s.await(t, m, "both puts", func(x registry.Snapshot) bool { return value("before", "2")(x) && value("of-lease", "3")(x) })
	s.commit(t, b, nil, registry.Put{Key: "before"})
	s.await(t, m, "that both have gone", func(x registry.Snapshot) bool { return len(x.Entries) == 0 })
	for i := range 100 {
		s.commit(t, b, nil, registry.Put{Key: "n", Value: fmt.Append(nil, i)})
	}
	s.await(t, m, "the last of many", value("n", "99"))
	now, _ := m.Snapshot()
	if all := s.all(t, b); all.At != now.At || all.Entries["n"].Modified != now.Entries["n"].Modified {
		t.Fatalf("it has %+v, there is %+v", now, all)
	}
}

func wiped(t *testing.T, s Subject) {
	if s.Wipe == nil {
		t.Skip("this registry cannot be wiped")
	}
	b := s.Open()
	m := registry.NewMirror(s.Open(), slog.New(slog.NewTextHandler(io.Discard, nil)))
	defer m.Close()
	s.commit(t, b, nil, registry.Put{Key: registry.ShardsKey, Value: registry.EncodeShards(8, "one")}, registry.Put{Key: "old", Value: []byte("1")})
	for i := range 30 {
		s.commit(t, b, nil, registry.Put{Key: "n", Value: fmt.Append(nil, i)})
	}
	s.await(t, m, "the last of many", value("n", "29"))
	s.Wipe()
	b = s.Open()
	s.commit(t, b, nil, registry.Put{Key: registry.ShardsKey, Value: registry.EncodeShards(8, "two")}, registry.Put{Key: "new", Value: []byte("1")})
	s.await(t, m, "what is in the new one alone", func(x registry.Snapshot) bool { return value("new", "1")(x) && x.Entries["old"].Value == nil })
	s.commit(t, b, nil, registry.Put{Key: "new", Value: []byte("2")})
	s.await(t, m, "a change of the new one", value("new", "2"))
}

// stopping is a backend that is stopped when it is watched first: behind a reading of all keys that was answered.
type stopping struct {
	registry.Backend
	once  sync.Once
	stop  func() (start func())
	start chan func() // of capacity 1: what ends the outage
}

func (b *stopping) Watch(ctx context.Context, from registry.Snapshot, alive func(), each func(registry.Changes)) error {
	b.once.Do(func() { b.start <- b.stop() })
	return b.Backend.Watch(ctx, from, alive, each)
}

func stopped(t *testing.T, s Subject) {
	if s.Stop == nil {
		t.Skip("this registry cannot be stopped")
	}
	s.commit(t, s.Open(), nil, registry.Put{Key: "n", Value: []byte("1")})
	b := &stopping{Backend: s.Open(), stop: s.Stop, start: make(chan func(), 1)}
	m := registry.NewMirror(b, slog.New(slog.NewTextHandler(io.Discard, nil)))
	defer m.Close()
	start := <-b.start
	s.Sleep(100 * time.Millisecond) // the watch is under way
	start()
	s.commit(t, s.Open(), nil, registry.Put{Key: "n", Value: []byte("2")})
	s.await(t, m, "a change behind the outage", value("n", "2"))
}
