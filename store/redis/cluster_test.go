package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"ramen/internal/testserver"
	"ramen/internal/testserver/redistest"
	"ramen/protocol"
	"ramen/store"
	"ramen/store/storetest"
)

// shardsBy answers a shard for each master, of the first some.
func shardsBy(t *testing.T, s *Store) map[*node]protocol.ShardID {
	t.Helper()
	all := make(map[*node]protocol.ShardID)
	for shard := protocol.ShardID(0); shard < 64; shard++ {
		n, err := s.nodeOfShard(t.Context(), shard)
		if err != nil {
			t.Fatal(err)
		}
		if _, has := all[n]; !has {
			all[n] = shard
		}
	}
	if len(all) < 3 {
		t.Fatalf("%d nodes have the first shards", len(all))
	}
	return all
}

// publishing has publishers go on until stop, which waits for them.
func publishing(t *testing.T, patience time.Duration, all ...*publisher) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for _, p := range all {
		running.Go(func() {
			for ctx.Err() == nil {
				if p.publish(context.WithoutCancel(ctx), patience) != nil {
					select { // as a publisher backs off
					case <-ctx.Done():
					case <-time.After(2 * time.Millisecond):
					}
				}
			}
		})
	}
	return sync.OnceFunc(func() { cancel(); running.Wait() })
}

// TestSlotMovesUnderLoad: while the keys of a shard move from one node to another nothing accepted is lost, and nothing happens twice.
func TestSlotMovesUnderLoad(t *testing.T) {
	c := redistest.StartCluster(t, redistest.Options{})
	s := open(t, clusterConfig(t, c))
	claim(t, s, 1, "first", 1)
	var all []*publisher
	for i := range 12 {
		all = append(all, newPublisher(s, 1, fmt.Sprint("u", i)))
		all[i].settle(t)
	}
	key := s.keys[1].claim
	for range 2 {
		from, _ := c.Serving(t, key)
		to := c.Nodes[0]
		if to == from {
			to = c.Nodes[1]
		}
		stop := publishing(t, 10*time.Second, all...) // with time for what is at both nodes
		defer stop()
		m := c.BeginMove(t, key, to)
		for m.MoveKeys(t, 1) > 6 { // a half of them
		}
		before := 0
		stopped := stop
		m.End(t)
		await := time.After(testserver.Patience)
		for { // they go on at the new node
			select {
			case <-await:
				t.Fatal("nobody goes on")
			case <-time.After(5 * time.Millisecond):
			}
			if n, err := s.nodeOfShard(t.Context(), 1); err == nil && n.addr == to.Addr {
				if before++; before > 20 {
					break
				}
			}
		}
		stopped()
		for _, p := range all {
			p.settle(t)
			p.check(t, s, at1)
			if p.replaced+p.refused+p.unknown != 0 {
				t.Fatalf("user %s: %s", p.user, counts([]*publisher{p}))
			}
		}
	}
	t.Log(counts(all))
}

func counts(all []*publisher) string {
	var accepted, refused, unknown, replaced int
	var slowest time.Duration
	for _, p := range all {
		accepted, refused, unknown, replaced = accepted+p.accepted, refused+p.refused, unknown+p.unknown, replaced+p.replaced
		slowest = max(slowest, p.slowest)
	}
	return fmt.Sprintf("%d accepted, %d refused, %d unknown, %d replaced, %v the slowest", accepted, refused, unknown, replaced, slowest)
}

// TestClaimsBesideASilentNode: the claims of its shards are not read, those of the others are, and the node that has the presence of an
// owner makes nobody absent.
func TestClaimsBesideASilentNode(t *testing.T) {
	c := redistest.StartCluster(t, redistest.Options{Config: redistest.Config{"cluster-require-full-coverage": "no", "cluster-node-timeout": "60000"}})
	s := open(t, clusterConfig(t, c))
	by := shardsBy(t, s)
	var shards []protocol.ShardID
	for _, shard := range by {
		claim(t, s, 1, "first", shard)
		shards = append(shards, shard)
	}
	if err := s.Renew(t.Context(), "first", time.Minute); err != nil {
		t.Fatal(err)
	}
	for silent, theirs := range by {
		server := c.Nodes[slices.IndexFunc(c.Nodes, func(n *redistest.Server) bool { return n.Addr == silent.addr })]
		server.Pause(t)
		ctx, cancel := context.WithTimeout(t.Context(), 800*time.Millisecond)
		claims, errs := s.Claims(ctx, shards)
		cancel()
		server.Continue(t)
		if errs == nil {
			t.Fatal("all were read")
		}
		for i, shard := range shards {
			switch {
			case shard == theirs && errs[i] == nil:
				t.Errorf("shard %d of a silent node was read", shard)
			case shard != theirs && (errs[i] != nil || claims[i].Epoch != 1 || claims[i].Owner != "first" || !claims[i].Present):
				t.Errorf("shard %d of another node: %+v, %v", shard, claims[i], errs[i])
			}
		}
		awaitSo(t, "all are read again", func() error {
			claims, errs := s.Claims(t.Context(), shards)
			if errs == nil && slices.ContainsFunc(claims, func(c store.Claimed) bool { return c.PresenceUnread || !c.Present }) {
				return fmt.Errorf("claims %+v", claims)
			}
			return errors.Join(errs...)
		})
	}
}

