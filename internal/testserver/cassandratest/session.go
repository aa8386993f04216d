package cassandratest

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"

	"ramen/internal/testserver"
)

// answerWithin bounds a request of the tests' own, which may change the schema.
const answerWithin = 60 * time.Second

// session connects to hosts, for what tests ask and change themselves.
func session(keyspace string, hosts ...string) (*gocql.Session, error) {
	c := gocql.NewCluster(hosts...)
	c.Keyspace = keyspace
	c.ProtoVersion = 4
	c.ConnectTimeout, c.Timeout = answerWithin, answerWithin
	c.NumConns = 1
	c.Logger = gocql.NewLogger(gocql.LogLevelNone)
	return c.CreateSession()
}

// Session is a session for the test's own questions, closed at its end. An empty keyspace is none.
func (c *Cluster) Session(t testserver.TB, keyspace string) *gocql.Session {
	t.Helper()
	s, err := session(keyspace, c.Hosts...)
	if err != nil {
		t.Fatalf("cassandratest: connect to %v: %v", c.Hosts, err)
	}
	t.Cleanup(s.Close)
	return s
}

// KeyspaceName draws the name of a keyspace for a test, which the test itself creates. It is dropped at the end of the test.
func (c *Cluster) KeyspaceName(t testserver.TB) string {
	t.Helper()
	name := "ramen_test_" + strconv.FormatUint(rand.Uint64(), 36)
	t.Cleanup(func() {
		if err := c.admin.exec(c.Hosts, "DROP KEYSPACE IF EXISTS "+name); err != nil && c.running() {
			t.Errorf("cassandratest: %v", err)
		}
	})
	return name
}

// Keyspace makes a keyspace for a test, with a copy on each node. It is dropped at the end of the test.
func (c *Cluster) Keyspace(t testserver.TB) string {
	t.Helper()
	name := c.KeyspaceName(t)
	if err := c.admin.exec(c.Hosts, fmt.Sprintf("CREATE KEYSPACE %s WITH replication = {'class': 'NetworkTopologyStrategy', '%s': %d}",
		name, Datacenter, len(c.Hosts))); err != nil {
		t.Fatalf("cassandratest: %v", err)
	}
	return name
}

// running reports whether all nodes run, as far as they are ours.
func (c *Cluster) running() bool {
	for _, n := range c.Nodes {
		if !n.Running() {
			return false
		}
	}
	return true
}

// admin is the session that makes and drops keyspaces. It is opened when it is first used.
type admin struct {
	mu sync.Mutex
	s  *gocql.Session
}

func (a *admin) exec(hosts []string, statement string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.s == nil {
		s, err := session("", hosts...)
		if err != nil {
			return fmt.Errorf("connect to %v: %w", hosts, err)
		}
		a.s = s
	}
	if err := a.s.Query(statement).Exec(); err != nil {
		return fmt.Errorf("%s: %w", statement, err)
	}
	return nil
}

func (a *admin) close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.s != nil {
		a.s.Close()
		a.s = nil
	}
	return nil
}
