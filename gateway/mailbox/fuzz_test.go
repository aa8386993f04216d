package mailbox_test

import (
	"os"
	"strconv"
	"testing"
	"time"

	"ramen/gateway/mailbox/mailboxtest"
)

// TestMailboxAgainstModel: whatever is done to a mailbox, it pushes, keeps, counts and has written what the model says.
func TestMailboxAgainstModel(t *testing.T) {
	seed, rounds := uint64(time.Now().UnixNano()), 100
	if s := os.Getenv("RAMEN_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal("RAMEN_SEED must be a number")
		}
		seed, rounds = n, 1
	}
	t.Logf("seed %d", seed)
	for i := range rounds {
		at := seed + uint64(i)
		if !t.Run("", func(t *testing.T) { newFixture(t, mailboxtest.RandomData(at, 200, 1700)).run() }) {
			t.Fatalf("again with RAMEN_SEED=%d", at)
		}
	}
}

// FuzzMailbox is TestMailboxAgainstModel with what the fuzzer makes of it. Maps are walked in any order, so that no two runs cover the
// same: give -fuzzminimizetime 1x.
func FuzzMailbox(f *testing.F) {
	for seed := range uint64(8) {
		f.Add(mailboxtest.RandomData(seed, 200, 1700))
	}
	f.Fuzz(func(t *testing.T, data []byte) { newFixture(t, data[:min(len(data), 4096)]).run() })
}
