package localcluster

import (
	"fmt"
	"os/exec"

	"ramen/internal/testserver"
	"ramen/internal/testserver/cassandratest"
	"ramen/internal/testserver/redistest"
)

// Config says what a cluster is of.
type Config struct {
	Binary      string // ramen
	Controllers int    // 1, 3 or 5
	Gateways    int
	Frontends   int
	// Store is the URL of a store that is there and prepared. Empty: a Redis of the cluster's own, which fsyncs before it answers.
	Store string
	// LogLevel is that of all members; empty: info.
	LogLevel string
	// Args are more arguments of members of a role.
	Args map[Role][]string
	// Place is where a member runs, by its name; nil: here, at 127.0.0.1.
	Place func(name string) (*testserver.Place, error)
}

// Role is what a member does.
type Role string

// The roles.
const (
	Controller Role = "controller"
	Gateway    Role = "gateway"
	Frontend   Role = "frontend"
)

func (c *Config) logLevel() string {
	if c.LogLevel == "" {
		return "info"
	}
	return c.LogLevel
}

// onDisk has a Redis answer for what is on its disk.
var onDisk = redistest.Config{"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}

// Redis starts a Redis whose answers are durable, and answers it with the URL of the store in it.
func Redis(t testserver.TB, at *testserver.Place) (*redistest.Server, string) {
	t.Helper()
	r := redistest.Single(t, redistest.Options{Config: onDisk, Place: at})
	return r, r.URL() + "?durability=fsync"
}

// RedisCluster starts a Redis Cluster of three masters with a replica each, and answers it with the URL of a store in it that answers for
// what a replica has, too: the death of any server loses nothing.
func RedisCluster(t testserver.TB, at *testserver.Place) (*redistest.Cluster, string) {
	t.Helper()
	c := redistest.StartCluster(t, redistest.Options{Config: redistest.Config{"appendonly": "yes", "maxmemory-policy": "noeviction"}, Place: at})
	return c, c.URL() + "?durability=replicas&replicas=1"
}

// Cassandra starts a Cassandra of 1 or 3 nodes, which have what they answered for in their commit logs, prepares a keyspace with a copy on
// each by the binary, and answers it with the URL of the store in it.
func Cassandra(t testserver.TB, binary string, nodes int, at *testserver.Place) (*cassandratest.Cluster, string) {
	t.Helper()
	c := cassandratest.Start(t, cassandratest.Options{Nodes: nodes, Place: at, Settings: map[string]any{"commitlog_sync": "batch", "commitlog_sync_period": nil}})
	url := fmt.Sprintf("%s&replication=%d&timeout=2s", c.URL("ramen"), nodes)
	if said, err := exec.Command(binary, "store", "init", url).CombinedOutput(); err != nil {
		t.Fatalf("localcluster: prepare the store: %v: %s", err, said)
	}
	return c, url
}
