package localcluster

import (
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

// Redis starts a Redis whose answers are durable, and answers it with the URL of the store in it.
func Redis(t testserver.TB) (*redistest.Server, string) {
	t.Helper()
	r := redistest.Single(t, redistest.Options{Config: redistest.Config{"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}})
	return r, r.URL() + "?durability=fsync"
}

// Cassandra starts a Cassandra of one node, prepares a keyspace by the binary, and answers the URL of the store in it.
func Cassandra(t testserver.TB, binary string) string {
	t.Helper()
	n := cassandratest.Start(t, cassandratest.Options{NeverKilled: true})
	at := n.URL("ramen") + "&replication=1&timeout=2s"
	if said, err := exec.Command(binary, "store", "init", at).CombinedOutput(); err != nil {
		t.Fatalf("localcluster: prepare the store: %v: %s", err, said)
	}
	return at
}
