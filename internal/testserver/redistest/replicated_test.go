package redistest

import (
	"testing"

	"github.com/redis/go-redis/v9"
)

// eachOption runs a test with each kind of server, and with users and TLS.
func eachOption(t *testing.T, test func(t *testing.T, o Options)) {
	for name, o := range map[string]Options{
		"redis":        {},
		"redis,secret": {User: "ramen", Password: "secret", TLS: true},
		"valkey":       {Kind: Valkey, Password: "secret"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, o)
		})
	}
}

func set(t *testing.T, c redis.Cmdable, key, value string) {
	t.Helper()
	if err := c.Set(t.Context(), key, value, 0).Err(); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, c redis.Cmdable, key string) string {
	t.Helper()
	value, err := c.Get(t.Context(), key).Result()
	if err != nil && err != redis.Nil {
		t.Fatal(err)
	}
	return value
}

// TestReplicasFollow their master, but for one that was told to lag behind.
func TestReplicasFollow(t *testing.T) {
	eachOption(t, func(t *testing.T, o Options) {
		r := WithReplicas(t, o, 2)
		master := r.Master.Client(t)
		for i, value := range []string{"first", "second", "third"} {
			lagging := i == 1
			if lagging {
				r.Replicas[0].StopReplication(t)
			}
			set(t, master, "key", value)
			reached := int64(2)
			if lagging {
				reached = 1
			}
			if n, err := master.Wait(t.Context(), int(reached), 0).Result(); err != nil || n != reached {
				t.Fatalf("WAIT: %d, %v", n, err)
			}
			got := get(t, r.Replicas[0].Client(t), "key")
			if (got != value) != lagging {
				t.Errorf("the first replica has %q for %q", got, value)
			}
			if lagging {
				r.Replicas[0].ResumeReplication(t)
				r.Replicas[0].AwaitFollowing(t)
			}
		}
	})
}

// TestSentinelsPromoteAReplica, and the old master follows it once it is back.
func TestSentinelsPromoteAReplica(t *testing.T) {
	eachOption(t, func(t *testing.T, o Options) {
		w := WithSentinels(t, o, 2)
		if w.Current(t) != w.Master {
			t.Fatal("the sentinels begin with another master")
		}
		set(t, w.Master.Client(t), "key", "before")
		w.Master.Kill(t)
		promoted := w.AwaitPromoted(t, w.Master)
		set(t, promoted.Client(t), "key", "after")
		w.Master.Restart(t)
		w.Master.AwaitFollowing(t)
		if now := w.Current(t); now != promoted {
			t.Errorf("%s is master, and %s was promoted", now.Addr, promoted.Addr)
		}
		if got := get(t, w.Master.Client(t), "key"); got != "after" {
			t.Errorf("the old master has %q", got)
		}
	})
}
