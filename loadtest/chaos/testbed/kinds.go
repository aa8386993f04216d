package testbed

import (
	"slices"
	"time"

	"ramen/internal/localcluster"
	"ramen/loadtest/ledger/judge"
)

// kinds are all faults. What each excuses is what it may show, and no more.
var kinds = []Fault{
	// A gateway that is killed takes with it acks that it had not saved.
	{Name: "gateway-killed", excuses: judge.Span{Owner: true}, do: (*Bed).killGateway},
	{Name: "gateway-drained", excuses: judge.Span{Serves: true}, do: (*Bed).drainGateway},
	{Name: "gateway-paused", excuses: judge.Span{Owner: true}, do: (*Bed).pauseGateway},
	{Name: "gateway-added", excuses: judge.Span{Serves: true}, do: (*Bed).addGateway},
	// Publishes over a frontend that is killed or stopped have no answer, and acks that it had not handed on go with it.
	{Name: "frontend-killed", excuses: judge.Span{Owner: true}, ends: localcluster.Frontend, do: (*Bed).killFrontend},
	{Name: "frontend-drained", excuses: judge.Span{}, ends: localcluster.Frontend, do: (*Bed).drainFrontend},
	{Name: "frontend-paused", excuses: judge.Span{Owner: true, Silent: true}, ends: localcluster.Frontend, do: (*Bed).pauseFrontend},
	{Name: "elected-killed", excuses: judge.Span{Owner: true}, do: (*Bed).killElected},
	{Name: "elected-paused", excuses: judge.Span{Owner: true}, do: (*Bed).pauseElected},
	// Owners whose leases end stop, with acks that they have not saved.
	{Name: "controllers-killed", excuses: judge.Span{Owner: true}, do: (*Bed).killControllers},
	{Name: "etcd-wiped", excuses: judge.Span{Owner: true}, do: (*Bed).wipeEtcd},
	{Name: "rolling-restart", excuses: judge.Span{}, ends: localcluster.Frontend, all: true, do: (*Bed).rollAll},
	{Name: "upgraded", excuses: judge.Span{}, ends: localcluster.Frontend, all: true, lacks: (*Config).lacksPrevious, do: (*Bed).upgrade},

	// Partitions. Who is cut off from its lease or its store stops serving, with acks that it has not saved; acks that a frontend has taken
	// for a gateway that it does not reach go with their streams.
	{Name: "frontends-gateways-cut", excuses: judge.Span{Owner: true}, lacks: (*Config).lacksNetwork, do: cut(frontends, gateways)},
	{Name: "frontends-controllers-cut", excuses: judge.Span{}, lacks: (*Config).lacksNetwork, do: cut(frontends, controllers)},
	{Name: "gateways-controllers-cut", excuses: judge.Span{Owner: true}, lacks: (*Config).lacksNetwork, do: cut(gateways, controllers)},
	{Name: "gateways-store-cut", excuses: judge.Span{Owner: true}, lacks: (*Config).lacksNetwork, do: cut(gateways, theStore)},
	{Name: "controllers-cut", excuses: judge.Span{Owner: true}, lacks: (*Config).lacksNetwork, do: (*Bed).cutControllers},

	{Name: "redis-killed", excuses: judge.Span{Owner: true}, lacks: onlyOn(Redis), do: (*Bed).killRedis},
	{Name: "redis-paused", excuses: judge.Span{Owner: true}, lacks: onlyOn(Redis), do: (*Bed).pauseRedis},
	{Name: "master-killed", excuses: judge.Span{Owner: true}, lacks: onlyOn(RedisCluster, RedisClusterFlushed), do: (*Bed).killMaster},
	{Name: "master-paused", excuses: judge.Span{Owner: true}, lacks: onlyOn(RedisCluster, RedisClusterFlushed), do: (*Bed).pauseMaster},
	{Name: "replica-killed", excuses: judge.Span{Owner: true}, lacks: onlyOn(RedisCluster, RedisClusterFlushed), do: (*Bed).killReplica},
	{Name: "slots-moved", excuses: judge.Span{}, lacks: onlyOn(RedisCluster, RedisClusterFlushed), do: (*Bed).moveSlots},
	// What it had answered for is gone, but for what gateways have in memory.
	{Name: "master-flushed", excuses: judge.Span{Owner: true, Loses: true}, lacks: onlyOn(RedisClusterFlushed), do: (*Bed).flushMaster},
	// Of three nodes two are a quorum.
	{Name: "node-killed", excuses: judge.Span{Serves: true}, lacks: onlyOn(Cassandra), do: (*Bed).killNode},
	{Name: "node-paused", excuses: judge.Span{Serves: true}, lacks: onlyOn(Cassandra), do: (*Bed).pauseNode},
	{Name: "two-nodes-paused", excuses: judge.Span{Owner: true}, lacks: onlyOn(Cassandra), do: (*Bed).pauseTwoNodes},
	{Name: "only-node-killed", excuses: judge.Span{Owner: true}, lacks: onlyOn(CassandraOne), do: (*Bed).killNode},
}

// Names are those of all faults.
func Names() []string {
	var names []string
	for _, k := range kinds {
		names = append(names, k.Name)
	}
	return names
}

// Lacks says of a fault that cannot be done to a testbed why; empty: it can be. It panics where there is none of the name.
func (c *Config) Lacks(name string) string {
	f := Named(name, 0, 0)
	if f.lacks == nil {
		return ""
	}
	return f.lacks(c)
}

func (c *Config) lacksPrevious() string {
	if c.Previous == "" {
		return "there is no previous binary"
	}
	return ""
}

func (c *Config) lacksNetwork() string {
	if c.Network == nil {
		return "there is no network of its own"
	}
	return ""
}

// onlyOn is of faults that are done to some stores.
func onlyOn(stores ...string) func(*Config) string {
	return func(c *Config) string {
		if !slices.Contains(stores, c.Store) {
			return "the store is another"
		}
		return ""
	}
}

// Named is the fault of a name, done to the nth member, for hold. It panics where there is none of the name.
func Named(name string, nth int, hold time.Duration) Fault {
	i := slices.IndexFunc(kinds, func(k Fault) bool { return k.Name == name })
	if i < 0 {
		panic("testbed: there is no fault " + name)
	}
	f := kinds[i]
	f.Nth, f.Hold = nth, hold
	return f
}
