package lease

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ramen/gateway"
	"ramen/link"
	"ramen/protocol"
	"ramen/store"
	"ramen/store/memory"
	"ramen/topology"
)

// list is who is to have each shard, as one process has it.
type list struct {
	mu      sync.Mutex
	owners  []string
	changed chan struct{}
}

func newList(owners ...string) *list { return &list{owners: owners, changed: make(chan struct{})} }

func (l *list) now() ([]string, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.owners, l.changed
}

func (l *list) set(owners ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.owners = owners
	close(l.changed)
	l.changed = make(chan struct{})
}

// sharer is a process with a share of the shards.
type sharer struct {
	*process
	mu   sync.Mutex
	seen []store.Claimed // as they were read last
}

// starts and asked tell processes and questions apart.
var starts, asked int

func newSharer(t *testing.T, d *memory.Disk, name string, l *list) *sharer {
	starts++
	s := &sharer{process: &process{t: t, name: fmt.Sprintf("%s@%d", name, starts), store: d.OpenShared()}}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	s.lease = New(Config{Store: s.store, Owner: s.name, Shards: shards, Log: log, Share: &Share{Name: name, Owners: l.now, Read: func(claims []store.Claimed, errs []error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.seen = claims
	}}})
	cfg := gateway.Default()
	cfg.ShardCount, cfg.PublishesPerSecond = shards, 0
	g, err := gateway.New(cfg, gateway.Deps{Store: s.store, Owner: s.name, Log: log, OnShard: s.lease.OnShard})
	if err != nil {
		t.Fatal(err)
	}
	s.g = g
	s.start()
	return s
}

// kill ends it as kill -9 does: nothing is said to the store.
func (s *sharer) kill() {
	s.store.Close()
	_ = s.g.Close(context.Background())
	s.lease.Close(context.Background())
}

// has are the shards that it serves.
func (s *sharer) has() (all []protocol.ShardID) {
	for _, x := range s.g.Shards() {
		if x.State == gateway.StateServing {
			all = append(all, x.ID)
		}
	}
	return all
}

// want checks what it serves, and that it takes publishes for exactly that.
func (s *sharer) want(of ...protocol.ShardID) {
	s.t.Helper()
	if got := s.has(); !slices.Equal(got, of) {
		s.t.Fatalf("%s serves %v, want %v; %v", s.name, got, of, s.lease.Ready())
	}
	asked++
	if got := s.servedNow(asked); !slices.Equal(got, of) {
		s.t.Fatalf("%s takes publishes for %v, want %v", s.name, got, of)
	}
}

// eachWay is a store that fences, and one that does not.
func eachWay(t *testing.T, test func(t *testing.T, d *memory.Disk, fences bool)) {
	for _, fences := range []bool{true, false} {
		t.Run(fmt.Sprintf("fences=%v", fences), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				test(t, memory.NewDisk(memory.Config{CheckLast: true, Unfenced: !fences}), fences)
			})
		})
	}
}

// accepted publishes a message to each shard at whoever serves it.
func accepted(t *testing.T, id string, all ...*sharer) {
	t.Helper()
	for shard := range protocol.ShardID(shards) {
		n := 0
		for _, s := range all {
			if ok, _ := s.publish(userOf(shard), id); ok {
				n++
			}
		}
		if n != 1 {
			t.Fatalf("shard %d is served by %d", shard, n)
		}
	}
}

// holds checks that the mailboxes of each shard have all of these messages, at whoever serves it.
func holds(t *testing.T, ids []string, all ...*sharer) {
	t.Helper()
	for shard := range protocol.ShardID(shards) {
		for _, s := range all {
			if !slices.Contains(s.has(), shard) {
				continue
			}
			user := protocol.UserID(userOf(shard))
			page, err := s.g.Messages(context.Background(), link.Route{Shard: topology.ShardOf(user, shards), Epoch: s.lease.View().Shards[shard].Epoch}, user, link.Page{Limit: 1000})
			if err != nil {
				t.Fatal(err)
			}
			for _, id := range ids {
				if !slices.ContainsFunc(page.Messages, func(m *protocol.Message) bool { return string(m.ID) == id }) {
					t.Fatalf("shard %d at %s has lost %s", shard, s.name, id)
				}
			}
		}
	}
}

// TestSharesMoveByTheList: each is served by who is to have it, from its start; a new list moves them without a message lost, and with no moment of two owners.
func TestSharesMoveByTheList(t *testing.T) {
	eachWay(t, func(t *testing.T, d *memory.Disk, fences bool) {
		la, lb := newList("a", "a", "b", "b"), newList("a", "a", "b", "b")
		a, b := newSharer(t, d, "a", la), newSharer(t, d, "b", lb)
		a.want(0, 1)
		b.want(2, 3)
		accepted(t, "kept1", a, b)
		la.set("b", "a", "a", "b")
		lb.set("b", "a", "a", "b")
		wait(3 * every)
		a.want(1, 2)
		b.want(0, 3)
		accepted(t, "kept2", a, b)
		holds(t, []string{"kept1", "kept2"}, a, b)
		la.set("a", "a", "a", "a")
		lb.set("a", "a", "a", "a")
		wait(5 * every)
		a.want(0, 1, 2, 3)
		b.want()
		if a.lease.Ready() != nil || b.lease.Ready() != nil {
			t.Error(a.lease.Ready(), b.lease.Ready())
		}
		holds(t, []string{"kept1", "kept2"}, a)
		a.close()
		b.close()
	})
}

