package topology

import (
	"fmt"

	"ramen/protocol"
)

// View is one state of the topology.
type View struct {
	Version uint64
	Shards  []Shard // by ShardID
	Members map[MemberID]*Member
}

// Shard says who owns one shard.
type Shard struct {
	Member MemberID       // empty: nobody, the shard is between owners
	Epoch  protocol.Epoch // of Member, or of the last owner; 0: there was none yet
	State  ShardState
}

// ShardState is how far a shard is on its way from owner to owner. Its owner may be a step ahead of the view.
type ShardState uint8

// The states of a shard.
const (
	ShardFree      ShardState = iota // nobody owns it
	ShardTaking                      // Member is to serve it, and may not be ready yet
	ShardServing                     // Member serves it
	ShardReleasing                   // Member serves it until it has given it up
)

var shardStates = [...]string{"free", "taking", "serving", "releasing"}

// String is the state's name, in logs and metrics.
func (s ShardState) String() string { return nameOf(shardStates[:], int(s)) }

// Owner is the owner of user, and the shard it is in.
func (v *View) Owner(user protocol.UserID) (protocol.ShardID, Shard) {
	id := ShardOf(user, len(v.Shards))
	return id, v.Shards[id]
}

// Reachable is the member to ask about a shard; nil where nobody owns it, or its owner is gone.
func (v *View) Reachable(id protocol.ShardID) *Member {
	m := v.Members[v.Shards[id].Member]
	if m == nil || m.State == MemberGone {
		return nil
	}
	return m
}

// Check reports the first thing in v that cannot be.
func (v *View) Check() error {
	if v.Version == 0 || len(v.Shards) == 0 {
		return fmt.Errorf("topology: view of version %d has %d shards: both must be at least 1", v.Version, len(v.Shards))
	}
	for id, m := range v.Members {
		if id == "" || m == nil || m.ID != id {
			return fmt.Errorf("topology: view %d: member %q is %+v", v.Version, id, m)
		}
	}
	for i, s := range v.Shards {
		switch {
		case (s.Member == "") != (s.State == ShardFree):
			return fmt.Errorf("topology: view %d: shard %d of member %q is %v", v.Version, i, s.Member, s.State)
		case s.Member != "" && v.Members[s.Member] == nil:
			return fmt.Errorf("topology: view %d: the owner of shard %d, %q, is not a member", v.Version, i, s.Member)
		case s.Member != "" && s.Epoch == 0:
			return fmt.Errorf("topology: view %d: shard %d of member %q has no epoch", v.Version, i, s.Member)
		}
	}
	return nil
}

// CheckAfter reports the first thing that cannot be in a view that follows older.
func (v *View) CheckAfter(older *View) error {
	if v.Version <= older.Version || len(v.Shards) != len(older.Shards) {
		return fmt.Errorf("topology: view %d of %d shards follows view %d of %d shards", v.Version, len(v.Shards), older.Version, len(older.Shards))
	}
	for i, s := range v.Shards {
		was := older.Shards[i]
		if s.Epoch < was.Epoch || s.Epoch == was.Epoch && s.Member != was.Member && s.Member != "" {
			return fmt.Errorf("topology: view %d: shard %d goes from member %q at epoch %d to %q at epoch %d", v.Version, i, was.Member, was.Epoch, s.Member, s.Epoch)
		}
	}
	return nil
}
