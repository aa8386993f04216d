package gateway

import (
	"os"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestLifeOfShards: whatever the order of takes, releases, losses, fences, ends of leases, and calls under way: nothing of a shard is
// opened, acked, pushed, saved, written or accepted outside of its life, every stream is told, and nothing accepted is lost.
func TestLifeOfShards(t *testing.T) {
	seed, rounds := uint64(time.Now().UnixNano()), 40
	if s := os.Getenv("RAMEN_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal("RAMEN_SEED must be a number")
		}
		seed, rounds = n, 1
	}
	sum := make(map[string]int)
	for i := range rounds {
		at := seed + uint64(i)
		if !t.Run("", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newLifeCluster(t, at)
				var calls sync.WaitGroup
				for n := range 400 {
					c.step(n, &calls)
				}
				calls.Wait()
				time.Sleep(3 * time.Second)
				synctest.Wait()
				c.end()
				for what, n := range c.counts {
					sum[what] += n
				}
			})
		}) {
			t.Fatalf("again with RAMEN_SEED=%d", at)
		}
	}
	t.Logf("seed %d: %v", seed, sum)
	for _, what := range []string{"accepted", "not owner", "open", "lost", "to serving", "to releasing", "to lost", "to none"} {
		if rounds > 1 && sum[what] == 0 {
			t.Errorf("no schedule had %q: the test is of no use", what)
		}
	}
}
