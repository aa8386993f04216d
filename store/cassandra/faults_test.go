package cassandra

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ramen/internal/testserver"
	"ramen/internal/testserver/cassandratest"
	"ramen/protocol"
	"ramen/store"
	"ramen/store/storetest"
)

// threeNodes is a cluster whose nodes may be stopped, with three copies of each row, and a store on it.
func threeNodes(t *testing.T) (*cassandratest.Cluster, *Store) {
	t.Helper()
	testserver.Long(t)
	c := cassandratest.Start(t, cassandratest.Options{Nodes: 3, Settings: map[string]any{"write_request_timeout": "500ms"}})
	s := openStore(t, prepared(t, paramsOf(t, c, 3, "")))
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	for id := range protocol.ShardID(8) {
		if errs := s.Claim(t.Context(), []protocol.ShardID{id}, 1, "test"); errs != nil {
			t.Fatal(errs)
		}
	}
	return c, s
}

// publishers append for users of their own, one message after the other, and write down what they are answered.
type publishers struct {
	s    *Store
	stop chan struct{}
	all  sync.WaitGroup

	mu      sync.Mutex
	answers []appended // guarded by mu
}

// appended is one message, and its answer.
type appended struct {
	user  protocol.UserID
	id    protocol.MessageID
	began time.Time
	took  time.Duration
	err   error
}

// deadlineOfAppends is the gateway's.
const deadlineOfAppends = 500 * time.Millisecond

func publish(s *Store, users int) *publishers {
	p := &publishers{s: s, stop: make(chan struct{})}
	for i := range users {
		p.all.Go(func() { p.run(protocol.UserID(fmt.Sprint("user", i)), atOf(i)) })
	}
	return p
}

func atOf(user int) store.Owner {
	return store.Owner{Shard: protocol.ShardID(user % 8), Epoch: 1}
}

func (p *publishers) run(user protocol.UserID, at store.Owner) {
	pace := time.NewTicker(20 * time.Millisecond)
	defer pace.Stop()
	for n := uint64(1); ; n++ {
		select {
		case <-p.stop:
			return
		case <-pace.C:
		}
		e := message(n)
		began := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), deadlineOfAppends)
		err := storetest.Append(ctx, p.s, []store.Append{{Owner: at, User: user, Entries: []store.Entry{e}}})[0]
		cancel()
		p.mu.Lock()
		p.answers = append(p.answers, appended{user, e.Message.ID, began, time.Since(began), err})
		p.mu.Unlock()
	}
}

// since are the answers to what was begun from then on.
func (p *publishers) since(from time.Time) (some []appended) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, a := range p.answers {
		if !a.began.Before(from) {
			some = append(some, a)
		}
	}
	return some
}

// await waits for n further answers that are as ok says, and answers when the first of them was begun.
func (p *publishers) await(t *testing.T, what string, n int, ok func(a appended) bool) time.Time {
	t.Helper()
	from, end := time.Now(), time.Now().Add(time.Minute)
	for {
		var first time.Time
		got := 0
		for _, a := range p.since(from) {
			if ok(a) {
				if got++; got == 1 {
					first = a.began
				}
			}
		}
		if got >= n {
			return first
		}
		if time.Now().After(end) {
			t.Fatalf("%s: %d of %d answers in a minute", what, got, n)
		}
		<-time.After(20 * time.Millisecond)
	}
}

func accepted(a appended) bool { return a.err == nil }

// check stops the publishers and compares what is loaded with what they were answered, by id.
func (p *publishers) check(t *testing.T) {
	t.Helper()
	close(p.stop)
	p.all.Wait()
	byUser := make(map[protocol.UserID][]appended)
	unknown, refused := 0, 0
	for _, a := range p.answers {
		byUser[a.user] = append(byUser[a.user], a)
	}
	for user, answers := range byUser {
		var i int
		if _, err := fmt.Sscanf(string(user), "user%d", &i); err != nil {
			t.Fatal(err)
		}
		m, err := p.s.Load(t.Context(), atOf(i), user)
		if err != nil {
			t.Fatal(err)
		}
		have := make(map[protocol.MessageID]int)
		for _, e := range m.Entries {
			have[e.Message.ID]++
		}
		for _, a := range answers {
			n := have[a.id]
			switch {
			case a.err == nil && n != 1:
				t.Errorf("message %s of %s was accepted, and is there %d times", a.id, user, n)
			case errors.Is(a.err, store.ErrUnknown):
				unknown++
			case a.err != nil:
				if refused++; n != 0 {
					t.Errorf("message %s of %s was refused, and is there: %v", a.id, user, a.err)
				}
			}
		}
	}
	t.Logf("%d appends: %d of unknown outcome, %d refused", len(p.answers), unknown, refused)
}

