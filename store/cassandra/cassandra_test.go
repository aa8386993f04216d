package cassandra

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"testing"
	"time"

	"ramen/internal/testserver/cassandratest"
	"ramen/protocol"
	"ramen/store"
	"ramen/store/driver"
	"ramen/store/storetest"
)

// params names a keyspace that is not there yet, of the cluster that all tests share.
func params(t testing.TB, query string) driver.Params {
	t.Helper()
	c := cassandratest.Shared(t)
	return paramsOf(t, c, len(c.Nodes), query)
}

func paramsOf(t testing.TB, c *cassandratest.Cluster, copies int, query string) driver.Params {
	t.Helper()
	u, err := url.Parse(fmt.Sprintf("%s&replication=%d%s", c.URL(c.KeyspaceName(t)), max(copies, 1), query))
	if err != nil {
		t.Fatal(err)
	}
	return driver.Params{URL: u, Shards: 1024, IDRetention: 5 * time.Minute, Log: slog.New(slog.NewTextHandler(t.Output(), nil))}
}

// place is a keyspace with tables.
func place(t testing.TB, query string) driver.Params {
	t.Helper()
	return prepared(t, params(t, query))
}

func prepared(t testing.TB, p driver.Params) driver.Params {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	if _, err := initialize(ctx, p); err != nil {
		t.Fatal(err)
	}
	return p
}

func openStore(t testing.TB, p driver.Params) *Store {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	s, err := open(ctx, p)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestConformance(t *testing.T) {
	storetest.Run(t, storetest.Config{
		Retention: 5 * time.Minute,
		Open: func(t *testing.T) func() store.Store {
			p := place(t, "&timeout=2s") // the machine may be busy
			return func() store.Store { return openStore(t, p) }
		},
		Unfenced: true,
	})
}

// TestLoadGoesOnBehindAPage loads more rows than a host sends at once.
func TestLoadGoesOnBehindAPage(t *testing.T) {
	s := openStore(t, place(t, "&timeout=5s"))
	defer s.Close()
	at := store.Owner{Shard: 1, Epoch: 1}
	if errs := s.Claim(t.Context(), []protocol.ShardID{1}, 1, "test"); errs != nil {
		t.Fatal(errs)
	}
	const rows = 2*pageRows + 1
	for n := range uint64(rows) {
		e := message(n)
		e.Position.Micros = 1 + n // one bucket
		if err := storetest.Append(t.Context(), s, []store.Append{{Owner: at, User: "u", Entries: []store.Entry{e}}})[0]; err != nil {
			t.Fatal(err)
		}
	}
	if m, err := s.Load(t.Context(), at, "u"); err != nil || len(m.Entries) != rows {
		t.Fatalf("%d entries, want %d; %v", len(m.Entries), rows, err)
	}
}
