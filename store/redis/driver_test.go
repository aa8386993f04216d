package redis

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ramen/internal/ports"
	"ramen/internal/testserver/redistest"
	"ramen/protocol"
	"ramen/store/driver"
)

func params(t testing.TB, text string) driver.Params {
	t.Helper()
	u, err := driver.ParseURL(text)
	if err != nil {
		t.Fatal(err)
	}
	password, _ := u.Password()
	return driver.Params{URL: u.Location(), Password: password, Shards: 16, IDRetention: time.Minute}
}

func TestURLsAreRead(t *testing.T) {
	for text, want := range map[string]func(Config) bool{
		"redis://h": func(c Config) bool {
			return c.Mode == Single && c.Addrs[0] == "h:6379" && c.DB == 0 && c.TLS == nil && c.Durability == Reply
		},
		"redis://h/3": func(c Config) bool { return c.DB == 3 },
		"redis://me:pw@h:1?durability=replicas": func(c Config) bool {
			return c.Username == "me" && c.Password == "pw" && c.Durability == Replicas && c.Replicas == 1
		},
		"redis://:pw@h?durability=replicas&replicas=2": func(c Config) bool { return c.Username == "" && c.Password == "pw" && c.Replicas == 2 },
		"rediss://h:1?server_name=x":                   func(c Config) bool { return c.TLS != nil && c.TLS.ServerName == "x" },
		"rediss://h:1":                                 func(c Config) bool { return c.TLS.ServerName == "h" },
		"redis+sentinel://a,b:1/m?db=2&durability=fsync": func(c Config) bool {
			return c.Mode == Sentinel && c.Master == "m" && c.Addrs[0] == "a:26379" && c.Addrs[1] == "b:1" && c.DB == 2 && c.Durability == Fsync
		},
		"redis+cluster://a,b": func(c Config) bool { return c.Mode == Cluster && len(c.Addrs) == 2 && c.Addrs[1] == "b:6379" },
		"redis://h?prefix=p&pool_size=9&pipelines=3&max_in_flight=7&max_in_flight_bytes=2097152&dial_timeout=1s&device_ttl=24h": func(c Config) bool {
			return c.Prefix == "p" && c.PoolSize == 9 && c.Pipelines == 3 && c.MaxInFlight == 7 && c.MaxInFlightBytes == 2<<20 &&
				c.DialTimeout == time.Second && c.DeviceTTL == 24*time.Hour
		},
	} {
		c, err := configFrom(params(t, text))
		if err != nil || !want(c) {
			t.Errorf("%s: %v, %+v", text, err, c)
		}
	}
}

