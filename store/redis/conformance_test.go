package redis

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"ramen/internal/testserver"
	"ramen/internal/testserver/redistest"
	"ramen/store"
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
				Crash:     func(t *testing.T) (func() store.Store, func() func() store.Store) { return crashing(t, kind) },
				Lose:      func(t *testing.T) (func() store.Store, func() func()) { return losing(t, kind) },
				Retention: time.Minute, ChecksLast: true,
			})
		})
	}
}

// crashing is a place on a server that writes its log before it replies, and what another server makes of that log.
func crashing(t *testing.T, kind redistest.Kind) (func() store.Store, func() func() store.Store) {
	o := redistest.Options{Kind: kind, Config: redistest.Config{"appendonly": "yes", "appendfsync": "always"}}
	s := redistest.Single(t, o)
	cfg := configOf(t, s)
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
	master, replica := replicated(t, kind)
	p := startProxy(t, master.Addr)
	cfg := configOf(t, master)
	cfg.Addrs = []string{p.addr()}
	return opener(t, cfg), func() func() {
		cutOff(t, master, replica)
		return func() {
			if err := replica.Client(t).Do(t.Context(), "replicaof", "no", "one").Err(); err != nil {
				t.Fatal(err)
			}
			p.turn(replica.Addr)
		}
	}
}

// replicated is a master and its replica.
func replicated(t *testing.T, kind redistest.Kind) (master, replica *redistest.Server) {
	master = redistest.Single(t, redistest.Options{Kind: kind})
	replica = redistest.Single(t, redistest.Options{Kind: kind, Config: redistest.Config{"replicaof": strings.Replace(master.Addr, ":", " ", 1)}})
	await(t, "the replica follows", replica, func(info info) bool { return info["master_link_status"] == "up" })
	return master, replica
}

// cutOff has the replica have what the master has now, and no more.
func cutOff(t *testing.T, master, replica *redistest.Server) {
	of := parseInfo(master.Client(t).Info(t.Context(), "replication").Val())
	await(t, "the replica has all", replica, func(info info) bool { return info["slave_repl_offset"] >= of["master_repl_offset"] })
	c := replica.Client(t)
	if err := errors.Join(c.ConfigSet(t.Context(), "masterauth", "not the password").Err(),
		c.ClientKillByFilter(t.Context(), "TYPE", "master").Err()); err != nil {
		t.Fatal(err)
	}
	await(t, "the replica is cut off", replica, func(info info) bool { return info["master_link_status"] == "down" })
}

// await waits until what a server says of its replication is so.
func await(t *testing.T, what string, s *redistest.Server, is func(info) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testserver.Patience)
	defer cancel()
	c := goredis.NewClient(s.ClientOptions())
	defer c.Close()
	if err := testserver.Await(ctx, func() error {
		text, err := c.Info(ctx, "replication").Result()
		if err == nil && !is(parseInfo(text)) {
			err = errors.New("not yet")
		}
		return err
	}); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}
