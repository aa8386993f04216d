package topology

import "ramen/protocol"

// Static is a topology that never changes: one member owns every shard. It is the whole topology of a single process.
type Static struct{ view View }

var _ Topology = (*Static)(nil)

// NewStatic gives n shards to member, in this process, at epoch.
func NewStatic(member MemberID, epoch protocol.Epoch, n int) *Static {
	s := &Static{View{
		Version: 1,
		Shards:  make([]Shard, n),
		Members: map[MemberID]*Member{member: {ID: member, Weight: 1, State: MemberServing}},
	}}
	for i := range s.view.Shards {
		s.view.Shards[i] = Shard{Member: member, Epoch: epoch, State: ShardServing}
	}
	return s
}

// View is the one view.
func (s *Static) View() *View { return &s.view }

// Changed is nil: there is no newer view.
func (s *Static) Changed(*View) <-chan struct{} { return nil }