// control tells what the machine is to blame for: it writes to nodes that are well, past the store's choice of hosts, its time-outs and
// retries. Where that takes long, so may anything.
type control struct {
	stop chan struct{}
	all  sync.WaitGroup

	mu     sync.Mutex
	writes []controlWrite // guarded by mu, in the order of their ends
	open   []time.Time    // guarded by mu: when those under way were begun, or the last was that is over; by node
}

type controlWrite struct{ began, ended time.Time }

// calm is how long a control write takes at most where the machine is not to blame: less than one attempt of an append may.
const calm = 100 * time.Millisecond

// observe has the nodes be written to until the end of the test.
func observe(t *testing.T, s *Store, nodes ...*cassandratest.Node) *control {
	t.Helper()
	c := &control{stop: make(chan struct{}), open: make([]time.Time, len(nodes))}
	for i, n := range nodes {
		id := hostID(t, s, n.Host)
		c.all.Go(func() {
			for n := int64(0); ; n++ {
				select {
				case <-c.stop:
					return
				case <-time.After(10 * time.Millisecond):
				}
				w := controlWrite{began: time.Now()}
				c.mu.Lock()
				c.open[i] = w.began
				c.mu.Unlock()
				ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
				_ = s.session.Query(insertStep, 1000, "control", 1, int64(i), n, n, []byte{0}, 600).SetHostID(id).ExecContext(ctx)
				cancel()
				w.ended = time.Now()
				c.mu.Lock()
				c.writes = append(c.writes, w)
				c.mu.Unlock()
			}
		})
	}
	t.Cleanup(func() { close(c.stop); c.all.Wait() })
	return c
}

// during are those of some answers that the machine is not to blame for: while they were waited for, control writes were under way,
// and each of them was answered soon.
func (c *control) during(some []appended) (of []appended) {
	c.mu.Lock()
	defer c.mu.Unlock()
	known := slices.MinFunc(c.open, time.Time.Compare) // what is under way since then may be slow
	for _, a := range some {
		end, seen, slow := a.began.Add(a.took), false, false
		if end.After(known) {
			continue
		}
		i, _ := slices.BinarySearchFunc(c.writes, a.began, func(w controlWrite, t time.Time) int { return w.ended.Compare(t) })
		for _, w := range c.writes[i:] {
			if w.began.Before(end) {
				seen, slow = true, slow || w.ended.Sub(w.began) > calm
			} else if w.began.Sub(end) > 10*time.Second {
				break
			}
		}
		if seen && !slow {
			of = append(of, a)
		}
	}
	return of
}

// slow is the share of answers, in percent, that took longer than a device should wait.
func slow(answers []appended) float64 {
	n := 0
	for _, a := range answers {
		if a.took > 300*time.Millisecond {
			n++
		}
	}
	return 100 * float64(n) / float64(max(len(answers), 1))
}

func failures(answers []appended) (errs []error) {
	for _, a := range answers {
		if a.err != nil {
			errs = append(errs, a.err)
		}
	}
	return errs
}

// TestOneNodeOfThreeStopped: no append fails, and from two seconds on at most 1 % take over 300 ms. Those count that are answered while the
// other nodes answer soon.
func TestOneNodeOfThreeStopped(t *testing.T) {
	c, s := threeNodes(t)
	p := publish(s, 24)
	p.await(t, "before", 500, accepted) // the driver has prepared its statements
	machine := observe(t, s, c.Nodes[:2]...)
	stopped := time.Now()
	c.Nodes[2].Pause(t)
	from := p.await(t, "stopped", 1, func(a appended) bool { return a.began.After(stopped.Add(2 * time.Second)) })
	const enough = 1000
	for end := time.Now().Add(3 * time.Minute); len(machine.during(p.since(from))) < enough; <-time.After(time.Second) {
		if time.Now().After(end) {
			t.Fatalf("%d of %d appends in three minutes were answered while the other nodes answered soon, %d are needed: the machine is too busy",
				len(machine.during(p.since(from))), len(p.since(from)), enough)
		}
	}
	all, later := machine.during(p.since(stopped)), machine.during(p.since(from))
	t.Logf("over 300 ms: %.2f %% of %d while it is stopped, %.2f %% of %d from two seconds on; with a busy machine %.2f %% of %d, and %d failed",
		slow(all), len(all), slow(later), len(later), slow(p.since(stopped)), len(p.since(stopped)), len(failures(p.since(stopped))))
	if errs := failures(all); len(errs) > 0 {
		t.Errorf("%d appends failed with one node stopped, the first: %v", len(errs), errs[0])
	}
	if got := slow(later); got > 1 {
		t.Errorf("%.2f %% take over 300 ms", got)
	}
	if !s.breakers.host(hostID(t, s, c.Nodes[2].Host)).open() {
		t.Error("the stopped host is not passed over")
	}
	c.Nodes[2].Continue(t)
	p.await(t, "the host is asked again", 1, func(appended) bool { return !s.breakers.host(hostID(t, s, c.Nodes[2].Host)).open() })
	p.check(t)
}

