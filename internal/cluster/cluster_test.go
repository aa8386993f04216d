package cluster

import (
	"bytes"
	"cmp"
	"errors"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ramen/internal/localcluster"
	"ramen/internal/testprocess"
	"ramen/internal/testserver"
	"ramen/loadtest/chaos/testbed"
	"ramen/loadtest/ledger/judge"
)

var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "ramen-test-")
	if err == nil {
		binary, err = testprocess.Build(dir)
	}
	if err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(testserver.Main(m), goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(dir)
		os.Exit(code)
	}))
}

// bed is a cluster under load.
func bed(t *testing.T, edits ...func(*testbed.Config)) *testbed.Bed {
	t.Helper()
	if testing.Short() {
		t.Skip("it takes half a minute")
	}
	c := testbed.Default()
	c.Cluster.Binary = binary
	c.Seed = rand.Uint64()
	if text := os.Getenv("RAMEN_TEST_SEED"); text != "" {
		var err error
		if c.Seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("RAMEN_TEST_SEED: %v", err)
		}
	}
	t.Logf("RAMEN_TEST_SEED=%d", c.Seed)
	c.Progress = t.Output()
	for _, edit := range edits {
		edit(&c)
	}
	b, err := testbed.Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func inflict(t *testing.T, b *testbed.Bed, fs ...testbed.Fault) {
	t.Helper()
	if err := b.Inflict(fs...); err != nil {
		t.Fatal(err)
	}
}

// account has every device take what it is due, and judges all that was seen.
func account(t *testing.T, b *testbed.Bed) *judge.Log {
	t.Helper()
	l, err := b.Finish()
	if err != nil {
		t.Fatal(err)
	}
	r := judge.Judge(l)
	var text bytes.Buffer
	r.Write(&text)
	if !r.OK() {
		judge.WriteViolations(&text, l, r, 3)
		t.Errorf("%d violations", len(r.Violations))
	}
	for _, d := range b.Done() {
		y := testbed.LatencyWithin(l, d.From, d.To+d.Healed)
		t.Logf("%s: healed within %v; publish to push p99 %v, at most %v, of %d", d.Name, d.Healed.Round(time.Millisecond), y.P99.Round(time.Millisecond), y.Max.Round(time.Millisecond), y.Pushes)
	}
	t.Logf("\n%s", &text)
	return l
}

// TestGatewaysComeAndGo: a gateway is killed, drained and added under load. Streams stay open, nothing accepted is missing, and a drain and
// an addition refuse no publish.
func TestGatewaysComeAndGo(t *testing.T) {
	b := bed(t)
	inflict(t, b, testbed.Named("gateway-killed", 1, time.Second))
	inflict(t, b, testbed.Named("gateway-drained", 2, 0))
	inflict(t, b, testbed.Named("gateway-added", 0, 0))
	account(t, b)
}

// TestGatewayThatWasStoppedBeyondItsLease answers for nothing any more: others have its shards, and no id is accepted twice.
func TestGatewayThatWasStoppedBeyondItsLease(t *testing.T) {
	testserver.Long(t)
	b := bed(t)
	inflict(t, b, testbed.Named("gateway-paused", 0, 6*time.Second))
	account(t, b)
}

// TestControllersFail: the elected one is killed, all are away for longer than a lease, and their etcd is lost and made anew. Streams stay,
// nothing accepted is missing, and epochs go on.
func TestControllersFail(t *testing.T) {
	testserver.Long(t)
	b := bed(t)
	inflict(t, b, testbed.Named("elected-killed", 0, time.Second))
	inflict(t, b, testbed.Named("controllers-killed", 0, 5*time.Second))
	inflict(t, b, testbed.Named("etcd-wiped", 0, 0))
	account(t, b)
}

// TestEverythingIsRestarted one after the other, with a frontend killed before.
func TestEverythingIsRestarted(t *testing.T) {
	testserver.Long(t)
	b := bed(t)
	inflict(t, b, testbed.Named("frontend-killed", 0, time.Second))
	inflict(t, b, testbed.Named("rolling-restart", 0, 0))
	account(t, b)
}

// TestEverythingIsUpgraded from the commit before under load, one member after the other, and back, and again.
func TestEverythingIsUpgraded(t *testing.T) {
	testserver.Long(t)
	previous, name, err := localcluster.BuildCommit(t.Context(), cmp.Or(os.Getenv("UPGRADE_FROM"), "HEAD~1"), t.TempDir())
	if errors.Is(err, localcluster.ErrNoCommit) {
		t.Skipf("skipped: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("from %s", name)
	b := bed(t, func(c *testbed.Config) { c.Previous = previous })
	inflict(t, b, testbed.Named("upgraded", 0, 0))
	inflict(t, b, testbed.Named("upgraded", 0, 0))
	account(t, b)
}

// TestFaultsInPairs within the same second.
func TestFaultsInPairs(t *testing.T) {
	testserver.Long(t)
	b := bed(t)
	inflict(t, b, testbed.Named("gateway-killed", 0, time.Second), testbed.Named("elected-killed", 0, time.Second))
	inflict(t, b, testbed.Named("gateway-paused", 1, 6*time.Second), testbed.Named("redis-killed", 0, time.Second))
	inflict(t, b, testbed.Named("gateway-drained", 2, 0), testbed.Named("frontend-killed", 0, time.Second))
	account(t, b)
}
