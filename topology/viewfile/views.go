package viewfile

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"ramen/protocol"
	"ramen/topology"
)

// Released is in whose name a shard is claimed that its owner has given up in order, so that another may take it at once.
const Released = "released"

// Claim is what the store says of one shard.
type Claim struct {
	Owner   topology.MemberID // a gateway's name, and behind an @ what tells its start from others; Released; empty: nobody
	Epoch   protocol.Epoch
	Present bool // Owner is there, as far as the store knows
	Unread  bool // the store has not answered
}

// Views is the topology that a file and claims make.
type Views struct {
	mu     sync.Mutex
	file   *File   // guarded by mu; nil: none yet
	claims []Claim // guarded by mu: as they were read last

	newest atomic.Pointer[version]
}

type version struct {
	view *topology.View
	next chan struct{} // closed once there is a newer one
}

var _ topology.Topology = (*Views)(nil)

// NewViews is a topology of so many shards, which nobody owns yet.
func NewViews(shards int) *Views {
	v := &Views{claims: make([]Claim, shards)}
	v.newest.Store(&version{&topology.View{Version: 1, Shards: make([]topology.Shard, shards), Members: map[topology.MemberID]*topology.Member{}}, make(chan struct{})})
	return v
}

// View implements topology.Topology.
func (v *Views) View() *topology.View { return v.newest.Load().view }

// Changed implements topology.Topology.
func (v *Views) Changed(old *topology.View) <-chan struct{} {
	now := v.newest.Load()
	if now.view.Version > old.Version {
		over := make(chan struct{})
		close(over)
		return over
	}
	return now.next
}

// SetFile has the members be those of f.
func (v *Views) SetFile(f *File) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.file = f
	v.publishLocked()
}

// SetClaims has the owners be those of claims, of which there is one a shard. An epoch that is lower than before is that of a store that has lost
// claims, which their owners make again: it changes nothing.
func (v *Views) SetClaims(claims []Claim) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for i, c := range claims {
		was := &v.claims[i]
		if c.Unread || c.Epoch < was.Epoch || c.Epoch == was.Epoch && c.Owner != was.Owner {
			continue
		}
		*was = c
	}
	v.publishLocked()
}

// publishLocked makes a newer view where something has changed. With mu held.
func (v *Views) publishLocked() {
	last := v.newest.Load()
	next := &topology.View{Version: last.view.Version + 1, Shards: make([]topology.Shard, len(v.claims)), Members: make(map[topology.MemberID]*topology.Member)}
	owning := make(map[string]bool) // names
	for i, c := range v.claims {
		next.Shards[i].Epoch = max(c.Epoch, last.view.Shards[i].Epoch)
		if c.Owner == "" || c.Owner == Released || c.Epoch == 0 {
			continue
		}
		next.Shards[i].Member, next.Shards[i].State = c.Owner, topology.ShardServing
		m := next.Members[c.Owner]
		if m == nil {
			owner := v.member(c.Owner)
			m = &owner
			next.Members[c.Owner] = m
			owning[c.Owner.Name()] = true
		}
		if c.Present && m.Address != "" {
			m.State = topology.MemberServing
		}
	}
	if v.file != nil {
		for name, m := range v.file.Members {
			if !owning[name] {
				m.State = topology.MemberJoining
				next.Members[m.ID] = &m
			}
		}
	}
	same := func(a, b *topology.Member) bool { return *a == *b }
	if slices.Equal(next.Shards, last.view.Shards) && maps.EqualFunc(next.Members, last.view.Members, same) {
		return
	}
	v.newest.Store(&version{next, make(chan struct{})})
	close(last.next)
}

// member is who owns something: gone, until the store says that it is there. One that the file does not name cannot be reached.
func (v *Views) member(id topology.MemberID) topology.Member {
	m := topology.Member{}
	if v.file != nil {
		m = v.file.Members[id.Name()]
	}
	m.ID, m.State = id, topology.MemberGone
	return m
}
