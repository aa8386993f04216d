// Package topology says which member owns which shard of users, at which epoch.
//
// Invariants:
//
//  1. A View is immutable: what a caller holds never changes.
//  2. Views of one topology only grow in Version, and keep the number of shards.
//  3. The epoch of a shard never falls, and another owner has a higher one. An epoch stays when a shard has lost its owner, so
//     that the next one is above it.
//  4. Whoever owns a shard is a member of the view, in whatever state.
//
// topologytest is the conformance suite. There is no goroutine here.
package topology

import (
	"github.com/cespare/xxhash/v2"

	"ramen/protocol"
)

// DefaultShards is how many shards a cluster has, unless it was made with another number. It is fixed for its life.
const DefaultShards = 1024

// Topology follows who owns what. It is safe for concurrent use.
type Topology interface {
	// View is the newest view; never nil.
	View() *View
	// Changed is closed once a view newer than v is there. nil: there will be none.
	Changed(v *View) <-chan struct{}
}

// ShardOf is the shard of user among n. Its value is fixed for ever, since stores keep users under it: testdata/shards.tsv
// is the proof.
func ShardOf(user protocol.UserID, n int) protocol.ShardID {
	return protocol.ShardID(xxhash.Sum64String(string(user)) % uint64(n))
}
