package cassandra

import (
	"context"
	"net/url"
	"strings"
	"testing"
	"time"

	"ramen/internal/testserver/cassandratest"
	"ramen/store/driver"
)

func TestURLsThatAreRefusedSayWhatIsRight(t *testing.T) {
	for _, c := range []struct{ url, want string }{
		{"cassandra:///ramen", "it must be host or host:port"},
		{"cassandra://a,b:0/ramen", `host "b:0"`},
		{"cassandra://a/", "it must follow the hosts as /name"},
		{"cassandra://a/Ramen", "lower case letters"},
		{"cassandra://a/ramen?datacenter=x", `unknown parameter "datacenter": there are ca, cert, connections, dc,`},
		{"cassandra://a/ramen?timeout=5m", "from 10ms to 10s"},
		{"cassandra://a/ramen?dc=a&dc=b", "is there 2 times"},
		{"cassandra://a/ramen?replication=dc1:0", "dc1:3,dc2:3"},
		{"cassandra://a/ramen?replication=dc'1:3", "dc1:3,dc2:3"},
		{"cassandra://a/ramen?serial=none", "local or global"},
		{"cassandra://a/ramen?ca=x", "need tls=true"},
		{"cassandra://a/ramen?tls=true&cert=x", "set both or none"},
		{"cassandra://:hunter2@a/ramen", "no user in the URL"},
		{"cassandra://u:hunter2@a/ramen?x=1", `unknown parameter "x"`},
		{"cassandra://u:hunter2@a/ramen?x=%zz", "cannot be read"},
	} {
		u, err := url.Parse(c.url)
		if err != nil {
			t.Fatalf("%s: %v", c.url, err)
		}
		_, err = parse(driver.Params{URL: u})
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v, want %q", c.url, err, c.want)
		}
	}
}

func TestURLSetsEverything(t *testing.T) {
	u, err := url.Parse("cassandra://u:p@h1:9040,h2:9043/ramen?dc=d&replication=a:3,b:2&serial=global&timeout=1s&connections=3&in_flight=7&in_flight_mb=8&loads=9&slot=1m&max_ttl=1h&device_ttl=2h&tls=true&server_name=s")
	if err != nil {
		t.Fatal(err)
	}
	c, err := parse(driver.Params{URL: u, Password: "better"})
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(c.hosts, " "); got != "h1:9040 h2:9043" || c.user != "u" || c.password != "better" || c.keyspace != "ramen" {
		t.Errorf("%+v", c)
	}
	if c.dc != "d" || len(c.replication) != 2 || c.replication[1] != (replicas{"b", 2}) || c.serial != serialGlobal || c.timeout != time.Second ||
		c.connections != 3 || c.inFlight != 7 || c.inFlightMiB != 8 || c.loads != 9 || c.slot != time.Minute || c.maxTTL != time.Hour ||
		c.deviceTTL != 2*time.Hour || !c.tls || c.serverName != "s" {
		t.Errorf("%+v", c)
	}
}

// TestInitCheckOpen goes the way of an operator: check says what is missing, init makes it, twice is fine, open refuses other shards.
func TestInitCheckOpen(t *testing.T) {
	c := cassandratest.Shared(t)
	p := paramsOf(t, c, 1, "")
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	has := func(r driver.Report, want string) {
		t.Helper()
		if !strings.Contains(strings.Join(r.Problems, "\n"), want) {
			t.Errorf("problems %q, want one with %q", r.Problems, want)
		}
	}
	if _, err := open(ctx, p); err == nil || !strings.Contains(err.Error(), "ramen store init") {
		t.Errorf("open before init: %v", err)
	}
	r, err := check(ctx, p)
	if err != nil {
		t.Fatal(err)
	}
	has(r, "there is no keyspace")
	first, err := initialize(ctx, p)
	if err != nil {
		t.Fatal(err)
	}
	again, err := initialize(ctx, p)
	if err != nil || len(again) >= len(first) {
		t.Errorf("a second init did %q, %v", again, err)
	}
	if r, err = check(ctx, p); err != nil {
		t.Fatal(err)
	}
	has(r, "replication of 1")
	if len(c.Nodes) > 0 {
		has(r, "commitlog_sync: periodic")
	}
	if len(r.Servers) == 0 || !strings.HasPrefix(r.Servers[0].Version, "Cassandra 5.") || r.Servers[0].Err != nil || !strings.Contains(r.Durability, "1 of 1 replicas") {
		t.Errorf("report %+v", r)
	}
	p.Shards = 8
	if _, err := open(ctx, p); err == nil || !strings.Contains(err.Error(), "1024 shards, and 8 are configured") {
		t.Errorf("open with other shards: %v", err)
	}
}

// TestTablesOfAnotherVersionAreRefused by whoever opens, checks or initializes them, and nothing of them is changed.
func TestTablesOfAnotherVersionAreRefused(t *testing.T) {
	p := place(t, "")
	keyspace := strings.Trim(p.URL.Path, "/")
	session := cassandratest.Shared(t).Session(t, "")
	for _, x := range []struct{ version, open, init string }{
		{"2", "of version 2: this release knows 1; use a newer one", "of version 2: this release knows 1; use a newer one"},
		{"0", "bring them to 1 with \"ramen store init URL\"", "from which no step to 1 is known"},
		{"x", "is \"x\", and no number", "is \"x\", and no number"},
	} {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		for _, statement := range []string{
			"UPDATE " + keyspace + ".meta SET value = '" + x.version + "' WHERE name = 'schema' IF EXISTS",
			"DROP TABLE IF EXISTS " + keyspace + ".caches",
		} {
			if err := session.Query(statement).ExecContext(ctx); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := open(ctx, p); err == nil || !strings.Contains(err.Error(), x.open) {
			t.Errorf("open of version %s: %v", x.version, err)
		}
		if r, err := check(ctx, p); err != nil || !strings.Contains(strings.Join(r.Problems, "\n"), x.open) {
			t.Errorf("check of version %s: %q, %v", x.version, r.Problems, err)
		}
		if done, err := initialize(ctx, p); err == nil || !strings.Contains(err.Error(), x.init) || len(done) > 0 {
			t.Errorf("init of version %s: did %q, %v", x.version, done, err)
		}
		var tables int
		if err := session.Query("SELECT count(*) FROM system_schema.tables WHERE keyspace_name = ?", keyspace).ScanContext(ctx, &tables); err != nil || tables != 5 {
			t.Errorf("there are %d tables, %v: the sixth was dropped before", tables, err)
		}
	}
}

func TestSchemaIsWhatInitCreates(t *testing.T) {
	u, err := url.Parse("cassandra://a/ramen?replication=d1:3,d2:2&max_ttl=20h")
	if err != nil {
		t.Fatal(err)
	}
	text, err := schemaText(driver.Params{URL: u})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"CREATE KEYSPACE IF NOT EXISTS ramen", "'d1': 3, 'd2': 2", "ramen.messages", "'compaction_window_size': '60'", "gc_grace_seconds = 10800",
		"read_repair = 'BLOCKING'", "UnifiedCompactionStrategy", "ramen.claims",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the schema lacks %q:\n%s", want, text)
		}
	}
}
