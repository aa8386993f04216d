package lease

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"ramen/gateway"
	"ramen/topology"
)

// Self is the name of the only member of the topology.
const Self topology.MemberID = "self"

// views makes a topology of what becomes of the shards in the gateway: this process owns those that it serves, and nobody the others.
type views struct {
	newest  atomic.Pointer[version]
	changed chan struct{} // of capacity 1: shards is newer than the newest view

	mu     sync.Mutex
	shards []topology.Shard // guarded by mu
}

type version struct {
	view *topology.View
	next chan struct{} // closed once there is a newer one
}

func (v *views) init(n int) {
	v.shards, v.changed = make([]topology.Shard, n), make(chan struct{}, 1)
	view := &topology.View{Version: 1, Shards: slices.Clone(v.shards),
		Members: map[topology.MemberID]*topology.Member{Self: {ID: Self, Weight: 1, State: topology.MemberServing}}}
	v.newest.Store(&version{view, make(chan struct{})})
}

// View implements topology.Topology.
func (l *Lease) View() *topology.View { return l.views.newest.Load().view }

// Changed implements topology.Topology.
func (l *Lease) Changed(old *topology.View) <-chan struct{} {
	now := l.views.newest.Load()
	if now.view.Version > old.Version {
		over := make(chan struct{})
		close(over)
		return over
	}
	return now.next
}

var _ topology.Topology = (*Lease)(nil)

// OnShard is for gateway.Deps.
func (l *Lease) OnShard(e gateway.Event) {
	v := &l.views
	v.mu.Lock()
	s := &v.shards[e.Shard]
	if s.Epoch = max(s.Epoch, e.Epoch); e.To == gateway.StateServing {
		s.Member, s.State = Self, topology.ShardServing
	} else {
		s.Member, s.State = "", topology.ShardFree
	}
	v.mu.Unlock()
	select {
	case v.changed <- struct{}{}:
	default:
	}
}

// publish makes a newer view, where something has changed. It is the loop's.
func (v *views) publish() {
	old := v.newest.Load()
	v.mu.Lock()
	same := slices.Equal(v.shards, old.view.Shards)
	shards := slices.Clone(v.shards)
	v.mu.Unlock()
	if same {
		return
	}
	v.newest.Store(&version{&topology.View{Version: old.view.Version + 1, Shards: shards, Members: maps.Clone(old.view.Members)}, make(chan struct{})})
	close(old.next)
}