// TestHandOverPausesLittle: also where appends are not fenced: who has given a shard up has said so in the store.
func TestHandOverPausesLittle(t *testing.T) {
	eachWay(t, func(t *testing.T, d *memory.Disk, fences bool) {
		la, lb := newList("a", "a", "a", "b"), newList("a", "a", "a", "b")
		a, b := newSharer(t, d, "a", la), newSharer(t, d, "b", lb)
		la.set("b", "a", "a", "b")
		lb.set("b", "a", "a", "b")
		var pause, longest time.Duration
		for range 500 {
			wait(10 * time.Millisecond)
			if len(a.has())+len(b.has()) < shards {
				pause += 10 * time.Millisecond
				longest = max(longest, pause)
			} else {
				pause = 0
			}
		}
		if longest > 2*hurryEvery || len(b.has()) != 2 {
			t.Errorf("paused for %v; b has %v", longest, b.has())
		}
		a.close()
		b.close()
	})
}

// TestListsThatDifferMakeNoTwoOwners: who was given a shard by its own list alone waits; who gave one up that nobody takes has it again.
func TestListsThatDifferMakeNoTwoOwners(t *testing.T) {
	eachWay(t, func(t *testing.T, d *memory.Disk, fences bool) {
		la, lb := newList("a", "a", "b", "b"), newList("a", "a", "b", "b")
		a, b := newSharer(t, d, "a", la), newSharer(t, d, "b", lb)
		accepted(t, "kept1", a, b)
		lb.set("b", "b", "b", "b") // a does not know that yet
		wait(10 * every)
		a.want(0, 1)
		b.want(2, 3)
		if err := b.lease.Partial(); err == nil {
			t.Error("b does not say that it waits")
		}
		lb.set("a", "a", "b", "b")
		wait(every)
		la.set("b", "b", "b", "b") // b does not know that yet
		gone := 0
		for range 2000 { // 20 s
			wait(10 * time.Millisecond)
			n := len(a.has()) + len(b.has())
			if n < shards-1 {
				t.Fatalf("%d shards are served by nobody", shards-n)
			}
			gone += shards - n
		}
		if most := int((takeBack + 2*every) / (10 * time.Millisecond)); gone == 0 || gone > most {
			t.Errorf("nobody served a shard for %d ms, at most %d", gone*10, most*10)
		}
		a.want(0, 1)
		b.want(2, 3)
		lb.set("b", "b", "b", "b")
		wait(againFirst + 5*every)
		a.want()
		b.want(0, 1, 2, 3)
		holds(t, []string{"kept1"}, b)
		a.close()
		b.close()
	})
}

// TestKilledGatewayIsEditedOut: nobody has its shards until the list says so; one of its name has them again at once.
func TestKilledGatewayIsEditedOut(t *testing.T) {
	eachWay(t, func(t *testing.T, d *memory.Disk, fences bool) {
		l := newList("a", "a", "b", "b")
		a, b := newSharer(t, d, "a", l), newSharer(t, d, "b", l)
		accepted(t, "kept1", a, b)
		b.kill()
		wait(10 * every)
		a.want(0, 1)
		l.set("a", "a", "a", "a")
		wait(length + 2*every)
		a.want(0, 1, 2, 3)
		holds(t, []string{"kept1"}, a)
		l.set("a", "a", "b", "b")
		wait(takeBack + 2*every) // nobody is there: it has them again
		a.want(0, 1, 2, 3)
		again := newSharer(t, d, "b", l)
		wait(againMost)
		again.want(2, 3)
		again.kill()
		again = newSharer(t, d, "b", l) // before the store knows that it was killed
		if !fences {
			wait(length + every)
		}
		again.want(2, 3)
		holds(t, []string{"kept1"}, a, again)
		a.close()
		again.close()
	})
}

// TestTwoOfOneName: the one that started last has the shards, and the other does not take them back.
func TestTwoOfOneName(t *testing.T) {
	eachWay(t, func(t *testing.T, d *memory.Disk, fences bool) {
		l := newList("a", "a", "a", "a")
		first, second := newSharer(t, d, "a", l), newSharer(t, d, "a", l)
		wait(length + every)
		for range 20 {
			wait(every)
			if first.want(); len(second.has()) != shards {
				t.Fatalf("the second has %v", second.has())
			}
		}
		if first.lease.Ready() == nil {
			t.Error("the first says nothing")
		}
		first.close()
		second.close()
	})
}
