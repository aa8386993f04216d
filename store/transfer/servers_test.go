package transfer

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"testing"
	"time"

	"ramen/internal/testserver/cassandratest"
	"ramen/internal/testserver/redistest"
	"ramen/protocol"
	"ramen/store"
	"ramen/store/cassandra"
	"ramen/store/driver"
	"ramen/store/memory"
	"ramen/store/redis"
)

// ofServer makes places on a server.
func ofServer(t *testing.T, d driver.Driver, place func() string) func() func() (store.Store, error) {
	return func() func() (store.Store, error) {
		u, err := url.Parse(place())
		if err != nil {
			t.Fatal(err)
		}
		p := driver.Params{URL: u, Shards: shards, IDRetention: retention, Log: slog.New(slog.NewTextHandler(t.Output(), nil))}
		if d.Init != nil {
			if _, err := d.Init(t.Context(), p); err != nil {
				t.Fatal(err)
			}
		}
		return func() (store.Store, error) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			return d.Open(ctx, p)
		}
	}
}

// servers are the kinds that are reached over a network.
func servers(t *testing.T) (ofRedis, ofCluster, ofCassandra kind) {
	t.Helper()
	one, many, c := redistest.Shared(t), redistest.SharedCluster(t), cassandratest.Shared(t)
	return kind{"redis", ofServer(t, redis.Driver(), func() string { return one.URL(t) })},
		kind{"cluster", ofServer(t, redis.Driver(), func() string { return many.URL(t) })},
		kind{"cassandra", ofServer(t, cassandra.Driver(), func() string {
			return fmt.Sprintf("%s&replication=1&timeout=2s", c.URL(c.KeyspaceName(t)))
		})}
}

// TestEverythingIsMovedThroughServers: from one to the next, and it is at the end as it was at the beginning. Each goes on with the
// identity of the first, and what was copied from has another one then, and may be used again.
func TestEverythingIsMovedThroughServers(t *testing.T) {
	r := random(t)
	ofPebble := kinds()[2]
	ofRedis, ofCluster, ofCassandra := servers(t)
	from := opened(t, ofPebble.make())
	fill(t, from, r, 3, "user", 150)
	want, identity, epoch := contents(t, from, 4), from.Identity(), protocol.Epoch(4)
	for _, k := range []kind{ofRedis, ofCassandra, ofCluster, ofPebble} {
		open := k.make()
		to := opened(t, open)
		got, err := Copy(t.Context(), Config{From: from, To: to, Shards: shards, Retention: retention})
		if err != nil {
			t.Fatalf("to %s: %v", k.name, err)
		}
		if m, d, i := size(want); got.Messages != m || got.Devices != d || got.IDs != i || !got.Cursors {
			t.Errorf("to %s: %+v of %d messages, %d devices, %d ids", k.name, got, m, d, i)
		}
		closed(t, to)
		to = opened(t, open)
		epoch = got.Epoch + 1
		wantSame(t, contents(t, to, epoch), want)
		if to.Identity() != identity {
			t.Errorf("%s has identity %+v, want %+v", k.name, to.Identity(), identity)
		}
		closed(t, from)
		from = to
	}
	closed(t, from)
}

// TestNothingCachedIsTrustedBehindACopy: what is copied to a store with a cache before it is not in the cache.
func TestNothingCachedIsTrustedBehindACopy(t *testing.T) {
	r := random(t)
	_, _, ofCassandra := servers(t)
	from, to := memory.New(), opened(t, ofCassandra.make())
	defer closed(t, to)
	fill(t, from, r, 3, "user", 10)
	fill(t, to, r, 2, "other", 10)
	all, marks := (&copier{Config: Config{Shards: shards}}).shards(), to.(store.CacheMarker)
	for _, shard := range all[:5] {
		if err := marks.SetCacheMark(t.Context(), store.Owner{Shard: shard, Epoch: 2}, store.CacheMark{Generation: 9, History: "h"}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Copy(t.Context(), Config{From: from, To: to, Shards: shards, Retention: retention, Mix: true}); err != nil {
		t.Fatal(err)
	}
	got, err := marks.CacheMarks(t.Context(), all)
	if err != nil {
		t.Fatal(err)
	}
	for shard, m := range got {
		if m != (store.CacheMark{}) {
			t.Errorf("shard %d has the mark %+v", shard, m)
		}
	}
}
