package stores

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"ramen/internal/testserver"
	"ramen/internal/testserver/cassandratest"
	"ramen/internal/testserver/faultproxy"
	"ramen/internal/testserver/redistest"
	"ramen/protocol"
	"ramen/store"
	"ramen/store/driver"
	"ramen/store/storetest"
)

// tier is a Cassandra keyspace with a Redis before it.
type tier struct {
	t     *testing.T
	cfg   Config
	redis *redistest.Server
}

const (
	tierShard = protocol.ShardID(5)
	tierUser  = protocol.UserID("u")
)

// newTier makes the keyspace; the cache is at the address.
func newTier(t *testing.T, s *redistest.Server, addr string) *tier {
	t.Helper()
	c := cassandratest.Shared(t)
	x := &tier{t: t, redis: s, cfg: Config{
		URL:   written(t, fmt.Sprintf("%s&replication=1&timeout=2s", c.URL(c.KeyspaceName(t)))),
		Cache: written(t, "redis://"+addr),
	}}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	p, err := x.cfg.Place()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Init(ctx, p.Params(x.params(nil))); err != nil {
		t.Fatal(err)
	}
	return x
}

func (x *tier) params(reg prometheus.Registerer) driver.Params {
	return driver.Params{Shards: 1024, IDRetention: time.Minute, Log: slog.New(slog.NewTextHandler(x.t.Output(), nil)), Registerer: reg}
}

// owner is one that has opened the tier and claimed the shard.
type owner struct {
	store.Store
	x     *tier
	epoch protocol.Epoch
	reg   *prometheus.Registry
	last  protocol.Position
}

// own opens the tier and takes the shard. The store is closed with the test, or before.
func (x *tier) own(epoch protocol.Epoch) *owner {
	x.t.Helper()
	o := &owner{x: x, epoch: epoch, reg: prometheus.NewRegistry()}
	ctx, cancel := context.WithTimeout(x.t.Context(), time.Minute)
	defer cancel()
	var err error
	if o.Store, err = x.cfg.Open(ctx, x.params(o.reg)); err != nil {
		x.t.Fatal(err)
	}
	x.t.Cleanup(func() { _ = o.Close() })
	if err := errors.Join(o.Claim(ctx, []protocol.ShardID{tierShard}, epoch, fmt.Sprint("owner", epoch))...); err != nil {
		x.t.Fatal(err)
	}
	return o
}

// warm is the first owner, whose shard has a generation, and in the cache a mailbox with message 1.
func (x *tier) warm() *owner {
	x.t.Helper()
	o := x.own(1)
	o.load("somebody")
	o.awaitTrusted()
	o.load(tierUser)
	o.publish("1")
	return o
}

func (o *owner) at() store.Owner { return store.Owner{Shard: tierShard, Epoch: o.epoch} }

// load answers the ids of the user's messages.
func (o *owner) load(user protocol.UserID) (ids []string) {
	o.x.t.Helper()
	ctx, cancel := context.WithTimeout(o.x.t.Context(), time.Minute)
	defer cancel()
	m, err := o.Load(ctx, o.at(), user)
	if err != nil {
		o.x.t.Fatal(err)
	}
	o.last = m.Last
	for i := range m.Entries {
		ids = append(ids, string(m.Entries[i].Message.ID))
	}
	return ids
}

// publish appends a message behind what was loaded or published last. It is never refused.
func (o *owner) publish(id string) {
	o.x.t.Helper()
	now := time.Now()
	e := store.Entry{Position: protocol.Position{Epoch: o.epoch, Micros: uint64(now.UnixMicro())}, Message: &protocol.Message{
		ID: protocol.MessageID(id), Type: "t", Priority: protocol.PriorityHigh, Payload: []byte("1"), ContentType: protocol.ContentTypeJSON,
		CreatedMS: now.UnixMilli(), ExpiresMS: now.Add(time.Hour).UnixMilli()}}
	ctx, cancel := context.WithTimeout(o.x.t.Context(), 20*time.Second)
	defer cancel()
	a := store.Append{Owner: o.at(), User: tierUser, Last: o.last, Entries: []store.Entry{e}}
	if err := storetest.Append(ctx, o, []store.Append{a})[0]; err != nil {
		o.x.t.Fatalf("publish %s: %v", id, err)
	}
	o.last = e.Position
}

// await waits until a metric has a value.
func (o *owner) await(name, label string, is func(float64) bool) {
	o.x.t.Helper()
	ctx, cancel := context.WithTimeout(o.x.t.Context(), testserver.Patience)
	defer cancel()
	if err := testserver.Await(ctx, func() error {
		if v := o.metric(name, label); !is(v) {
			return fmt.Errorf("%s{%s} is %v", name, label, v)
		}
		return nil
	}); err != nil {
		o.x.t.Fatal(err)
	}
}

