package testbed

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"ramen/internal/localcluster"
	"ramen/internal/testserver"
	"ramen/internal/testserver/cassandratest"
	"ramen/internal/testserver/redistest"
)

// The stores of a testbed, by Config.Store.
const (
	// Redis is one server: what it has answered for is on its disk.
	Redis = "redis"
	// RedisCluster is three masters with a replica each: what is answered for is at both.
	RedisCluster = "redis-cluster"
	// RedisClusterFlushed is the same, whose masters are flushed: what was accepted before may be lost then.
	RedisClusterFlushed = "redis-cluster-flushed"
	// Cassandra is three nodes: what is answered for is in the commit logs of two.
	Cassandra = "cassandra"
	// CassandraOne is one node.
	CassandraOne = "cassandra-1"
)

// Stores are all.
var Stores = []string{Redis, RedisCluster, RedisClusterFlushed, Cassandra, CassandraOne}

// servers are those of the store, of which there is one kind.
type servers struct {
	redis     *redistest.Server
	cluster   *redistest.Cluster
	cassandra *cassandratest.Cluster
}

// startStore starts the store, and answers its URL.
func (b *Bed) startStore() (url string) {
	at, err := b.place(storeHost)
	if err != nil {
		b.program.Fatalf("%w", err)
	}
	switch s := &b.servers; b.cfg.Store {
	case Redis:
		s.redis, url = localcluster.Redis(b.program, at)
	case RedisCluster, RedisClusterFlushed:
		s.cluster, url = localcluster.RedisCluster(b.program, at)
	case Cassandra:
		s.cassandra, url = localcluster.Cassandra(b.program, b.cfg.Cluster.Binary, 3, at)
	case CassandraOne:
		s.cassandra, url = localcluster.Cassandra(b.program, b.cfg.Cluster.Binary, 1, at)
	default:
		b.program.Fatalf("testbed: there is no store %q, but %v", b.cfg.Store, Stores)
	}
	return url
}

// killRedis kills the Redis, which has fsynced what it answered for.
func (b *Bed) killRedis(f *Fault) {
	defer b.holdNamed(storeHost)()
	b.restartServer(b.servers.redis.Server, f.Hold)
}

func (b *Bed) pauseRedis(f *Fault) {
	defer b.holdNamed(storeHost)()
	b.pauseServer(b.servers.redis.Server, f.Hold)
}

// restartServer kills a server of the store, and starts it again after hold on what it has on disk.
func (b *Bed) restartServer(s *testserver.Server, hold time.Duration) {
	s.Kill(b.program)
	sleep(b.ctx, hold)
	s.Start(b.program)
}

// pauseServer stops a server of the store by SIGSTOP, and continues it after hold.
func (b *Bed) pauseServer(s *testserver.Server, hold time.Duration) {
	s.Pause(b.program)
	sleep(b.ctx, hold)
	s.Continue(b.program)
}

// slotKey is a key in a slot of Redis Cluster: shards have theirs there, each all in the slot of its number.
func slotKey(n int) string { return fmt.Sprintf("{%d}", n%shards) }

// shards is how many there are by default.
const shards = 1024

// nthSlot spreads a fault's small numbers over all shards.
const nthSlot = 89

// master is one of the masters, by the number of a fault, with a key of it and the replica.
func (b *Bed) master(f *Fault) (key string, master, replica *redistest.Server) {
	key = slotKey(f.Nth * nthSlot)
	master, replicas := b.servers.cluster.Serving(b.program, key)
	return key, master, replicas[0]
}

// killMaster kills a master, and starts it again once its replica was promoted.
func (b *Bed) killMaster(f *Fault) {
	defer b.holdNamed(storeHost)()
	key, master, _ := b.master(f)
	master.Kill(b.program)
	b.servers.cluster.AwaitPromoted(b.program, key, master)
	sleep(b.ctx, f.Hold)
	master.Start(b.program)
	b.servers.cluster.AwaitWhole(b.program)
}

// pauseMaster stops a master by SIGSTOP. Where that is for long enough its replica is promoted, and it comes back as one that knows nothing
// of that.
func (b *Bed) pauseMaster(f *Fault) {
	defer b.holdNamed(storeHost)()
	_, master, _ := b.master(f)
	b.pauseServer(master.Server, f.Hold)
	b.servers.cluster.AwaitWhole(b.program)
}

func (b *Bed) killReplica(f *Fault) {
	defer b.holdNamed(storeHost)()
	_, _, replica := b.master(f)
	b.restartServer(replica.Server, f.Hold)
	b.servers.cluster.AwaitWhole(b.program)
}

// slotsMoved is how many slots a fault moves.
const slotsMoved = 12

// moveSlots moves the slots of some shards to other masters, one after the other.
func (b *Bed) moveSlots(f *Fault) {
	defer b.holdNamed(storeHost)()
	c := b.servers.cluster
	var masters []*redistest.Server
	for i := range shards {
		if m, _ := c.Serving(b.program, slotKey(i)); !slices.Contains(masters, m) {
			masters = append(masters, m)
		}
		if len(masters) == 3 {
			break
		}
	}
	for i := range slotsMoved {
		key := slotKey(f.Nth*nthSlot + i*7)
		from, _ := c.Serving(b.program, key)
		to := masters[(slices.Index(masters, from)+1+i%2)%len(masters)]
		c.MoveSlot(b.program, key, to)
	}
	c.AwaitWhole(b.program)
}

// flushMaster has a master, and with it its replica, lose all that it has.
func (b *Bed) flushMaster(f *Fault) {
	defer b.holdNamed(storeHost)()
	_, master, _ := b.master(f)
	c := redis.NewClient(master.ClientOptions())
	defer c.Close()
	ctx, cancel := context.WithTimeout(b.ctx, testserver.Patience)
	defer cancel()
	if err := c.FlushAll(ctx).Err(); err != nil {
		b.program.Fatalf("testbed: flush a master: %w", err)
	}
}

// node is one of the nodes of a Cassandra, by the number of a fault.
func (b *Bed) node(f *Fault, further int) *testserver.Server {
	nodes := b.servers.cassandra.Nodes
	return nodes[(f.Nth+further)%len(nodes)].Server
}

func (b *Bed) killNode(f *Fault) {
	defer b.holdNamed(storeHost)()
	b.restartServer(b.node(f, 0), f.Hold)
	b.servers.cassandra.AwaitUp(b.program)
}

func (b *Bed) pauseNode(f *Fault) {
	defer b.holdNamed(storeHost)()
	b.pauseServer(b.node(f, 0), f.Hold)
	b.servers.cassandra.AwaitUp(b.program)
}

// pauseTwoNodes has no quorum be there.
func (b *Bed) pauseTwoNodes(f *Fault) {
	defer b.holdNamed(storeHost)()
	for i := range 2 {
		b.node(f, i).Pause(b.program)
	}
	sleep(b.ctx, f.Hold)
	for i := range 2 {
		b.node(f, i).Continue(b.program)
	}
	b.servers.cassandra.AwaitUp(b.program)
}
