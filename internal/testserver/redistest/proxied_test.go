package redistest

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"ramen/internal/testserver/faultproxy"
)

// TestClientsAreLedThroughTheProxy of a server by its URL, and the test's own are not.
func TestClientsAreLedThroughTheProxy(t *testing.T) {
	s := Single(t, Options{Proxied: true, TLS: true})
	o, err := redis.ParseURL(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	o.TLSConfig = s.TLS()
	o.MaxRetries, o.DialerRetries = -1, 1
	if err := ping(t, o); err != nil {
		t.Fatal(err)
	}
	s.Proxy.Cut(t)
	if err := ping(t, o); err == nil {
		t.Error("a client was answered past the proxy")
	}
	if err := s.Client(t).Ping(t.Context()).Err(); err != nil {
		t.Error(err)
	}
}

// TestClusterLeadsClientsThroughProxies, and its nodes reach each other past them.
func TestClusterLeadsClientsThroughProxies(t *testing.T) {
	for _, kind := range Kinds {
		t.Run(string(kind), func(t *testing.T) {
			c := StartCluster(t, Options{Kind: kind, Proxied: true})
			client := c.Client(t)
			set(t, client, "key", "before")
			master, replicas := c.Serving(t, "key")
			master.Proxy.Swallow(t, faultproxy.Answers)
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			if err := client.Set(ctx, "key", "unheard", 0).Err(); err == nil {
				t.Error("a client was answered past the proxy")
			}
			if n, err := master.Client(t).Wait(t.Context(), 1, 0).Result(); n != 1 || err != nil {
				t.Errorf("its replica does not reach the master: %d, %v", n, err)
			}
			c.AwaitWhole(t)
			if now, _ := c.Serving(t, "key"); now != master {
				t.Error("the nodes do not reach the master")
			}
			master.Proxy.Heal(t)
			if got := get(t, client, "key"); got != "unheard" {
				t.Errorf("got %q", got)
			}
			for _, r := range replicas {
				if r.Proxy == nil {
					t.Error("a replica has no proxy")
				}
			}
		})
	}
}
