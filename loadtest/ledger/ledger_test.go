package main

import (
	"bytes"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ramen/internal/testprocess"
	"ramen/internal/testserver"
	"ramen/internal/testserver/cassandratest"
	"ramen/internal/testserver/redistest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(testserver.Main(m)) }

// TestLedgerUnderKill is the short form of make ledger: the shipped binary, a few kills, some thousand messages.
func TestLedgerUnderKill(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes half a minute")
	}
	account(t, short(t))
}

// TestLedgerOfAStoreElsewhere has the server start on an empty folder each time: all that comes back is the store's.
func TestLedgerOfAStoreElsewhere(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes half a minute a store")
	}
	t.Run("redis", func(t *testing.T) {
		r := redistest.Single(t, redistest.Options{Config: redistest.Config{"appendonly": "yes", "appendfsync": "always"}})
		c := short(t)
		c.Store = r.URL() + "?durability=fsync"
		account(t, c)
	})
	t.Run("redis-cluster", func(t *testing.T) {
		testserver.Long(t)
		c := short(t)
		c.Store = redistest.SharedCluster(t).URL(t)
		account(t, c)
	})
	t.Run("cassandra", func(t *testing.T) {
		testserver.Long(t)
		c := short(t)
		c.Store = keyspace(t, c.Binary)
		account(t, c)
	})
	t.Run("tiered", func(t *testing.T) {
		testserver.Long(t)
		c := short(t)
		c.Store, c.Cache = keyspace(t, c.Binary), redistest.Shared(t).URL(t)
		account(t, c)
	})
}

// keyspace is the URL of a store in a keyspace of the test's own.
func keyspace(t *testing.T, binary string) string {
	n := cassandratest.Shared(t)
	at := n.URL(n.KeyspaceName(t)) + "&replication=1"
	if said, err := exec.Command(binary, "store", "init", at).CombinedOutput(); err != nil {
		t.Fatalf("store init: %v: %s", err, said)
	}
	return at
}

// binary is the ramen that the tests run, built when it is first wanted.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "ramen-ledger-test-")
	if err != nil {
		return "", err
	}
	testserver.AtEnd(func() error { return os.RemoveAll(dir) })
	return testprocess.Build(dir)
})

// short is the run of make test.
func short(t *testing.T) config {
	c := defaults()
	var err error
	if c.Binary, err = binary(); err != nil {
		t.Fatal(err)
	}
	c.Dir, c.Seed = t.TempDir(), seed(t)
	c.Kills, c.Accept, c.For, c.Users, c.Quiet = 6, 3000, time.Minute, 16, time.Second
	c.MaxLife, c.Pause = 1500*time.Millisecond, 60*time.Millisecond
	c.Progress = &bytes.Buffer{}
	return c
}

func account(t *testing.T, c config) {
	var out bytes.Buffer
	status, err := ledger(t.Context(), c, &out)
	t.Logf("%s", &out)
	if err != nil {
		t.Fatal(err)
	}
	if status != 0 {
		t.Errorf("exit status %d", status)
	}
}

// seed is RAMEN_TEST_SEED, or one that is drawn.
func seed(t *testing.T) uint64 {
	s := rand.Uint64()
	if text := os.Getenv("RAMEN_TEST_SEED"); text != "" {
		var err error
		if s, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("RAMEN_TEST_SEED: %v", err)
		}
	}
	t.Logf("RAMEN_TEST_SEED=%d", s)
	return s
}
