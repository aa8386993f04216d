package main

import (
	"fmt"
	"strings"
)

// site is a store with its servers, started once for all schedules.
type site struct {
	name      string
	says      string   // what an accepted message survives, for the report
	args      []string // of ramen serve
	shared    bool     // several processes may open the store
	fences    bool     // it fences appends of an older owner: a taker does not wait for its lease
	faults    []fault
	schedules []schedule // beside single faults and pairs
	short     []schedule // of these, what a short run has
}

// openers start a site each; what they start ends with t.
var openers = map[string]func(t *harness, c config) *site{
	"pebble":              openPebble,
	"redis":               openRedis,
	"redis-cluster":       openRedisCluster,
	"redis-everysec":      openRedisEverysec,
	"redis-cluster-reply": openRedisClusterReply,
	"cassandra-1":         openCassandraOne,
	"cassandra":           openCassandra,
	"tiered":              openTiered,
	"tiered-cluster":      openTieredCluster,
}

func open(t *harness, c config, name string) (st *site, err error) {
	start := openers[name]
	if start == nil {
		return nil, fmt.Errorf("faults: there is no store %q, but %s", name, strings.Join(siteNames(), ", "))
	}
	err = catch(func() { st = start(t, c) })
	return st, err
}

// siteNames are those of openers, in the order in which they run.
func siteNames() []string {
	return []string{"pebble", "redis", "redis-cluster", "cassandra-1", "cassandra", "tiered", "tiered-cluster", "redis-everysec", "redis-cluster-reply"}
}

// openPebble is the embedded store: a process that is killed is all that can be done to it here.
func openPebble(_ *harness, _ config) *site {
	return &site{name: "pebble", says: "an accepted message is on this machine's disk", faults: serverFaults(false), args: []string{"--store.pebble.checkpoint-every", "3s"}}
}
