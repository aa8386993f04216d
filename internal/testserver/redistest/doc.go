// Package redistest runs Redis and Valkey for tests: a single server, a master with replicas, Sentinel, Cluster.
//
// The binaries are redis-server and valkey-server of the PATH, or of the cache that scripts/test.sh fills. A test is skipped where
// there is none.
//
//	s := redistest.Single(t, redistest.Options{Config: redistest.Config{"appendonly": "yes", "appendfsync": "always"}})
//	store := open(s.URL())
//	s.Pause(t)
//
// A test that needs a plain server only, and leaves it alone, has a place on one that all tests of its process share; where REDIS_URL names a
// server (redis://user:password@host:port/db), it is that one, and the test's keys are deleted there at its end:
//
//	store := open(redistest.Shared(t).URL(t))
//
// Ports and folders are each server's own, and are the same after a restart. Goroutines: those of package testserver.
package redistest
