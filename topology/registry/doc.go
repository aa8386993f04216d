// Package registry is what the members of a cluster and its controllers write to each other: a few keys in etcd, each of one writer.
//
//	shards            how many shards the cluster has: written once, when it is made
//	view              who owns what: written by the elected controller
//	leader            which controller is elected; of its lease
//	gateways/ID       what a gateway is: address, zone, weight, state; of its lease
//	holdings/ID       what a gateway says of the shards that views have given it; of its lease
//	frontends/ID      what a frontend is; of its lease
//	controllers/ID    what a controller is; of its lease
//	draining/NAME     an operator wants the gateway of that name empty
//	pins/SHARD        an operator wants the shard at the gateway of that name
//
// Backend is the little of etcd that this needs: package etcd has the real one, package memory one for tests in virtual time, and
// registrytest is the suite of both. Mirror follows all keys, and survives that an etcd is lost and replaced by an empty one.
//
// Goroutines: one a Mirror.
package registry
