package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"ramen/internal/testdisk"
	"ramen/internal/testserver"
	"ramen/internal/testserver/cassandratest"
	"ramen/internal/testserver/faultproxy"
	"ramen/internal/testserver/redistest"
	"ramen/loadtest/ledger/judge"
)

// nodes are Cassandra nodes that have a copy of everything each: one, or three. A process that is killed has all in its commit log, and so
// has a machine without power: commitlog_sync is batch.
type nodes struct {
	c    *cassandratest.Cluster
	all  []*target
	of   map[*target]*cassandratest.Node
	disk *testdisk.Disk // of all of them; nil: there is none

	mu   sync.Mutex
	gone []*target // guarded by mu: to which something is done
}

// startNodes starts a Cassandra of so many nodes, which all sites share.
func startNodes(t *harness, count int) *nodes {
	if n := t.nodes[count]; n != nil {
		return n
	}
	settings := map[string]any{"commitlog_sync": "batch", "commitlog_sync_period": nil}
	n := &nodes{disk: tryDisk(t), of: make(map[*target]*cassandratest.Node)}
	dir := ""
	if n.disk != nil {
		dir = n.disk.Dir
	}
	n.c = cassandratest.Start(t, cassandratest.Options{Nodes: count, Proxied: true, Settings: settings, DataDir: dir})
	for _, node := range n.c.Nodes {
		x := &target{Server: node.Server, name: "node"}
		n.all, n.of[x] = append(n.all, x), node
	}
	if t.nodes == nil {
		t.nodes = make(map[int]*nodes)
	}
	t.nodes[count] = n
	return n
}

// initTries is how often store init is called, which fails where nodes that have just started do not answer in time.
const initTries = 5

// keyspace makes one, and answers the URL of a store in it.
func (n *nodes) keyspace(t *harness, c config, name string) string {
	url := fmt.Sprintf("%s&replication=%d", n.c.URL(name), len(n.all))
	var said []byte
	var err error
	for range initTries {
		if said, err = exec.Command(c.Binary, "store", "init", url).CombinedOutput(); err == nil {
			if c.Busy { // it does not answer in 150 ms
				url += "&timeout=1s"
			}
			return url
		}
	}
	t.Fatalf("faults: ramen store init %s: %w: %s", url, err, said)
	return ""
}

// faults are those of the nodes: one of three is gone, and the others go on; two of them are, or the only one, and publishes are refused.
func (n *nodes) faults() []fault {
	one, owner := judge.Span{Serves: true}, judge.Span{Owner: true}
	if len(n.all) == 1 {
		one = owner
	}
	all := []fault{
		{name: "node-paused", excuses: one, do: n.onOne(func(s *stage, x *target, hold time.Duration) {
			x.pause(s)
			n.ifOnly(s, func() { sleep(s.ctx, hold) })
			x.resume(s)
			n.awaitUp(s)
		})},
		{name: "node-killed", excuses: one, starts: true, do: n.onOne(func(s *stage, x *target, hold time.Duration) {
			n.endAll(s, []*target{x}, func() {
				x.killLocked(s)
				sleep(s.ctx, hold)
			})
		})},
		{name: "node-cut", excuses: one, do: n.onOne(func(s *stage, x *target, hold time.Duration) {
			p := n.of[x].Proxy
			p.Cut(s.t)
			n.ifOnly(s, func() { sleep(s.ctx, hold) })
			p.Heal(s.t)
		})},
		{name: "node-slow", excuses: one, do: n.onOne(func(s *stage, x *target, hold time.Duration) {
			p := n.of[x].Proxy
			p.Delay(s.t, faultproxy.Answers, 500*time.Millisecond)
			sleep(s.ctx, hold)
			p.Heal(s.t)
		})},
		{name: "node-silent", excuses: one, do: n.onOne(func(s *stage, x *target, hold time.Duration) {
			p := n.of[x].Proxy
			p.Swallow(s.t, faultproxy.Answers)
			n.ifOnly(s, func() { sleep(s.ctx, hold) })
			p.Heal(s.t)
		})},
	}
	if len(n.all) > 1 {
		all = append(all,
			fault{name: "two-nodes-paused", excuses: owner, do: n.pauseTwo},
			fault{name: "two-nodes-killed", excuses: owner, long: true, starts: true, do: n.killTwo})
	}
	if n.disk != nil {
		all = append(all, fault{name: "nodes-without-power", excuses: owner, long: true, starts: true, do: n.cutPower})
	}
	return all
}

