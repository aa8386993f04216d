package cassandratest

import (
	"os"
	"strings"
	"sync"

	"ramen/internal/testserver"
)

// hostsVariable names a Cassandra of somebody else, which tests use and do not start: host,host.
const hostsVariable = "CASSANDRA_HOSTS"

var shared struct {
	once sync.Once
	c    *Cluster // nil: it did not start, or was not to be
}

// Shared is one node for all tests of a process, or of all processes below the program Share, or the cluster that CASSANDRA_HOSTS names.
// It is not to be killed, stopped or paused. Its tests have a TestMain by testserver.Main, which ends it.
func Shared(t testserver.TB) *Cluster {
	t.Helper()
	if hosts := os.Getenv(hostsVariable); hosts != "" {
		return elsewhere(t, strings.Split(hosts, ","))
	}
	if socket := os.Getenv(socketVariable); socket != "" {
		find(t) // or skip
		hosts, err := ask(socket)
		if err != nil {
			t.Fatalf("cassandratest: ask for the shared node: %v", err)
		}
		return &Cluster{Hosts: strings.Split(hosts, ","), datacenter: Datacenter, lasts: true}
	}
	in := find(t)
	shared.once.Do(func() {
		c, err := prepare(in, Options{NeverKilled: true})
		if err != nil {
			t.Fatalf("%v", err)
		}
		c.lasts = true
		testserver.AtEnd(c.Close)
		c.start(t)
		shared.c = c
	})
	if shared.c == nil {
		t.Fatalf("cassandratest: the shared node did not start: the first test that asked for it says why")
	}
	return shared.c
}

// elsewhere is the cluster at hosts, of which the first that answers says which datacenter it is in.
func elsewhere(t testserver.TB, hosts []string) *Cluster {
	t.Helper()
	c := &Cluster{Hosts: hosts, lasts: true}
	s, err := session("", hosts...)
	if err == nil {
		defer s.Close()
		err = s.Query("SELECT data_center FROM system.local").Scan(&c.datacenter)
	}
	if err != nil {
		t.Fatalf("cassandratest: connect to %v, which %s names: %v", hosts, hostsVariable, err)
	}
	return c
}
