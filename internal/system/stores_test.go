package system

import (
	"context"
	"slices"
	"testing"
	"time"

	"ramen/internal/app"
	"ramen/internal/testapp"
	"ramen/internal/testserver/cassandratest"
	"ramen/internal/testserver/redistest"
)

// The kinds of stores.
const (
	memory       = "memory"
	pebble       = "pebble"
	redis        = "redis"
	redisCluster = "redis-cluster"
	cassandra    = "cassandra"
	tiered       = "tiered"
)

// elsewhere reports whether a store is on a server, which the tests share.
func elsewhere(store string) bool { return !slices.Contains(local, store) }

// patient has a store on Redis wait for a busy machine, and not for a server that is gone.
const patient = "&dial_timeout=5s"

// setStore has cfg use a store of that kind that nobody else uses, and that is empty.
func setStore(t testing.TB, cfg *app.Config, store string) {
	t.Helper()
	switch store {
	case redis:
		testapp.SetStore(t, cfg, redistest.Shared(t).URL(t)+patient)
	case redisCluster:
		testapp.SetStore(t, cfg, redistest.SharedCluster(t).URL(t)+patient)
	case cassandra:
		setKeyspace(t, cfg)
	case tiered:
		setKeyspace(t, cfg)
		if err := cfg.Store.Cache.UnmarshalText([]byte(redistest.Shared(t).URL(t) + patient)); err != nil {
			t.Fatal(err)
		}
	default:
		testapp.SetStore(t, cfg, store+":")
	}
}

// keyspaces bounds how many tests have one: a small node has other things to do as well.
var keyspaces = make(chan struct{}, 6)

// setKeyspace has cfg use a keyspace that is new.
func setKeyspace(t testing.TB, cfg *app.Config) {
	t.Helper()
	keyspaces <- struct{}{}
	t.Cleanup(func() { <-keyspaces })
	c := cassandratest.Shared(t)
	testapp.SetStore(t, cfg, c.URL(c.KeyspaceName(t))+"&replication=1&timeout=5s")
	p, err := cfg.Store.Place()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if _, err := p.Init(ctx, p.Params(cfg.StoreParams())); err != nil {
		t.Fatal(err)
	}
}

// keeps reports whether what the server has stored outlives it.
func (s *server) keeps() bool { return s.cfg.Store.URL.Scheme() != memory }
