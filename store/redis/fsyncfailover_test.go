package redis

import (
	"errors"
	"testing"
	"time"

	"ramen/internal/testserver/redistest"
	"ramen/protocol"
	"ramen/store"
	"ramen/store/storetest"
)

// TestFailOverToAWeakerServerAcceptsNothing: with durability=fsync the first thing that a server that has become the master is asked is whether
// it keeps that promise. Nothing is answered nil by one that does not.
func TestFailOverToAWeakerServerAcceptsNothing(t *testing.T) {
	for _, x := range []struct {
		name     string
		kind     redistest.Kind
		replica  map[string]string // its settings
		accepted bool              // once it has become the master
	}{
		{"WithoutALog", redistest.Redis, map[string]string{"appendonly": "no"}, false},
		{"SyncedBySecond", redistest.Redis, map[string]string{"appendfsync": "everysec"}, false},
		{"NotSyncedWhileRewritten", redistest.Redis, map[string]string{"no-appendfsync-on-rewrite": "yes"}, false},
		{"AsStrong", redistest.Redis, nil, true},
		{"WithWAITAOF", redistest.Valkey, map[string]string{"appendfsync": "everysec"}, true},
	} {
		t.Run(x.name, func(t *testing.T) {
			r := redistest.WithReplicas(t, redistest.Options{Kind: x.kind, Config: redistest.Config{"appendonly": "yes", "appendfsync": "always"}}, 1)
			replica := r.Replicas[0]
			for k, v := range x.replica {
				if err := replica.Client(t).ConfigSet(t.Context(), k, v).Err(); err != nil {
					t.Fatal(err)
				}
			}
			p := startProxy(t, r.Master.Addr)
			cfg := configOf(t, r.Master)
			cfg.Addrs, cfg.Durability = []string{p.addr()}, Fsync
			s := open(t, cfg)
			claim(t, s, 1, "first", 1)
			f := &fixture{Store: s, t: t}
			f.mustAppend(step(0, entry("a", 1)))
			lag(t, r.Master, replica)
			promote(t, replica)
			p.turn(replica.Addr)
			var err error
			for range 3 {
				err = storetest.Append(within(t), s, []store.Append{step(1, entry("b", 2))})[0]
				if !x.accepted && err == nil {
					t.Fatal("an append was answered nil by a server that does not sync it")
				}
				if err == nil {
					break
				}
			}
			if x.accepted {
				if err != nil {
					t.Fatal(err)
				}
				if s.waitAOF.Load() != (x.replica != nil) {
					t.Error("WAITAOF is not asked for")
				}
				return
			}
			if !errors.Is(err, ErrUnfit) {
				t.Errorf("%v, want ErrUnfit", err)
			}
			awaitSo(t, "messages are refused", func() error {
				if s.Admit(protocol.PriorityHigh) == nil {
					return errors.New("they are taken")
				}
				return nil
			})
			if err := replica.Client(t).ConfigSet(t.Context(), "appendonly", "yes").Err(); err != nil {
				t.Fatal(err)
			}
			for k := range x.replica {
				v := map[string]string{"appendonly": "yes", "appendfsync": "always", "no-appendfsync-on-rewrite": "no"}[k]
				if err := replica.Client(t).ConfigSet(t.Context(), k, v).Err(); err != nil {
					t.Fatal(err)
				}
			}
			began := time.Now()
			awaitSo(t, "messages are taken again", func() error { return f.append(time.Second, step(1, entry("b", 2))) })
			t.Logf("taken again after %v", time.Since(began))
		})
	}
}
