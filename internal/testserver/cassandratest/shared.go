package cassandratest

import (
	"os"
	"strings"
	"sync"

	"ramen/internal/testserver"
)

var shared struct {
	once sync.Once
	c    *Cluster // nil: it did not start, or was not to be
}

// Shared is one node for all tests of a process, or of all processes below the program Share, or the cluster that CASSANDRA_HOSTS names.
// It is not to be stopped or paused. Its tests have a TestMain by testserver.Main, which ends it.
func Shared(t testserver.TB) *Cluster {
	t.Helper()
	hosts, socket := os.Getenv("CASSANDRA_HOSTS"), os.Getenv(socketVariable)
	if hosts == "" && socket != "" {
		find(t) // or skip
		var err error
		if hosts, err = ask(socket); err != nil {
			t.Fatalf("cassandratest: ask for the shared node: %v", err)
		}
	}
	if hosts != "" {
		return &Cluster{Hosts: strings.Split(hosts, ",")}
	}
	in := find(t)
	shared.once.Do(func() {
		c, err := prepare(in, Options{})
		if err != nil {
			t.Fatalf("%v", err)
		}
		testserver.AtEnd(c.Close)
		c.start(t)
		shared.c = c
	})
	if shared.c == nil {
		t.Fatalf("cassandratest: the shared node did not start: the first test that asked for it says why")
	}
	return shared.c
}
