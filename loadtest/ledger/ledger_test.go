package main

import (
	"bytes"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"ramen/internal/testprocess"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestLedgerUnderKill is the short form of make ledger: the shipped binary, a few kills, some thousand messages.
func TestLedgerUnderKill(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes half a minute")
	}
	dir := t.TempDir()
	c := defaults()
	binary, err := testprocess.Build(dir)
	if err != nil {
		t.Fatal(err)
	}
	c.Binary, c.Dir, c.Seed = binary, dir, seed(t)
	c.Kills, c.Accept, c.For, c.Users, c.Quiet = 6, 3000, time.Minute, 16, time.Second
	c.MaxLife, c.Pause = 1500*time.Millisecond, 60*time.Millisecond
	c.Progress = &bytes.Buffer{}
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
