package main

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"

	"ramen/internal/testserver"
	"ramen/internal/testserver/cassandratest"
	"ramen/internal/testserver/redistest"
)

// site is a store with its servers.
type site struct {
	name       string
	says       string // for the report
	url, cache string // empty: the embedded store, no cache
	servers    []*testserver.Server
	cluster    *cassandratest.Cluster // nil: none
	copies     int                    // of each row, in the cluster
}

const (
	embedded  = "embedded"
	oneNode   = "cassandra-1"
	nodes     = "cassandra-3"
	withCache = "tiered"
)

// siteNames are all, the one that others are compared with first.
var siteNames = []string{embedded, "redis-reply", "redis-fsync", "redis-replicas", oneNode, nodes, withCache}

// sites starts the servers of the stores with these names. What it starts ends with t.
func sites(t testserver.TB, c *config) (all []*site) {
	var three *cassandratest.Cluster // of both that use three nodes
	cluster := func() *cassandratest.Cluster {
		if three == nil {
			three = cassandratest.Start(t, cassandratest.Options{Nodes: 3, NeverKilled: true, Settings: batch})
		}
		return three
	}
	for _, name := range siteNames {
		if !slices.Contains(c.Sites, name) {
			continue
		}
		t.Logf("start %s", name)
		switch name {
		case embedded:
			all = append(all, &site{name: name, says: "embedded (pebble)"})
		case "redis-reply":
			r := redistest.Single(t, redistest.Options{})
			all = append(all, &site{name: name, says: "Redis, `durability=reply`, no AOF", url: r.URL(), servers: []*testserver.Server{r.Server}})
		case "redis-fsync":
			r := redistest.Single(t, redistest.Options{Config: redistest.Config{"appendonly": "yes", "appendfsync": "always"}})
			all = append(all, &site{name: name, says: "Redis, `durability=fsync`, `appendfsync always`", url: r.URL() + "?durability=fsync", servers: []*testserver.Server{r.Server}})
		case "redis-replicas":
			r := redistest.WithReplicas(t, redistest.Options{}, 1)
			all = append(all, &site{name: name, says: "Redis, `durability=replicas`, master and one replica", url: r.Master.URL() + "?durability=replicas&replicas=1", servers: redisServers(r.Servers())})
		case oneNode:
			one := cassandratest.Start(t, cassandratest.Options{NeverKilled: true, Settings: batch})
			all = append(all, &site{name: name, says: "Cassandra, one node, `commitlog_sync batch`", url: keyspace(t, c, one, "ramen_one", 1), servers: nodeServers(one), cluster: one, copies: 1})
		case nodes:
			all = append(all, &site{name: name, says: "Cassandra, three nodes, three copies", url: keyspace(t, c, cluster(), "ramen_three", 3), servers: nodeServers(cluster()),
				cluster: cluster(), copies: 3})
		case withCache:
			r := redistest.Single(t, redistest.Options{Config: redistest.Config{"maxmemory-policy": "volatile-lru"}})
			all = append(all, &site{name: name, says: "tiered: Redis before those three nodes", url: keyspace(t, c, cluster(), "ramen_tiered", 3), cache: r.URL(),
				servers: append(nodeServers(cluster()), r.Server), cluster: cluster(), copies: 3})
		}
	}
	return all
}

// place is where the nth server of several has its data, on the servers of the store: a keyspace, and in the cache keys, of its own.
func (s *site) place(b *bench, n int) (url, cache string, err error) {
	if n == 0 {
		return s.url, s.cache, nil
	}
	if cache = s.cache; cache != "" {
		cache = fmt.Sprintf("%s?prefix=server%d", cache, n)
	}
	err = testserver.Do(func() {
		url = keyspace(b.h, b.c, s.cluster, fmt.Sprintf("ramen_%s_%d", strings.ReplaceAll(s.name, "-", "_"), n), s.copies)
	})
	return url, cache, err
}

// batch has a node answer for a write once it is on its disk.
var batch = map[string]any{"commitlog_sync": "batch", "commitlog_sync_period": nil}

// initTries is how often store init is called, which fails where nodes that have just started do not answer in time.
const initTries = 5

// keyspace makes one with so many copies, and answers the URL of a store in it.
func keyspace(t testserver.TB, c *config, cluster *cassandratest.Cluster, name string, copies int) string {
	url := fmt.Sprintf("%s&replication=%d", cluster.URL(name), copies)
	var said []byte
	var err error
	for range initTries {
		if said, err = exec.Command(c.Binary, "store", "init", url).CombinedOutput(); err == nil {
			return url
		}
	}
	t.Fatalf("stores: ramen store init %s: %w: %s", url, err, said)
	return ""
}

func nodeServers(c *cassandratest.Cluster) (all []*testserver.Server) {
	for _, n := range c.Nodes {
		all = append(all, n.Server)
	}
	return all
}

func redisServers(servers []*redistest.Server) (all []*testserver.Server) {
	for _, s := range servers {
		all = append(all, s.Server)
	}
	return all
}

// pids are the processes of the store's servers.
func (s *site) pids(t testserver.TB) (all []int) {
	for _, server := range s.servers {
		all = append(all, server.PID(t))
	}
	return all
}

// known reports what is wrong with a list of names.
func known(names, of []string, what string) error {
	for _, name := range names {
		if !slices.Contains(of, name) {
			return fmt.Errorf("stores: there is no %s %q: use %s", what, name, strings.Join(of, ", "))
		}
	}
	return nil
}
