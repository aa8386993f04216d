package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ramen/internal/netspace"
	"ramen/internal/testprocess"
	"ramen/internal/testserver"
	"ramen/loadtest/chaos/testbed"
	"ramen/loadtest/ledger/judge"
)

var binary string

// TestMain has the tests run in a network namespace of their own, where that is possible, so that they can cut members off from each other.
func TestMain(m *testing.M) {
	if netspace.Inside() {
		if err := netspace.Setup(); err != nil {
			panic(err)
		}
	} else if status, err := netspace.Relocated(); err == nil {
		os.Exit(status)
	}
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

// quick are faults of which several fit into a minute.
var quick = []string{"gateway-killed", "gateway-drained", "gateway-paused", "frontends-gateways-cut", "gateways-controllers-cut", "gateways-store-cut", "frontend-killed", "elected-killed", "redis-killed"}

// TestChaosForAMinute is the short form of make chaos: with one seed, where that draws others.
func TestChaosForAMinute(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes a minute")
	}
	c := defaults()
	c.bed.Cluster.Binary, c.Only, c.For, c.Dir, c.bed.Seed = binary, quick, 40*time.Second, t.TempDir(), 5
	if text := os.Getenv("RAMEN_TEST_SEED"); text != "" {
		var err error
		if c.bed.Seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("RAMEN_TEST_SEED: %v", err)
		}
	}
	t.Logf("RAMEN_TEST_SEED=%d", c.bed.Seed)
	c.bed.Progress = t.Output()
	c.bed.Network = network(t)
	var out bytes.Buffer
	status, err := chaos(t.Context(), c, &out)
	t.Logf("%s", &out)
	if err != nil {
		t.Fatal(err)
	}
	if status != 0 {
		t.Errorf("exit status %d", status)
	}
}

// network is one for a testbed; nil, and it is said why, where there can be none.
func network(t *testing.T) *netspace.Network {
	t.Helper()
	if !netspace.Inside() {
		t.Logf("members are not cut off from each other: %v", netspace.Possible())
		return nil
	}
	n, err := netspace.NewNetwork()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

// TestServerWithAFaultIsFound has members that break a promise on purpose, and what is done to them shows it.
func TestServerWithAFaultIsFound(t *testing.T) {
	testserver.Long(t)
	for _, c := range []struct {
		name string
		edit testprocess.Edit
		acts [][]testbed.Fault
		kind judge.Kind
	}{
		{"accepted_before_it_is_stored", testprocess.Edit{
			File: "gateway/commit.go",
			Old:  "g.store.Append(g.appendContext(a.began), a.batch[:len(a.steps)], a.answer)",
			New: `copied := make([]store.Append, len(a.steps))
	for i := range copied {
		copied[i] = a.batch[i]
		copied[i].Entries = append([]store.Entry(nil), a.batch[i].Entries...)
		copied[i].Kills = append([]store.Ref(nil), a.batch[i].Kills...)
		a.answer(i, nil)
	}
	g.store.Append(g.appendContext(a.began), copied, func(int, error) {})`,
		}, [][]testbed.Fault{{testbed.Named("redis-killed", 0, 2*time.Second), later(testbed.Named("gateway-killed", 0, 0)), later(testbed.Named("gateway-killed", 1, 0))}}, judge.Missing},
		{"ids_are_not_loaded", testprocess.Edit{
			File: "gateway/mailbox/mailbox.go", Old: "range kept.Seen {", New: "range kept.Seen[:0] {",
		}, [][]testbed.Fault{{testbed.Named("gateway-killed", 0, 0)}, {testbed.Named("gateway-drained", 1, 0)}, {testbed.Named("gateway-killed", 2, 0)}}, judge.Again},
	} {
		t.Run(c.name, func(t *testing.T) {
			faulty, err := testprocess.BuildEdited(filepath.Join("..", ".."), t.TempDir(), c.edit)
			if err != nil {
				t.Fatal(err)
			}
			cfg := testbed.Default()
			cfg.Cluster.Binary, cfg.Progress = faulty, t.Output()
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			defer cancel()
			b, err := testbed.Start(ctx, cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			for _, fs := range c.acts {
				if err := b.Inflict(fs...); err != nil {
					t.Fatal(err)
				}
			}
			l, err := b.Finish()
			if err != nil {
				t.Fatal(err)
			}
			r := judge.Judge(l)
			if r.Of(c.kind) == 0 {
				t.Errorf("no violation %q is found", c.kind)
			}
			var text bytes.Buffer
			r.Write(&text)
			judge.WriteViolations(&text, l, r, 1)
			t.Logf("found:\n%.4000s", &text)
		})
	}
}

func later(f testbed.Fault) testbed.Fault {
	f.After = 700 * time.Millisecond
	return f
}
