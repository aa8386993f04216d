package main

import (
	"os/exec"
	"time"

	"ramen/internal/testdisk"
	"ramen/internal/testserver"
	"ramen/internal/testserver/cassandratest"
	"ramen/internal/testserver/faultproxy"
	"ramen/internal/testserver/redistest"
	"ramen/loadtest/ledger/judge"
)

// nodes are three Cassandra nodes that have a copy of everything each. A process that is killed has all in its commit log, and so has a
// machine without power: commitlog_sync is batch.
type nodes struct {
	c    *cassandratest.Cluster
	all  []*target
	of   map[*target]*cassandratest.Node
	disk *testdisk.Disk // of all of them; nil: there is none
}

// startNodes starts a Cassandra of three nodes, which all sites share.
func startNodes(t *host) *nodes {
	if t.nodes != nil {
		return t.nodes
	}
	settings := map[string]any{"commitlog_sync": "batch", "commitlog_sync_period": nil}
	n := &nodes{disk: tryDisk(t), of: make(map[*target]*cassandratest.Node)}
	dir := ""
	if n.disk != nil {
		dir = n.disk.Dir
	}
	n.c = cassandratest.Start(t, cassandratest.Options{Nodes: 3, Proxied: true, Settings: settings, DataDir: dir})
	for _, node := range n.c.Nodes {
		x := &target{Server: node.Server, name: "node"}
		n.all, n.of[x] = append(n.all, x), node
	}
	t.nodes = n
	return n
}

// initTries is how often store init is called, which fails where nodes that have just started do not answer in time.
const initTries = 5

// keyspace makes one, and answers the URL of a store in it.
func (n *nodes) keyspace(t *host, c config, name string) string {
	url := n.c.URL(name)
	var said []byte
	var err error
	for range initTries {
		if said, err = exec.Command(c.Binary, "store", "init", url).CombinedOutput(); err == nil {
			if c.Short { // a machine that runs other tests, too, does not answer in 150 ms
				url += "&timeout=1s"
			}
			return url
		}
	}
	t.Fatalf("faults: ramen store init %s: %w: %s", url, err, said)
	return ""
}

// faults are those of the nodes: one of them is gone, and the others go on; two of them are, and publishes are refused.
func (n *nodes) faults() []fault {
	serves, owner := judge.Span{Serves: true}, judge.Span{Owner: true}
	all := []fault{
		{name: "node-paused", excuses: serves, do: func(s *stage, hold time.Duration) { n.draw(s).pauseFor(s, hold); n.c.AwaitUp(s.t) }},
		{name: "node-killed", excuses: serves, do: func(s *stage, hold time.Duration) { n.draw(s).restart(s, 4*hold); n.c.AwaitUp(s.t) }},
		{name: "node-cut", excuses: serves, do: func(s *stage, hold time.Duration) { n.proxy(s, hold, (*faultproxy.Proxy).Cut) }},
		{name: "node-slow", excuses: serves, do: func(s *stage, hold time.Duration) {
			n.proxy(s, hold, func(p *faultproxy.Proxy, t testserver.TB) { p.Delay(t, faultproxy.Answers, 500*time.Millisecond) })
		}},
		{name: "node-silent", excuses: serves, do: func(s *stage, hold time.Duration) {
			n.proxy(s, hold, func(p *faultproxy.Proxy, t testserver.TB) { p.Swallow(t, faultproxy.Answers) })
		}},
		{name: "two-nodes-paused", excuses: owner, do: func(s *stage, hold time.Duration) { n.two(s, func(x *target) { x.pauseFor(s, hold) }) }},
		{name: "two-nodes-killed", excuses: owner, long: true, do: func(s *stage, hold time.Duration) { n.two(s, func(x *target) { x.restart(s, 4*hold) }) }},
	}
	if n.disk != nil {
		all = append(all, fault{name: "nodes-without-power", excuses: owner, long: true, do: n.cutPower})
	}
	return all
}

// proxy does something to the connections of clients to a node, for a while.
func (n *nodes) proxy(s *stage, hold time.Duration, do func(*faultproxy.Proxy, testserver.TB)) {
	p := n.of[n.draw(s)].Proxy
	do(p, s.t)
	sleep(s.ctx, hold)
	p.Heal(s.t)
}

// draw is a node.
func (n *nodes) draw(s *stage) *target { return n.all[s.draw(len(n.all))] }

// two does something to all nodes but one, at once.
func (n *nodes) two(s *stage, do func(*target)) {
	spared := n.draw(s)
	var failed error
	done := make(chan error)
	for _, x := range n.all {
		if x != spared {
			go func() { done <- catch(func() { do(x) }) }()
		}
	}
	for range len(n.all) - 1 {
		if err := <-done; err != nil {
			failed = err
		}
	}
	s.must(failed)
	n.c.AwaitUp(s.t)
}

// cutPower has all nodes lose their power at once, with what was not synced.
func (n *nodes) cutPower(s *stage, hold time.Duration) {
	for _, x := range n.all {
		x.mu.Lock()
		defer x.mu.Unlock()
	}
	for _, x := range n.all {
		if x.Running() {
			x.Pause(s.t) // nothing is answered between the two
		}
	}
	n.disk.Cut(s.t)
	for _, x := range n.all {
		if x.Running() {
			x.Kill(s.t)
		}
	}
	n.disk.Restore(s.t)
	sleep(s.ctx, hold/4)
	for _, x := range n.all {
		x.Launch(s.t)
	}
	for _, x := range n.all {
		x.AwaitReady(s.t)
	}
	n.c.AwaitUp(s.t)
}

// openCassandra is three nodes: what they have answered for is in the commit logs of two.
func openCassandra(t *host, c config) *site {
	n := startNodes(t)
	st := &site{name: "cassandra", says: "an accepted message is in the commit logs of two Cassandra nodes of three (LOCAL_QUORUM, commitlog_sync batch)", shared: true,
		args: []string{"--store", n.keyspace(t, c, "ramen_alone")}, faults: append(n.faults(), serverFaults(true)...)}
	st.schedules = []schedule{
		{name: "stopped-owner-killed-continued", play: func(s *stage) { s.stopKillContinue(n.draw(s)) }},
		{name: "rotten-tables", play: (*stage).gather, between: n.rot},
	}
	return st
}

// openTiered is Redis in front of three nodes: whatever becomes of Redis, no publish is refused and nothing is lost.
func openTiered(t *host, c config) *site {
	n := startNodes(t)
	x := newRedisServer("cache", redistest.Single(t, redistest.Options{Proxied: true, Config: redistest.Config{"maxmemory-policy": "volatile-lru"}}))
	st := &site{name: "tiered", says: "an accepted message is in the commit logs of two Cassandra nodes of three, with a Redis in front of them", shared: true,
		args: []string{"--store", n.keyspace(t, c, "ramen_tiered"), "--cache", x.r.URL()}}
	cache := x.faults(judge.Span{Serves: true})
	st.faults = append(append(cache, n.faults()...), serverFaults(true)...)
	st.schedules = []schedule{
		{name: "late-script", play: func(s *stage) { s.lateScript(x) }},
		{name: "stopped-owner-killed-continued", play: func(s *stage) { s.stopKillContinue(&x.target) }},
		{name: "flushed-before-take-over", play: func(s *stage) { s.flushBeforeTakeOver(x, false) }},
	}
	st.short = st.schedules[1:2]
	return st
}
