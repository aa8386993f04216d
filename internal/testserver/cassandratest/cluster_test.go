package cassandratest

import (
	"errors"
	"os"
	"testing"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"

	"ramen/internal/testserver"
)

// TestClusterGoesOnWithoutANode that is paused, killed or stopped, refuses what needs it, and takes it back.
func TestClusterGoesOnWithoutANode(t *testing.T) {
	testserver.Long(t)
	began := time.Now()
	c := Start(t, Options{Nodes: 3, Proxied: true, Settings: map[string]any{
		"commitlog_sync": "batch", "commitlog_sync_period": nil, "write_request_timeout": "500ms"}})
	t.Logf("three nodes are up after %v", time.Since(began))
	s := c.Nodes[0].Session(t, c.Keyspace(t))
	if err := s.Query("CREATE TABLE t (k int PRIMARY KEY)").Exec(); err != nil {
		t.Fatal(err)
	}
	write := func(k int, level gocql.Consistency) error {
		return s.Query("INSERT INTO t (k) VALUES (?)", k).Consistency(level).Idempotent(true).Exec()
	}
	clientsAreLedThroughProxies(t, c)
	node := c.Nodes[2]
	back := func(t testserver.TB) { node.Restart(t) }
	for k, way := range []struct {
		name      string
		end, back func(testserver.TB)
	}{
		{"paused", node.Pause, node.Continue},
		{"killed", node.Kill, back},
		{"stopped", node.Stop, back},
	} {
		if err := write(k, gocql.All); err != nil {
			t.Fatalf("before one was %s: %v", way.name, err)
		}
		way.end(t)
		if err := write(k, gocql.Quorum); err != nil {
			t.Errorf("with one %s, a quorum: %v", way.name, err)
		}
		if err := write(k, gocql.All); err == nil {
			t.Errorf("with one %s, all have written", way.name)
		}
		began := time.Now()
		way.back(t)
		c.AwaitUp(t)
		t.Logf("the one that was %s is up after %v", way.name, time.Since(began))
	}
}

// TestNodeKeepsItsData over a kill, and goes with its test.
func TestNodeKeepsItsData(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped: a node of its own is too much for -short")
	}
	var node *Node
	t.Run("test", func(t *testing.T) {
		c := Start(t, Options{Settings: map[string]any{"commitlog_sync": "group", "commitlog_sync_group_window": "2ms", "commitlog_sync_period": nil}})
		node = c.Nodes[0]
		keyspace := c.Keyspace(t)
		s := c.Session(t, keyspace)
		for _, statement := range []string{"CREATE TABLE t (k int PRIMARY KEY)", "INSERT INTO t (k) VALUES (7)"} {
			if err := s.Query(statement).Exec(); err != nil {
				t.Fatal(err)
			}
		}
		node.Kill(t)
		node.Restart(t)
		var k int
		if err := c.Session(t, keyspace).Query("SELECT k FROM t").Scan(&k); err != nil || k != 7 {
			t.Error(k, err)
		}
		var sync string
		if err := c.Session(t, "").Query("SELECT value FROM system_views.settings WHERE name = 'commitlog_sync'").Scan(&sync); err != nil || sync != "group" {
			t.Errorf("commitlog_sync is %q, %v", sync, err)
		}
	})
	if node == nil {
		return // skipped
	}
	if node.Running() {
		t.Error("it runs")
	}
	if _, err := os.Stat(node.Dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its folder is left: %v", err)
	}
}

// clientsAreLedThroughProxies: who begins with one node finds the others by their proxies.
func clientsAreLedThroughProxies(t *testing.T, c *Cluster) {
	t.Helper()
	config := gocql.NewCluster(c.Hosts[0])
	config.ProtoVersion = 4
	config.Timeout = answerWithin
	s, err := config.CreateSession()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	found := make(map[string]bool)
	for _, h := range s.GetHosts() {
		found[h.ConnectAddress().String()] = true
	}
	for _, host := range c.Hosts {
		if !found[host] {
			t.Errorf("a client was led to %v, not %s", found, host)
		}
	}
	for _, n := range c.Nodes {
		n.Proxy.Cut(t)
	}
	if err := s.Query("SELECT key FROM system.local").Exec(); err == nil {
		t.Error("a client was answered past the proxies")
	}
	for _, n := range c.Nodes {
		n.Proxy.Heal(t)
	}
}