// ifOnly has nothing be accepted while do lasts, where it is done to the only node.
func (n *nodes) ifOnly(s *stage, do func()) {
	if len(n.all) > 1 {
		do()
		return
	}
	s.refusing(do)
}

// onOne does something to one node. Where something is done to another one meanwhile, there is no quorum, which excuses what is refused.
func (n *nodes) onOne(do func(s *stage, x *target, hold time.Duration)) func(*stage, time.Duration) {
	return func(s *stage, hold time.Duration) {
		x := n.draw(s)
		n.mu.Lock()
		alone := !slices.ContainsFunc(n.gone, func(other *target) bool { return other != x })
		n.gone = append(n.gone, x)
		n.mu.Unlock()
		from := s.clock.Now()
		do(s, x, hold)
		n.mu.Lock()
		i := slices.Index(n.gone, x)
		n.gone = slices.Delete(n.gone, i, i+1)
		n.mu.Unlock()
		if !alone {
			s.addSpan(judge.Span{What: "two nodes of three are gone", From: from, To: s.clock.Now() + leaseOver, Owner: true})
		}
	}
}

// draw is a node.
func (n *nodes) draw(s *stage) *target { return n.all[s.draw(len(n.all))] }

// two are all nodes but one.
func (n *nodes) two(s *stage) []*target {
	i := s.draw(len(n.all))
	return slices.Delete(slices.Clone(n.all), i, i+1)
}

// pauseTwo has two nodes not answer: nothing can be accepted meanwhile.
func (n *nodes) pauseTwo(s *stage, hold time.Duration) {
	two := n.two(s)
	for _, x := range two {
		x.pause(s)
	}
	s.refusing(func() { sleep(s.ctx, hold) })
	for _, x := range two {
		x.resume(s)
	}
	n.awaitUp(s)
}

// killTwo kills two nodes, and starts them again: nothing can be accepted meanwhile.
func (n *nodes) killTwo(s *stage, hold time.Duration) {
	two := n.two(s)
	n.endAll(s, two, func() {
		for _, x := range two {
			x.killLocked(s)
		}
		s.refusing(func() { sleep(s.ctx, hold) })
	})
}

// endAll has end end nodes, starts them again, and waits until all nodes take all for up. No other fault ends or pauses these meanwhile; while
// all are waited for it may: else one that has paused a node could wait for the next one, and this for the first.
func (n *nodes) endAll(s *stage, some []*target, end func()) {
	func() {
		for _, x := range some {
			x.mu.Lock()
			defer x.mu.Unlock()
		}
		end()
		n.launchLocked(s, some)
	}()
	n.awaitUp(s)
}

// launchLocked starts nodes, and waits until they are ready.
func (n *nodes) launchLocked(s *stage, some []*target) {
	for _, x := range some {
		x.Launch(s.t)
	}
	for _, x := range some {
		if err := catch(func() { x.AwaitReady(s.t) }); err != nil {
			n.mend(s, x, err)
		}
	}
}

// brokenTransaction is what a node says that does not start, as the logs of its compactions, which it does not sync, do not fit its tables
// after a power loss. Whoever operates it is to look into them.
const brokenTransaction = "due to a problem with transaction log files"

// mend starts a node again without the logs of its compactions, where it has ended for these: it has the tables from before then, and what
// there is of those that came of them.
func (n *nodes) mend(s *stage, x *target, err error) {
	if n.disk == nil || x.Running() || !strings.Contains(x.LogTail(), brokenTransaction) {
		s.must(err)
	}
	dir := filepath.Join(n.disk.Dir, "node"+strconv.Itoa(slices.Index(n.all, x)+1))
	logs, err := filepath.Glob(filepath.Join(dir, "data", "*", "*", "*_txn_*.log"))
	s.must(err)
	s.logf("node %d does not start for %d logs of compactions, which are removed", slices.Index(n.all, x)+1, len(logs))
	for _, path := range logs {
		s.must(os.Remove(path))
	}
	x.Launch(s.t)
	x.AwaitReady(s.t)
}