func TestBadURLsSayWhatWouldBeRight(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"redis://a,b":                               "one server",
		"redis://h/x":                               "redis://host:port/0",
		"redis://h?durabilty=reply":                 "durability",
		"redis://h?durability=always":               "reply, replicas or fsync",
		"redis://h?replicas=1":                      "durability=replicas",
		"redis://h?durability=replicas&replicas=-1": "at least 1",
		"redis://h?pool_size=many":                  "a number",
		"redis://h?pool_size=1":                     "at least 4",
		"redis://h?dial_timeout=3":                  "300ms",
		"redis://h?prefix={a}":                      "without braces",
		"redis://h?ca=x":                            "rediss",
		"rediss://h?ca=/none":                       "ca",
		"rediss://h?ca=" + empty:                    "no certificate",
		"rediss://h?cert=x":                         "go together",
		"redis+sentinel://h":                        "redis+sentinel://host:port,host:port/master",
		"redis+cluster://h/2":                       "one database",
		"redis+cluster://h?db=1":                    "in a cluster",
	} {
		if _, err := configFrom(params(t, text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// TestOpensByURL with a user, a password and TLS, and says what is there.
func TestOpensByURL(t *testing.T) {
	for _, o := range []redistest.Options{{}, {Password: "hunter2"}, {User: "me", Password: "hunter2"}, {User: "me", Password: "hunter2", TLS: true}} {
		t.Run(fmt.Sprintf("user=%s,password=%v,tls=%v", o.User, o.Password != "", o.TLS), func(t *testing.T) {
			s := redistest.Single(t, o)
			text := s.URL()
			if o.TLS {
				text += "?ca=" + s.CAFile()
			}
			d, p := Driver(), params(t, text)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			st, err := d.Open(ctx, p)
			if err != nil {
				t.Fatal(err)
			}
			defer st.Close()
			if err := errors.Join(st.Claim(ctx, []protocol.ShardID{3}, 1, "me")...); err != nil {
				t.Fatal(err)
			}
			check := func(used bool) {
				t.Helper()
				r, err := d.Check(ctx, p)
				if err != nil || len(r.Servers) != 1 || r.Servers[0].Role != "master" || !strings.HasPrefix(r.Servers[0].Version, "Redis 7") || r.InUse != used {
					t.Fatalf("%+v, %v", r, err)
				}
			}
			check(false)
			if err := st.(*Store).Renew(ctx, "me", time.Minute); err != nil {
				t.Fatal(err)
			}
			check(true)
			p.Shards = 17
			if _, err := d.Check(ctx, p); err == nil || !strings.Contains(err.Error(), "of 16 shards") {
				t.Errorf("checked with another number of shards: %v", err)
			}
			if _, err := d.Open(ctx, p); err == nil || !strings.Contains(err.Error(), "of 16 shards") {
				t.Errorf("opened with another number of shards: %v", err)
			}
			if o.Password == "" {
				return
			}
			p.Shards, p.Password = 16, "not hunter2"
			for what, err := range map[string]error{"open": second(d.Open(ctx, p)), "check": second(d.Check(ctx, p))} {
				if err == nil || strings.Contains(err.Error(), "hunter2") {
					t.Errorf("%s with a wrong password: %v", what, err)
				}
			}
		})
	}
}

func second[T any](_ T, err error) error { return err }

func port(addr string) string {
	_, port, _ := net.SplitHostPort(addr)
	return port
}

// TestDurabilityIsChecked against what the server is set to.
func TestDurabilityIsChecked(t *testing.T) {
	for _, c := range []struct {
		kind    redistest.Kind
		set     redistest.Config
		query   string
		refused string // by Open and Check; empty: it is opened
		problem string // that Check tells; empty: there is none
		promise string // that Check tells; empty: whatever it is
	}{
		{set: redistest.Config{"appendonly": "yes", "appendfsync": "always"}, query: "durability=fsync"},
		{set: redistest.Config{"appendonly": "yes", "appendfsync": "everysec"}, query: "durability=fsync", refused: "set appendfsync always"},
		{kind: redistest.Valkey, set: redistest.Config{"appendonly": "yes", "appendfsync": "everysec"}, query: "durability=fsync", problem: "up to a second"},
		{set: redistest.Config{"appendonly": "yes", "appendfsync": "no"}, query: "durability=fsync", refused: "set appendfsync always"},
		{set: redistest.Config{"appendonly": "yes", "appendfsync": "always", "no-appendfsync-on-rewrite": "yes"}, query: "durability=fsync", refused: "no-appendfsync-on-rewrite"},
		{query: "durability=fsync", refused: "appendonly"},
		{query: "durability=replicas", problem: "0 replicas follow"},
		{query: "durability=reply", promise: "in the memory of the server"},
		{set: redistest.Config{"appendonly": "yes", "appendfsync": "always"}, query: "durability=reply", promise: "on the disk of the server, which has appendfsync always"},
		{set: redistest.Config{"appendonly": "yes", "appendfsync": "everysec"}, query: "durability=reply", promise: "in the memory of the server"},
		{set: redistest.Config{"appendonly": "yes", "appendfsync": "always", "no-appendfsync-on-rewrite": "yes"}, query: "durability=reply", promise: "in the memory of the server"},
		{set: redistest.Config{"appendonly": "no", "appendfsync": "always"}, query: "durability=reply", promise: "in the memory of the server"},
		{set: redistest.Config{"maxmemory-policy": "volatile-lru"}, problem: "noeviction"},
		{set: redistest.Config{"maxmemory-policy": "allkeys-lfu"}, problem: "noeviction"},
		{set: redistest.Config{"cluster-enabled": "yes", "cluster-port": port(ports.Free(t))}, refused: "redis+cluster"},
	} {
		t.Run(fmt.Sprint(c.kind, c.set, c.query), func(t *testing.T) {
			s := redistest.Single(t, redistest.Options{Kind: c.kind, Config: c.set})
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			d, p := Driver(), params(t, s.URL()+"?"+c.query)
			r, checked := d.Check(ctx, p)
			if got := strings.Join(r.Problems, "; "); !strings.Contains(got, c.problem) || (got == "") != (c.problem+c.refused == "") {
				t.Errorf("problems %q, want %q", got, c.problem+c.refused)
			}
			if c.refused != "" {
				c.promise = "does not hold, or the store cannot be used"
			}
			if !strings.Contains(r.Durability, c.promise) {
				t.Errorf("durability %q, want %q", r.Durability, c.promise)
			}
			st, opened := d.Open(ctx, p)
			if opened == nil {
				defer st.Close()
			}
			for what, err := range map[string]error{"check": checked, "open": opened} {
				if (err == nil) != (c.refused == "") || err != nil && !strings.Contains(err.Error(), c.refused) {
					t.Errorf("%s: %v, want %q", what, err, c.refused)
				}
			}
		})
	}
}
