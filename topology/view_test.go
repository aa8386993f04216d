package topology

import "testing"

// TestReachableIsWhoCanBeAsked: an owner that is gone is nobody, one that drains still serves.
func TestReachableIsWhoCanBeAsked(t *testing.T) {
	for _, c := range []struct {
		shard Shard
		state MemberState
		want  bool
	}{
		{Shard{}, MemberServing, false},
		{Shard{Epoch: 4}, MemberServing, false},
		{Shard{"a", 4, ShardServing}, MemberServing, true},
		{Shard{"a", 4, ShardTaking}, MemberServing, true},
		{Shard{"a", 4, ShardReleasing}, MemberDraining, true},
		{Shard{"a", 4, ShardServing}, MemberJoining, true}, // ahead of its own registration
		{Shard{"a", 4, ShardServing}, MemberGone, false},
		{Shard{"b", 4, ShardServing}, MemberServing, false}, // nobody knows it
	} {
		v := &View{Version: 1, Shards: []Shard{c.shard}, Members: map[MemberID]*Member{"a": {ID: "a", State: c.state}}}
		if m := v.Reachable(0); (m != nil) != c.want || m != nil && m.ID != "a" {
			t.Errorf("shard %+v of a member that is %v: %+v", c.shard, c.state, m)
		}
	}
}
