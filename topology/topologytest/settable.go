package topologytest

import (
	"maps"
	"slices"
	"sync"

	"ramen/protocol"
	"ramen/topology"
)

// Settable is a topology in memory that is changed by hand: shards move, members join, drain and die. It keeps to what
// package topology promises, and panics on a change that would break it.
type Settable struct {
	mu      sync.Mutex
	view    *topology.View // guarded by mu
	changed chan struct{}  // guarded by mu; closed by the next change
}

var _ topology.Topology = (*Settable)(nil)

// NewSettable is a topology of n shards without owners. Members that have no state are serving.
func NewSettable(n int, members ...topology.MemberID) *Settable {
	v := &topology.View{Version: 1, Shards: make([]topology.Shard, n), Members: make(map[topology.MemberID]*topology.Member)}
	for _, m := range members {
		v.Members[m] = &topology.Member{ID: m, Weight: 1, State: topology.MemberServing}
	}
	must(v.Check())
	return &Settable{view: v, changed: make(chan struct{})}
}

// View implements topology.Topology.
func (s *Settable) View() *topology.View {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.view
}

var over = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// Changed implements topology.Topology.
func (s *Settable) Changed(v *topology.View) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.view.Version > v.Version {
		return over
	}
	return s.changed
}

// Update publishes a newer view: edit changes a copy of the newest, whose Version is raised already.
func (s *Settable) Update(edit func(v *topology.View)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := &topology.View{Version: s.view.Version + 1, Shards: slices.Clone(s.view.Shards), Members: maps.Clone(s.view.Members)}
	edit(next)
	must(next.Check())
	must(next.CheckAfter(s.view))
	s.view = next
	close(s.changed)
	s.changed = make(chan struct{})
}

// Move makes to the owner of shards, each at the epoch after its last.
func (s *Settable) Move(to topology.MemberID, shards ...protocol.ShardID) {
	s.Update(func(v *topology.View) {
		for _, id := range shards {
			v.Shards[id] = topology.Shard{Member: to, Epoch: v.Shards[id].Epoch + 1, State: topology.ShardServing}
		}
	})
}

// Free takes shards from their owners.
func (s *Settable) Free(shards ...protocol.ShardID) {
	s.Update(func(v *topology.View) {
		for _, id := range shards {
			v.Shards[id] = topology.Shard{Epoch: v.Shards[id].Epoch}
		}
	})
}

// Join adds members, or replaces those with the same ids.
func (s *Settable) Join(members ...topology.Member) {
	s.Update(func(v *topology.View) {
		for _, m := range members {
			v.Members[m.ID] = &m
		}
	})
}

// SetState changes the state of a member. What it owns stays its own: a member that is gone has yet to be replaced.
func (s *Settable) SetState(id topology.MemberID, state topology.MemberState) {
	s.Update(func(v *topology.View) {
		m := *v.Members[id]
		m.State = state
		v.Members[id] = &m
	})
}

// All is every shard.
func (s *Settable) All() []protocol.ShardID {
	all := make([]protocol.ShardID, len(s.View().Shards))
	for i := range all {
		all[i] = protocol.ShardID(i)
	}
	return all
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
