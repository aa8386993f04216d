package redistest

import (
	"fmt"
	"testing"
)

// TestClusterPromotesAReplica that lags behind, loses what the replica had not, and takes the old master back as a replica.
func TestClusterPromotesAReplica(t *testing.T) {
	eachOption(t, func(t *testing.T, o Options) {
		c := StartCluster(t, o)
		client := c.Client(t)
		set(t, client, "key", "replicated")
		old, replicas := c.Serving(t, "key")
		if n, err := old.Client(t).Wait(t.Context(), 1, 0).Result(); n != 1 || err != nil {
			t.Fatalf("WAIT: %d, %v", n, err)
		}
		replicas[0].StopReplication(t)
		set(t, client, "key", "lost")
		old.Kill(t)
		promoted := c.AwaitPromoted(t, "key", old)
		if promoted != replicas[0] {
			t.Fatalf("%s was promoted, not the replica", promoted.Addr)
		}
		promoted.ResumeReplication(t)
		old.Restart(t)
		c.AwaitWhole(t)
		if got := get(t, client, "key"); got != "replicated" {
			t.Errorf("got %q", got)
		}
	})
}

// TestSlotMoves under a client that goes on, with keys at both ends meanwhile.
func TestSlotMoves(t *testing.T) {
	eachOption(t, func(t *testing.T, o Options) {
		c := StartCluster(t, o)
		client := c.Client(t)
		const keys = 10
		for i := range keys {
			set(t, client, fmt.Sprintf("{tag}%d", i), "before")
		}
		from, _ := c.Serving(t, "{tag}")
		to := c.Nodes[0]
		if to == from {
			to = c.Nodes[1]
		}
		m := c.BeginMove(t, "{tag}", to)
		if left := m.MoveKeys(t, keys/2); left != keys/2 {
			t.Fatalf("%d keys are left", left)
		}
		for i := range keys {
			key := fmt.Sprintf("{tag}%d", i)
			if got := get(t, client, key); got != "before" {
				t.Errorf("%s is %q half way", key, got)
			}
			set(t, client, key, "half way")
		}
		m.End(t)
		c.AwaitWhole(t)
		if now, _ := c.Serving(t, "{tag}"); now != to {
			t.Errorf("%s serves it", now.Addr)
		}
		for i := range keys {
			if got := get(t, client, fmt.Sprintf("{tag}%d", i)); got != "half way" {
				t.Errorf("key %d is %q", i, got)
			}
		}
	})
}
