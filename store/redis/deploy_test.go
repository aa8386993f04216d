package redis

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"ramen/internal/testserver/redistest"
	"ramen/protocol"
	"ramen/store"
	"ramen/store/driver"
	"ramen/store/storetest"
)

// The passwords that are put into the files of deploy/redis.
const (
	adminsPassword   = "of-operators"
	ramensPassword   = "of-ramen"
	replicasPassword = "of-replicas"
)

// deployed are the settings of files in deploy/redis as they stand there, but for passwords, and for where a server is.
func deployed(t *testing.T, files ...string) redistest.Config {
	t.Helper()
	all := make(redistest.Config)
	for _, file := range files {
		text, err := os.ReadFile(filepath.Join("../../deploy/redis", file))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			line = strings.TrimSpace(line)
			if line == "" || line[0] == '#' {
				continue
			}
			key, value, _ := strings.Cut(line, " ")
			if before, ok := all[key]; ok {
				value = before + "\n" + value
			}
			all[key] = withPasswords(value)
		}
	}
	for _, key := range []string{"bind", "port", "dir"} {
		if all[key] == "" {
			t.Fatalf("the files do not set %s, which this test replaces", key)
		}
		delete(all, key)
	}
	for key, value := range all {
		if strings.Contains(value, "REPLACE") {
			t.Fatalf("%s has a mark that this test does not know: %s", key, value)
		}
	}
	return all
}

func withPasswords(text string) string {
	return strings.NewReplacer(
		"REPLACE-WITH-THE-SHA256-OF-ANOTHER-PASSWORD", hashed(adminsPassword),
		"REPLACE-WITH-THE-SHA256-OF-A-PASSWORD", hashed(ramensPassword),
		"REPLACE-WITH-THE-SHA256-OF-THE-REPLICAS-PASSWORD", hashed(replicasPassword),
		"REPLACE-WITH-THE-SHA256-OF-THE-SENTINELS-PASSWORD", hashed("of-sentinels"),
		"REPLACE-WITH-THE-REPLICAS-PASSWORD", replicasPassword,
	).Replace(text)
}

func hashed(password string) string {
	sum := sha256.Sum256([]byte(password))
	return hex.EncodeToString(sum[:])
}

// ofDeployed is for a store on a server with those settings, as the user that they have for it.
func ofDeployed(t testing.TB, s *redistest.Server) Config {
	c := configOf(t, s)
	c.Username, c.Password = "ramen", ramensPassword
	c.Prefix = "ramen:" + c.Prefix // the user may use no other keys
	return c
}

// wantNothingDenied wants the server not to have refused anything to any user.
func wantNothingDenied(t *testing.T, servers ...*redistest.Server) {
	t.Helper()
	for _, s := range servers {
		o := s.ClientOptions()
		o.Username, o.Password = "admin", adminsPassword
		c := goredis.NewClient(o)
		denied, err := c.ACLLog(t.Context(), 10).Result()
		if err != nil {
			t.Error(err)
		}
		for _, d := range denied {
			t.Errorf("%s: %s was denied %s %q in context %s", s.Addr, d.Username, d.Reason, d.Object, d.Context)
		}
		_ = c.Close()
	}
}

// TestDeployedConfiguration runs the store on servers that are configured by deploy/redis/redis.conf, as the user that it has for RAMEN:
// that user may do all that is needed, nothing is wrong with the server, and what is in its log is there after a crash.
func TestDeployedConfiguration(t *testing.T) {
	for _, kind := range redistest.Kinds {
		t.Run(string(kind), func(t *testing.T) {
			o := redistest.Options{Kind: kind, Config: deployed(t, "redis.conf"), User: "ramen", Password: ramensPassword}
			s := redistest.Single(t, o)
			u, err := driver.ParseURL(fmt.Sprintf("redis://ramen@%s/0?durability=fsync", s.Addr))
			if err != nil {
				t.Fatal(err)
			}
			r, err := Driver().Check(t.Context(), driver.Params{URL: u.Location(), Password: ramensPassword, Shards: 8})
			if err != nil || len(r.Problems) > 0 {
				t.Errorf("check: %v, %q", err, r.Problems)
			}
			storetest.Run(t, storetest.Config{
				Open: func(t *testing.T) func() store.Store {
					cfg := ofDeployed(t, s)
					cfg.Durability = Fsync
					return opener(t, cfg)
				},
				Crash: func(t *testing.T) (func() store.Store, func() func() store.Store) {
					return crashing(t, o, ofDeployed)
				},
				Retention: time.Minute, ChecksLast: true,
			})
			wantNothingDenied(t, s)
		})
	}
}

// TestDeployedReplication runs it on a master with replicas that are configured by replication.conf beside that.
func TestDeployedReplication(t *testing.T) {
	r := redistest.WithReplicas(t, redistest.Options{Config: deployed(t, "redis.conf", "replication.conf"), User: "ramen", Password: ramensPassword}, 2)
	cfg := ofDeployed(t, r.Master)
	cfg.Durability, cfg.Replicas = Replicas, 2
	s := open(t, cfg)
	claim(t, s, 1, "first", 1)
	p := newPublisher(s, 1, "u")
	for range 3 {
		p.settle(t)
	}
	for _, replica := range r.Replicas {
		replica.Kill(t)
	}
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	if p.publish(ctx, soon) == nil {
		t.Error("accepted by a master alone")
	}
	for _, replica := range r.Replicas {
		replica.Start(t)
	}
	p.settle(t)
	wantNothingDenied(t, r.Servers()...)
}

// TestDeployedCluster runs it on a cluster whose nodes are configured by all of them.
func TestDeployedCluster(t *testing.T) {
	o := redistest.Options{Config: deployed(t, "redis.conf", "replication.conf", "cluster.conf"), User: "admin", Password: adminsPassword}
	c := redistest.StartCluster(t, o)
	cfg := clusterConfig(t, c)
	deployed := ofDeployed(t, c.Nodes[0])
	cfg.Username, cfg.Password, cfg.Prefix, cfg.Durability = deployed.Username, deployed.Password, deployed.Prefix, Replicas
	s := open(t, cfg)
	var all []*publisher
	for shard := range protocol.ShardID(12) {
		claim(t, s, 1, "first", shard)
		all = append(all, newPublisher(s, shard, "u"))
	}
	for _, p := range all {
		p.settle(t)
	}
	if named := list(t, s, 5, func(int) {}); len(named) != len(all) { // as a copy does
		t.Errorf("%d users are named: %v", len(named), named)
	}
	wantNothingDenied(t, c.Nodes...)
}