// TestMasterKilled: with durability=replicas what was accepted is in the promoted replica, users of other nodes notice nothing, and
// all goes on by itself.
func TestMasterKilled(t *testing.T) {
	c := redistest.StartCluster(t, redistest.Options{Config: redistest.Config{"cluster-require-full-coverage": "no"}})
	cfg := clusterConfig(t, c)
	cfg.Durability = Replicas
	s := open(t, cfg)
	var all []*publisher
	by := shardsBy(t, s)
	for _, shard := range by {
		claim(t, s, 1, "first", shard)
		all = append(all, newPublisher(s, shard, "u"))
	}
	stop := publishing(t, 500*time.Millisecond, all...)
	defer stop()
	victim := all[0]
	key := s.keys[victim.at.Shard].claim
	old, _ := c.Serving(t, key)
	old.Kill(t)
	c.AwaitPromoted(t, key, old)
	stop()
	for i, p := range all {
		p.settleWith(t, c, old)
		p.check(t, s, p.at)
		if i > 0 && p.refused+p.unknown > 0 {
			t.Errorf("users of another node: %s", counts(all[i:i+1]))
		}
	}
	t.Log(counts(all))
}

// settleWith settles once the killed node is back as a replica: until then WAIT has nobody to wait for.
func (p *publisher) settleWith(t *testing.T, c *redistest.Cluster, killed *redistest.Server) {
	t.Helper()
	if !killed.Running() {
		killed.Start(t)
		c.AwaitWhole(t)
	}
	p.settle(t)
}

// TestPromotedReplicaLacksASuffix: the owner finds out by its next append, or by its history where a user is idle, and gives back
// what it has; who takes over then finds all of it.
func TestPromotedReplicaLacksASuffix(t *testing.T) {
	c := redistest.StartCluster(t, redistest.Options{})
	s := open(t, clusterConfig(t, c))
	claim(t, s, 1, "first", 1)
	busy, idle := newPublisher(s, 1, "busy"), newPublisher(s, 1, "idle")
	for _, p := range []*publisher{busy, idle} {
		p.settle(t)
	}
	recalled := newPublisher(s, 1, "recalled")
	recalled.settle(t)
	key := s.keys[1].claim
	old, replicas := c.Serving(t, key)
	lag(t, old, replicas[0])
	recall := store.Append{Owner: at1, User: "recalled", Last: recalled.last, Kills: []store.Ref{ref(recalled.stored[0])}}
	if err := storetest.Append(t.Context(), s, []store.Append{recall})[0]; err != nil {
		t.Fatal(err)
	}
	for _, p := range []*publisher{busy, idle} {
		p.settle(t)
	}
	before := history(t, s)
	old.Kill(t)
	c.AwaitPromoted(t, key, old)
	stop := publishing(t, 500*time.Millisecond, busy)
	awaitSo(t, "the busy user is given back", func() error {
		m, err := loaded(t, s, at1, "busy")
		if err == nil && len(m.Entries) < 3 {
			err = fmt.Errorf("%d entries", len(m.Entries))
		}
		return err
	})
	stop()
	if busy.replaced != 1 {
		t.Errorf("busy: %s", counts([]*publisher{busy}))
	}
	if after := history(t, s); after == before || after == "" {
		t.Errorf("history %q, before %q", after, before)
	}
	claim(t, s, 1, "first", 1)
	probe := store.Append{Owner: at1, User: "idle", Last: idle.last}
	var other *store.LastError
	if err := storetest.Append(t.Context(), s, []store.Append{probe})[0]; !errors.As(err, &other) || other.Last != position(1) {
		t.Fatalf("probe: %v", err)
	}
	idle.takeBack(t.Context(), 5*time.Second, other.Last)
	if m, err := loaded(t, s, at1, "recalled"); err != nil || len(m.Entries) != 0 {
		t.Errorf("what was recalled is %+v, %v", m, err)
	}
	next := open(t, s.cfg)
	claim(t, next, 2, "second", 1)
	for _, p := range []*publisher{busy, idle} {
		p.check(t, next, store.Owner{Shard: 1, Epoch: 2})
	}
}

func history(t *testing.T, s *Store) string {
	t.Helper()
	var of string
	awaitSo(t, "claims are read", func() error {
		all, errs := s.Claims(t.Context(), []protocol.ShardID{1})
		err := errors.Join(errs...)
		if err == nil {
			of = all[0].History
		}
		return err
	})
	return of
}

func loaded(t *testing.T, s *Store, at store.Owner, user protocol.UserID) (store.Mailbox, error) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	return s.Load(ctx, at, user)
}

