package redis

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"ramen/internal/testserver"
	"ramen/internal/testserver/redistest"
	"ramen/store"
	"ramen/store/driver"
	"ramen/store/storetest"
)

func TestConformance(t *testing.T) {
	for _, kind := range redistest.Kinds {
		t.Run(string(kind), func(t *testing.T) {
			s := redistest.Single(t, redistest.Options{Kind: kind})
			storetest.Run(t, storetest.Config{
				Open: func(t *testing.T) func() store.Store { return opener(t, configOf(t, s)) },
				Stall: func(t *testing.T) (store.Store, func() func()) {
					return open(t, configOf(t, s)), func() func() {
						s.Pause(t)
						return func() { s.Continue(t) }
					}
				},
				Crash: func(t *testing.T) (func() store.Store, func() func() store.Store) {
					return crashing(t, syncing(kind), configOf)
				},
				Lose:      func(t *testing.T) (func() store.Store, func() func()) { return losing(t, kind) },
				Retention: time.Minute, ChecksLast: true,
			})
		})
	}
}

// TestConformanceOfTheSharedServer: of that which REDIS_URL names, where it is set: nothing is done to it but what a store does.
func TestConformanceOfTheSharedServer(t *testing.T) {
	if os.Getenv("REDIS_URL") == "" {
		t.Skip("REDIS_URL names no server; that of TestConformance is one of its own")
	}
	shared := redistest.Shared(t)
	storetest.Run(t, storetest.Config{
		Open: func(t *testing.T) func() store.Store {
			u, err := url.Parse(shared.URL(t))
			if err != nil {
				t.Fatal(err)
			}
			password, _ := u.User.Password()
			cfg, err := configFrom(driver.Params{URL: u, Password: password, Shards: 1024, IDRetention: time.Minute})
			if err != nil {
				t.Fatal(err)
			}
			return opener(t, cfg)
		},
		Retention: time.Minute, ChecksLast: true,
	})
}

// syncing is a server that writes its log before it replies.
func syncing(kind redistest.Kind) redistest.Options {
	return redistest.Options{Kind: kind, Config: redistest.Config{"appendonly": "yes", "appendfsync": "always"}}
}

// crashing is a place on a server that writes its log before it replies, and what another server makes of that log.
func crashing(t *testing.T, o redistest.Options, of func(testing.TB, *redistest.Server) Config) (func() store.Store, func() func() store.Store) {
	s := redistest.Single(t, o)
	cfg := of(t, s)
	cfg.Durability = Fsync
	return opener(t, cfg), func() func() store.Store {
		left := redistest.Single(t, o)
		left.Stop(t)
		const dir = "appendonlydir"
		if err := errors.Join(os.RemoveAll(filepath.Join(left.Dir, dir)), os.CopyFS(filepath.Join(left.Dir, dir), os.DirFS(filepath.Join(s.Dir, dir)))); err != nil {
			t.Fatal(err)
		}
		left.Start(t)
		cfg := cfg
		cfg.Addrs = []string{left.Addr}
		return opener(t, cfg)
	}
}

// losing is a place on a master whose replica is cut off, and then takes its place.
func losing(t *testing.T, kind redistest.Kind) (func() store.Store, func() func()) {
	r := redistest.WithReplicas(t, redistest.Options{Kind: kind}, 1)
	replica := r.Replicas[0]
	p := startProxy(t, r.Master.Addr)
	cfg := configOf(t, r.Master)
	cfg.Addrs = []string{p.addr()}
	return opener(t, cfg), func() func() {
		lag(t, r.Master, replica)
		return func() {
			promote(t, replica)
			p.turn(replica.Addr)
		}
	}
}

// lag has the replica have what the master has now, and no more.
func lag(t *testing.T, master, replica *redistest.Server) {
	t.Helper()
	awaitOffset(t, master, replica)
	replica.StopReplication(t)
}

// awaitOffset waits until the replica has what the master has now.
func awaitOffset(t *testing.T, master, replica *redistest.Server) {
	t.Helper()
	of := parseInfo(master.Client(t).Info(t.Context(), "replication").Val()).int("master_repl_offset")
	ctx, cancel := context.WithTimeout(t.Context(), testserver.Patience)
	defer cancel()
	c := replica.Client(t)
	if err := testserver.Await(ctx, func() error {
		text, err := c.Info(ctx, "replication").Result()
		if has := parseInfo(text).int("slave_repl_offset"); err == nil && has < of {
			err = fmt.Errorf("the replica is at %d of %d", has, of)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

func promote(t *testing.T, replica *redistest.Server) {
	t.Helper()
	if err := replica.Client(t).Do(t.Context(), "replicaof", "no", "one").Err(); err != nil {
		t.Fatal(err)
	}
}

func TestConformanceOfACluster(t *testing.T) {
	c := redistest.StartCluster(t, redistest.Options{})
	cfg := clusterConfig(t, c)
	storetest.Run(t, storetest.Config{
		Open: func(t *testing.T) func() store.Store {
			cfg := cfg
			cfg.Prefix = configOf(t, c.Nodes[0]).Prefix
			return opener(t, cfg)
		},
		Retention: time.Minute, ChecksLast: true,
	})
}

func clusterConfig(t testing.TB, c *redistest.Cluster) Config {
	cfg := configOf(t, c.Nodes[0])
	cfg.Mode, cfg.Addrs = Cluster, nil
	for _, n := range c.Nodes {
		cfg.Addrs = append(cfg.Addrs, n.Addr)
	}
	return cfg
}

func TestConformanceBySentinels(t *testing.T) {
	w := redistest.WithSentinels(t, redistest.Options{Password: "secret"}, 1)
	cfg := sentinelConfig(t, w)
	cfg.Durability = Replicas
	storetest.Run(t, storetest.Config{
		Open: func(t *testing.T) func() store.Store {
			cfg := cfg
			cfg.Prefix = configOf(t, w.Master).Prefix
			return opener(t, cfg)
		},
		Retention: time.Minute, ChecksLast: true,
	})
}

func sentinelConfig(t testing.TB, w *redistest.Watched) Config {
	cfg := configOf(t, w.Master)
	cfg.Mode, cfg.Addrs, cfg.Master = Sentinel, nil, w.Name
	for _, s := range w.Sentinels {
		cfg.Addrs = append(cfg.Addrs, s.Addr)
	}
	return cfg
}