// hostID is the driver's name of the host at an address.
func hostID(t *testing.T, s *Store, address string) string {
	t.Helper()
	for _, h := range s.session.GetHosts() {
		if h.ConnectAddress().String() == address {
			return h.HostID()
		}
	}
	t.Fatalf("the driver does not know a host at %s", address)
	return ""
}

// timers watches how late timers are, until the end of the test: worst is by how much the latest was.
func timers(t *testing.T) (worst func() time.Duration) {
	t.Helper()
	var late atomic.Int64
	ctx, stop := context.WithCancel(context.Background())
	var watch sync.WaitGroup
	watch.Go(func() {
		const d = 10 * time.Millisecond
		for began := time.Now(); pause(ctx, d); began = time.Now() {
			late.Store(max(late.Load(), int64(time.Since(began)-d)))
		}
	})
	t.Cleanup(func() { stop(); watch.Wait() })
	return func() time.Duration { return time.Duration(late.Load()) }
}

// TestTwoNodesOfThreeStopped: nothing is accepted, every caller has its answer by the deadline, and it goes on once they are back.
func TestTwoNodesOfThreeStopped(t *testing.T) {
	c, s := threeNodes(t)
	p := publish(s, 24)
	p.await(t, "before", 500, accepted)
	c.Nodes[1].Pause(t)
	c.Nodes[2].Pause(t)
	stopped, worst := time.Now(), timers(t)
	p.await(t, "stopped", 200, func(a appended) bool { return a.began.After(stopped) && a.err != nil })
	while := p.since(stopped)
	if i := slices.IndexFunc(while, accepted); i >= 0 {
		t.Errorf("%s of %s was accepted with two of three nodes stopped", while[i].id, while[i].user)
	}
	late := slices.MaxFunc(while, func(a, b appended) int { return int(a.took - b.took) })
	if noise := worst(); late.took > 2*(deadlineOfAppends+noise) {
		t.Errorf("an answer took %v, the deadline is %v, and a timer was late by %v", late.took, deadlineOfAppends, noise)
	}
	c.Nodes[1].Continue(t)
	c.Nodes[2].Continue(t)
	p.await(t, "back", 2000, accepted)
	p.check(t)
}

// TestNodeKilledAndRestarted under load: what is under way to it may be unknown, no more than 1 % of appends are that are answered while
// the others answer soon, and none is refused; what
// was accepted is there for a quorum of it and another.
func TestNodeKilledAndRestarted(t *testing.T) {
	c, s := threeNodes(t)
	p := publish(s, 24)
	p.await(t, "before", 1000, accepted)
	machine := observe(t, s, c.Nodes[1:]...)
	killed := time.Now()
	c.Nodes[0].Kill(t)
	p.await(t, "killed", 2000, accepted)
	c.Nodes[0].Start(t)
	p.await(t, "restarted", 2000, accepted)
	all := p.since(killed)
	counted := machine.during(all)
	if errs := failures(counted); len(errs) > len(counted)/100 {
		t.Errorf("%d of %d appends failed with one node killed, the first: %v", len(errs), len(counted), errs[0])
	}
	errs := failures(all)
	if i := slices.IndexFunc(errs, func(err error) bool { return !errors.Is(err, store.ErrUnknown) }); i >= 0 {
		t.Errorf("an append was refused with one node killed: %v", errs[i])
	}
	c.Nodes[1].Pause(t)
	p.await(t, "with the one that was killed and another", 1000, accepted)
	c.Nodes[1].Continue(t)
	p.check(t)
}

// TestWhatALateReplicaHasComesNotBack kills what it has not seen die: a replica gets the append after the kill, and is then one of the
// two that are asked.
func TestWhatALateReplicaHasComesNotBack(t *testing.T) {
	c, s := threeNodes(t)
	at := atOf(0)
	do := func(a store.Append) {
		t.Helper()
		a.Owner, a.User = at, "u"
		if err := storetest.Append(t.Context(), s, []store.Append{a})[0]; err != nil {
			t.Fatal(err)
		}
	}
	first, second := message(1), message(2)
	do(store.Append{Entries: []store.Entry{message(0)}}) // the index
	c.Nodes[2].Pause(t)
	do(store.Append{Entries: []store.Entry{first}})
	do(store.Append{Entries: []store.Entry{second}, Kills: []store.Ref{{Priority: first.Message.Priority, Position: first.Position}}})
	c.Nodes[2].Continue(t)
	for _, other := range c.Nodes[:2] {
		other.Pause(t)
		var m store.Mailbox
		var err error
		for range 20 {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			m, err = s.Load(ctx, at, "u")
			cancel()
			if err == nil {
				break
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		if n := len(m.Entries); n != 2 || m.Entries[1].Message.ID != second.Message.ID {
			t.Errorf("%d entries are loaded: %v", n, m.Entries)
		}
		other.Continue(t)
	}
}