// awaitSo polls until is answers nil.
func awaitSo(t *testing.T, what string, is func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := testserver.Await(ctx, is); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// TestSlowNodeHoldsUpItsOwnUsers alone.
func TestSlowNodeHoldsUpItsOwnUsers(t *testing.T) {
	c := redistest.StartCluster(t, redistest.Options{Config: redistest.Config{"cluster-node-timeout": "60000"}})
	s := open(t, clusterConfig(t, c))
	by := shardsBy(t, s)
	var nodes []*node
	for n, shard := range by {
		nodes = append(nodes, n)
		claim(t, s, 1, "first", shard)
	}
	var slow *redistest.Server
	for _, n := range c.Nodes {
		if n.Addr == nodes[0].addr {
			slow = n
		}
	}
	slow.Pause(t)
	var batch []store.Append // of all nodes, the slow one's first
	for _, n := range nodes {
		for i := range 50 {
			a := step(0, entry("a", 1))
			a.Owner.Shard, a.User = by[n], protocol.UserID(fmt.Sprint("u", i))
			batch = append(batch, a)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	answers := make(chan int, len(batch))
	errs := make([]error, len(batch))
	s.Append(ctx, batch, func(i int, err error) { errs[i] = err; answers <- i })
	for range 100 {
		if i := <-answers; i < 50 || errs[i] != nil {
			t.Fatalf("answer %d came before those of the other nodes: %v", i, errs[i])
		}
	}
	for range 50 {
		if i := <-answers; i >= 50 || errs[i] == nil {
			t.Fatalf("answer %d: %v", i, errs[i])
		}
	}
	slow.Continue(t)
}

// TestRepeatedWriteWaitsForReplicas: one that finds its own mark is not accepted before replicas have what was written the first time.
func TestRepeatedWriteWaitsForReplicas(t *testing.T) {
	for _, kind := range redistest.Kinds {
		t.Run(string(kind), func(t *testing.T) {
			r := redistest.WithReplicas(t, redistest.Options{Kind: kind}, 1)
			cfg := configOf(t, r.Master)
			cfg.Durability = Replicas
			s := open(t, cfg)
			claim(t, s, 1, "first", 1)
			p := newPublisher(s, 1, "u")
			p.settle(t)
			r.Replicas[0].Pause(t)
			for range 5 { // each by a connection that has written nothing, as far as the server knows
				wantErr(t, "publish", p.write(t.Context(), 200*time.Millisecond, entry("again", 2)), store.ErrUnknown)
				s.single.client.Conn().Close()
				if err := r.Master.Client(t).ClientKillByFilter(t.Context(), "TYPE", "normal", "SKIPME", "yes").Err(); err != nil {
					t.Fatal(err)
				}
			}
			r.Replicas[0].Continue(t)
			awaitSo(t, "it is accepted", func() error { return p.write(t.Context(), 200*time.Millisecond, entry("again", 2)) })
			m, err := s.Load(t.Context(), at1, "u")
			if err != nil {
				t.Fatal(err)
			}
			wantIDs(t, m, "u-1", "again")
		})
	}
}

// TestSentinelFailOver: the master killed; with durability=replicas nothing accepted is lost.
func TestSentinelFailOver(t *testing.T) {
	w := redistest.WithSentinels(t, redistest.Options{}, 2)
	cfg := sentinelConfig(t, w)
	cfg.Durability = Replicas
	s := open(t, cfg)
	claim(t, s, 1, "first", 1)
	before := history(t, s)
	var all []*publisher
	for i := range 4 {
		all = append(all, newPublisher(s, 1, fmt.Sprint("u", i)))
		all[i].settle(t)
	}
	stop := publishing(t, 500*time.Millisecond, all...)
	w.Master.Kill(t)
	awaitSo(t, "a replica was promoted", func() error {
		claims, errs := s.Claims(t.Context(), []protocol.ShardID{1})
		err := errors.Join(errs...)
		if err == nil && claims[0].History == before {
			err = errors.New("the history is the same")
		}
		return err
	})
	stop()
	for _, p := range all {
		p.settle(t)
		p.check(t, s, at1)
	}
	t.Log(counts(all))
}

// TestDurabilityThatEndsIsNotAnswered: WAITAOF finds out that the log was turned off, and the keeper that it should be on.
func TestDurabilityThatEndsIsNotAnswered(t *testing.T) {
	f := newFixture(t, redistest.Options{Kind: redistest.Valkey, Config: redistest.Config{"appendonly": "yes"}}, func(c *Config) { c.Durability = Fsync })
	f.mustAppend(step(0, entry("a", 1)))
	if err := f.server.Client(t).ConfigSet(t.Context(), "appendonly", "no").Err(); err != nil {
		t.Fatal(err)
	}
	wantErr(t, "append", f.append(time.Second, step(1, entry("b", 2))), store.ErrUnknown)
	f.inspectNow.Store(true)
	awaitSo(t, "messages are refused", func() error {
		if err := f.Admit(protocol.PriorityHigh); !errors.Is(err, ErrUnfit) {
			return fmt.Errorf("admitted: %v", err)
		}
		return nil
	})
}
