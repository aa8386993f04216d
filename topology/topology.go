// Package topology says which member owns which shard of users, at which epoch.
//
// A View is immutable. Views of one topology only ever grow in Version, and the epoch of a shard never falls.
package topology

import (
	"github.com/cespare/xxhash/v2"

	"ramen/protocol"
)

// DefaultShards is how many shards a cluster has, unless it was made with another number. It is fixed for its life.
const DefaultShards = 1024

// MemberID names a gateway of the cluster.
type MemberID string

// Shard is the owner of one shard. An empty Member is none: the shard is between owners.
type Shard struct {
	Member MemberID
	Epoch  protocol.Epoch
}

// View is one state of the topology.
type View struct {
	Version uint64
	Shards  []Shard // by ShardID
}

// Topology follows who owns what.
type Topology interface {
	// View is the newest view; never nil.
	View() *View
	// Changed is closed once a view newer than v is there.
	Changed(v *View) <-chan struct{}
}

// ShardOf is the shard of user among n. Its value is fixed for ever: stores keep users under it.
func ShardOf(user protocol.UserID, n int) protocol.ShardID {
	return protocol.ShardID(xxhash.Sum64String(string(user)) % uint64(n))
}

// Owner is the owner of user, and the shard it is in.
func (v *View) Owner(user protocol.UserID) (protocol.ShardID, Shard) {
	id := ShardOf(user, len(v.Shards))
	return id, v.Shards[id]
}

// Static is a topology that never changes: one member owns every shard. It is the whole topology of a single process.
type Static struct{ view View }

var _ Topology = (*Static)(nil)

// NewStatic gives n shards to member at epoch.
func NewStatic(member MemberID, epoch protocol.Epoch, n int) *Static {
	s := &Static{View{Version: 1, Shards: make([]Shard, n)}}
	for i := range s.view.Shards {
		s.view.Shards[i] = Shard{Member: member, Epoch: epoch}
	}
	return s
}

// View is the one view.
func (s *Static) View() *View { return &s.view }

// Changed is never closed.
func (s *Static) Changed(*View) <-chan struct{} { return nil }
