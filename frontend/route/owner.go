package route

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"ramen/link"
	"ramen/protocol"
	"ramen/topology"
)

// Links is where the router finds the link to a gateway.
type Links interface {
	// Dial is the link to m, at m.Address; false where there is none. It does not wait: calls of a link that does not stand
	// yet answer link.ErrNotSent.
	Dial(m *topology.Member) (link.Gateway, bool)
}

// floors is, for each shard, the epoch below which nobody serves it any more, as gateways have said: the view may be older. It is
// immutable.
type floors []protocol.Epoch

// floorKeeper has the newest floors. They change when a shard has moved, and are read with every call.
type floorKeeper struct {
	newest atomic.Pointer[floors]
	mu     sync.Mutex // held while they are replaced
}

func (k *floorKeeper) init(shards int) {
	f := make(floors, shards)
	k.newest.Store(&f)
}

func (k *floorKeeper) load() floors { return *k.newest.Load() }

// raise notes that nobody serves the shard below epoch.
func (k *floorKeeper) raise(id protocol.ShardID, epoch protocol.Epoch) {
	if epoch <= k.load()[id] {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	next := slices.Clone(k.load())
	next[id] = max(next[id], epoch)
	k.newest.Store(&next)
}

// learn takes in what an answer says of the shard.
func (k *floorKeeper) learn(id protocol.ShardID, err error) {
	if not, ok := errors.AsType[*link.NotOwnerError](err); ok {
		k.raise(id, not.Below)
	}
}

// ownership is who serves each shard, as far as a frontend knows at one moment: what an attempt goes by from beginning to end.
type ownership struct {
	view   *topology.View
	floors floors
}

func (r *Router) ownership() ownership { return ownership{r.topology.View(), r.floors.load()} }

// of is whom to ask about a shard; empty where that is nobody, or somebody who is known not to serve it any more. Whether he is
// gone is seen when he is dialed.
func (o ownership) of(id protocol.ShardID) topology.MemberID {
	s := &o.view.Shards[id]
	if s.Epoch < o.floors[id] {
		return ""
	}
	return s.Member
}

// reachable is the member to ask about a shard, or nil.
func (o ownership) reachable(id protocol.ShardID) *topology.Member {
	if o.of(id) == "" {
		return nil
	}
	return o.view.Reachable(id)
}

// dial is the link to whom to ask about a shard; false where there is none.
func (r *Router) dial(o ownership, id protocol.ShardID) (link.Gateway, bool) {
	m := o.reachable(id)
	if m == nil {
		return nil, false
	}
	return r.links.Dial(m)
}

// news reports whether now is a reason to ask about the shard again, where the last attempt went by the view failed: it says
// something else of the shard, or has somebody to ask where there was nobody.
func (o ownership) news(failed *topology.View, id protocol.ShardID) bool {
	return o.reachable(id) != nil && (o.view.Shards[id] != failed.Shards[id] || ownership{failed, o.floors}.reachable(id) == nil)
}
