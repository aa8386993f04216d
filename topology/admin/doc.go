// Package admin is what operators see of a cluster, and what they change: in its registry and among its controllers' etcd members.
//
// Invariants:
//
//  1. What is seen comes from a mirror of the registry, and says how old that is. What is changed is checked against the registry itself.
//  2. A change is one key of the registry (draining/NAME, pins/SHARD), or one call of etcd's. The elected controller acts upon it.
//  3. Errors are of type *protocol.Error.
//
// There is no goroutine here.
package admin
