// Package cassandratest runs Cassandra for tests: one node that the tests of a process share, or nodes of a test's own.
//
//	func TestMain(m *testing.M) { goleak.VerifyTestMain(testserver.Main(m)) }
//
//	c := cassandratest.Shared(t)
//	store := open(c.URL(c.Keyspace(t)))
//
// Jars come from Maven Central once, by Fetch, which scripts/test.sh calls; they are in testserver.CacheDir after that. A test is
// skipped where they or a Java 17 are missing. Where CASSANDRA_HOSTS names a Cassandra (host,host), Shared is that, and none is started for
// it; tests that kill nodes start their own in each case.
//
//  1. A cluster has a loopback network of its own, 127.a.b.0, in which node n is at 127.a.b.n; so all ports are Cassandra's usual ones.
//  2. A node is one process, the JVM, with a heap of 384 MiB. JMX is off.
//
// Goroutines: those of package testserver, and of gocql's sessions.
package cassandratest