func (o *owner) metric(name, label string) float64 {
	families, err := o.reg.Gather()
	if err != nil {
		o.x.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			if slices.ContainsFunc(m.GetLabel(), func(l *dto.LabelPair) bool { return l.GetValue() == label }) {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return 0
}

func (o *owner) awaitTrusted() {
	o.x.t.Helper()
	o.await("ramen_store_cache_shards", "trusted", func(v float64) bool { return v > 0 })
}

// wantIDs compares.
func wantIDs(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("loaded %q, want %q", got, want)
	}
}

func TestTieredConformance(t *testing.T) {
	s := redistest.Single(t, redistest.Options{})
	storetest.Run(t, storetest.Config{
		Retention: time.Minute, Unfenced: true,
		Open: func(t *testing.T) func() store.Store {
			if err := s.Client(t).FlushAll(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
			x := newTier(t, s, s.Addr)
			return func() store.Store {
				ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
				defer cancel()
				kept, err := x.cfg.Open(ctx, x.params(nil))
				if err != nil {
					t.Fatal(err)
				}
				return kept
			}
		},
	})
}

// TestTieredTakeOverHitsTheCache: the second owner reads nothing of the user from Cassandra.
func TestTieredTakeOverHitsTheCache(t *testing.T) {
	s := redistest.Single(t, redistest.Options{})
	x := newTier(t, s, s.Addr)
	a := x.warm()
	a.publish("2")
	b := x.own(2)
	wantIDs(t, b.load(tierUser), "1", "2")
	if hits := b.metric("ramen_store_cache_loads_total", "hit"); hits != 1 {
		t.Errorf("%v hits, want 1", hits)
	}
}

// TestTieredAppendWithRedisStopped: it is accepted; the owner dies; Redis goes on, where it left off; the next owner has the message.
func TestTieredAppendWithRedisStopped(t *testing.T) {
	s := redistest.Single(t, redistest.Options{})
	x := newTier(t, s, s.Addr)
	a := x.warm()
	s.Pause(t)
	a.publish("2")
	s.Continue(t)
	b := x.own(2) // a has not been closed: its late writes may still come
	wantIDs(t, b.load(tierUser), "1", "2")
	b.publish("3")
	b.awaitTrusted() // Redis is used again by itself
	b.load(tierUser)
	wantIDs(t, x.own(3).load(tierUser), "1", "2", "3")
}

// TestTieredPromotedReplicaLacksTheLast: the user is idle, and the shard moves.
func TestTieredPromotedReplicaLacksTheLast(t *testing.T) {
	r := redistest.WithReplicas(t, redistest.Options{}, 1)
	p := faultproxy.New(t, r.Master.Addr)
	x := newTier(t, r.Master, p.Addr)
	a := x.warm()
	r.Replicas[0].AwaitFollowing(t)
	r.Replicas[0].StopReplication(t)
	a.publish("2")
	r.Master.Kill(t)
	if err := r.Replicas[0].Client(t).Do(t.Context(), "replicaof", "no", "one").Err(); err != nil {
		t.Fatal(err)
	}
	p.Cut(t)
	faultproxy.NewAt(t, p.Addr, r.Replicas[0].Addr)
	wantIDs(t, a.load(tierUser), "1", "2") // it was out of memory here
	b := x.own(2)
	wantIDs(t, b.load(tierUser), "1", "2")
}

// TestTieredFlushAllBetweenAppendAndTakeOver, in mid-flight, and not.
func TestTieredFlushAllBetweenAppendAndTakeOver(t *testing.T) {
	s := redistest.Single(t, redistest.Options{})
	x := newTier(t, s, s.Addr)
	x.warm()
	if err := s.Client(t).FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	wantIDs(t, x.own(2).load(tierUser), "1")
	if err := s.Client(t).FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	c := x.own(3)
	wantIDs(t, c.load(tierUser), "1")
	c.publish("2")
	wantIDs(t, x.own(4).load(tierUser), "1", "2")
}

// TestTieredOutOfMemory: Redis refuses, and no publish is.
func TestTieredOutOfMemory(t *testing.T) {
	s := redistest.Single(t, redistest.Options{})
	x := newTier(t, s, s.Addr)
	a := x.warm()
	set := func(bytes string) {
		if err := s.Client(t).ConfigSet(t.Context(), "maxmemory", bytes).Err(); err != nil {
			t.Fatal(err)
		}
	}
	set("1")
	a.publish("2")
	wantIDs(t, x.own(2).load(tierUser), "1", "2")
	set("0")
	b := x.own(3)
	wantIDs(t, b.load(tierUser), "1", "2")
	b.awaitTrusted()
}

// TestTieredStartsWithoutRedis, and uses it once it is there.
func TestTieredStartsWithoutRedis(t *testing.T) {
	s := redistest.Single(t, redistest.Options{})
	s.Stop(t)
	x := newTier(t, s, s.Addr)
	a := x.own(1)
	wantIDs(t, a.load(tierUser))
	a.publish("1")
	s.Start(t)
	a.awaitTrusted()
	wantIDs(t, a.load(tierUser), "1") // and is put there
	b := x.own(2)
	wantIDs(t, b.load(tierUser), "1")
	if hits := b.metric("ramen_store_cache_loads_total", "hit"); hits != 1 {
		t.Errorf("%v hits, want 1", hits)
	}
}
