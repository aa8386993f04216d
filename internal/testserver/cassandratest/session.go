package cassandratest

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"

	"ramen/internal/testserver"
)

// answerWithin bounds a request of the tests' own, which may change the schema.
const answerWithin = 60 * time.Second

// Superuser is the name of the role that every new cluster begins with, and its password.
const Superuser = "cassandra"

// session connects to hosts, and to no others of their cluster, for what tests ask and change themselves.
func session(keyspace string, hosts ...string) (*gocql.Session, error) {
	c := gocql.NewCluster(hosts...)
	c.Keyspace = keyspace
	c.ProtoVersion = 4
	c.ConnectTimeout, c.Timeout = answerWithin, answerWithin
	c.NumConns = 1
	c.DisableInitialHostLookup = true                                                       // nodes may name proxies
	c.Authenticator = gocql.PasswordAuthenticator{Username: Superuser, Password: Superuser} // where nodes ask who it is
	c.Logger = gocql.NewLogger(gocql.LogLevelNone)
	return c.CreateSession()
}

// Session is a session for the test's own questions, closed at its end. An empty keyspace is none.
func (c *Cluster) Session(t testserver.TB, keyspace string) *gocql.Session {
	t.Helper()
	return openSession(t, keyspace, c.hosts()...)
}

// hosts are where tests themselves ask: the nodes, as far as they are ours.
func (c *Cluster) hosts() (all []string) {
	if len(c.Nodes) == 0 {
		return c.Hosts
	}
	for _, n := range c.Nodes {
		all = append(all, n.Host)
	}
	return all
}

func openSession(t testserver.TB, keyspace string, hosts ...string) *gocql.Session {
	t.Helper()
	s, err := session(keyspace, hosts...)
	if err != nil {
		t.Fatalf("cassandratest: connect to %v: %v", hosts, err)
	}
	t.Cleanup(s.Close)
	return s
}

// Session is a session that asks this node alone, closed at the test's end. An empty keyspace is none.
func (n *Node) Session(t testserver.TB, keyspace string) *gocql.Session {
	t.Helper()
	return openSession(t, keyspace, n.Host)
}

// KeyspaceName draws the name of a keyspace for a test, which the test itself creates. It is dropped at the end of the test, unless the
// cluster ends then: nodes that were killed may still be told what they have missed, and then refuse to drop it.
func (c *Cluster) KeyspaceName(t testserver.TB) string {
	t.Helper()
	name := "ramen_test_" + strconv.FormatUint(rand.Uint64(), 36)
	if !c.lasts {
		return name
	}
	t.Cleanup(func() {
		if err := c.exec("DROP KEYSPACE IF EXISTS " + name); err != nil && c.running() {
			t.Errorf("cassandratest: %v", err)
		}
	})
	return name
}

// Keyspace makes a keyspace for a test, with a copy on each node. It ends as one of KeyspaceName.
func (c *Cluster) Keyspace(t testserver.TB) string {
	t.Helper()
	name := c.KeyspaceName(t)
	if err := c.exec(fmt.Sprintf("CREATE KEYSPACE %s WITH replication = {'class': 'NetworkTopologyStrategy', '%s': %d}",
		name, c.datacenter, len(c.Hosts))); err != nil {
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

// exec has one statement done, over a session of its own: nodes may have come and gone since the last.
func (c *Cluster) exec(statement string) error {
	s, err := session("", c.hosts()...)
	if err != nil {
		return fmt.Errorf("connect to %v: %w", c.hosts(), err)
	}
	defer s.Close()
	if err := s.Query(statement).Exec(); err != nil {
		return fmt.Errorf("%s: %w", statement, err)
	}
	return nil
}