// awaitUp waits until all nodes take all for up. Another fault may be under way, and a node may not answer for that.
func (n *nodes) awaitUp(s *stage) {
	var err error
	for end := time.Now().Add(2 * testserver.Patience); s.ctx.Err() == nil && time.Now().Before(end); sleep(s.ctx, time.Second) {
		if err = catch(func() { n.c.AwaitUp(s.t) }); err == nil {
			return
		}
	}
	s.must(err)
}

// cutPower has all nodes lose their power at once, with what was not synced.
func (n *nodes) cutPower(s *stage, hold time.Duration) {
	n.endAll(s, n.all, func() {
		for _, x := range n.all {
			if x.Running() {
				x.Pause(s.t) // nothing is answered between the two
			}
		}
		n.disk.Cut(s.t)
		for _, x := range n.all {
			x.killLocked(s)
		}
		n.disk.Restore(s.t)
		sleep(s.ctx, hold/4)
	})
}

// openCassandra is three nodes: what they have answered for is in the commit logs of two.
func openCassandra(t *harness, c config) *site {
	n := startNodes(t, 3)
	st := &site{name: "cassandra", says: "an accepted message is in the commit logs of two Cassandra nodes of three (LOCAL_QUORUM, commitlog_sync batch)", shared: true,
		args: []string{"--store", n.keyspace(t, c, "ramen_alone")}, faults: append(n.faults(), serverFaults(true)...)}
	st.schedules = []schedule{
		{name: "stopped-owner-killed-continued", play: func(s *stage) { s.stopKillContinue(n.draw(s), true) }},
		{name: "rotten-tables", play: (*stage).gather, between: n.rot},
	}
	return st
}

// openCassandraOne is one node: while it is gone, publishes are refused.
func openCassandraOne(t *harness, c config) *site {
	n := startNodes(t, 1)
	st := &site{name: "cassandra-1", says: "an accepted message is in the commit log of one Cassandra node (commitlog_sync batch)", shared: true,
		args: []string{"--store", n.keyspace(t, c, "ramen_one")}, faults: append(n.faults(), serverFaults(true)...)}
	st.schedules = []schedule{{name: "stopped-owner-killed-continued", play: func(s *stage) { s.stopKillContinue(n.all[0], false) }}}
	return st
}

// openTiered is Redis in front of three nodes: whatever becomes of Redis, no publish is refused and nothing is lost.
func openTiered(t *harness, c config) *site {
	n := startNodes(t, 3)
	x := newRedisServer("cache", redistest.Single(t, redistest.Options{Proxied: true, Config: redistest.Config{"maxmemory-policy": "volatile-lru"}}))
	x.serves = true
	st := &site{name: "tiered", says: "an accepted message is in the commit logs of two Cassandra nodes of three, with a Redis in front of them", shared: true,
		args: []string{"--store", n.keyspace(t, c, "ramen_tiered"), "--cache", x.r.URL()}}
	cache := x.faults(judge.Span{Serves: true})
	st.faults = append(append(cache, n.faults()...), serverFaults(true)...)
	st.schedules = []schedule{
		{name: "late-script", play: func(s *stage) { s.lateScript(x) }},
		{name: "stopped-owner-killed-continued", play: func(s *stage) { s.stopKillContinue(&x.target, true) }},
		{name: "cut-owner-killed-healed", play: func(s *stage) { s.cutKillHeal(x, true) }},
		{name: "flushed-before-take-over", play: func(s *stage) { s.flushBeforeTakeOver(x, false) }},
	}
	st.short = st.schedules[1:2]
	return st
}

// openTieredCluster is a Redis Cluster in front of three nodes: a replica that is promoted has old mailboxes, which nobody may trust.
func openTieredCluster(t *harness, c config) *site {
	n := startNodes(t, 3)
	x := startCluster(t)
	st := &site{name: "tiered-cluster", says: "an accepted message is in the commit logs of two Cassandra nodes of three, with a Redis Cluster in front of them", shared: true,
		args: []string{"--store", n.keyspace(t, c, "ramen_clustered"), "--cache", x.c.URL()}}
	st.faults = append(append(x.faults(judge.Span{Serves: true}, false), n.faults()...), serverFaults(true)...)
	st.schedules = []schedule{x.promotedIdle(false)}
	st.short = st.schedules
	return st
}
