package controller

import (
	"cmp"
	"maps"
	"slices"

	"ramen/protocol"
	"ramen/topology"
	"ramen/topology/assign"
	"ramen/topology/registry"
)

// Inputs is what a view is computed from, beside the view before.
type Inputs struct {
	Gateways map[topology.MemberID]registry.Gateway  // by registration
	Holdings map[topology.MemberID]registry.Holdings // what each says of its shards
	Draining map[string]bool                         // names of members that operators have emptied
	Pins     map[int]string                          // shards that operators have moved, and to whom by name
	Moves    int                                     // the most planned moves at once
	Epoch    protocol.Epoch                          // the highest that any store knows
	Past     registry.Past                           // the highest that any member has seen of a registry that was lost
	Views    map[topology.MemberID]uint64            // the version of the view that each gateway has acted upon
	Stopped  bool                                    // Past has been known for as long as a registration lasts
	First    bool                                    // there is no view: whoever is registered has registered anew
}

// behindPast is by how much the version of the first view is more than what was seen of a registry that was lost. Members have not seen the same of it:
// a version beyond the half of that is of a view that was made since.
const behindPast = 1 << 20

// Step is the view that follows v; v itself where nothing has changed. It does not change v.
func Step(v *topology.View, in Inputs) *topology.View {
	next := &topology.View{Version: v.Version + 1, Shards: slices.Clone(v.Shards)}
	behind := in.Past.Version > 0 && v.Version <= in.Past.Version+behindPast/2
	if behind {
		next.Version = in.Past.Version + behindPast
	}
	next.Members = members(v, in)
	s := stepper{old: v, v: next, in: in}
	s.settle()
	s.raise()
	s.move()
	dropUnused(next)
	if slices.Equal(next.Shards, v.Shards) && maps.EqualFunc(next.Members, v.Members, func(a, b *topology.Member) bool { return *a == *b }) && !behind {
		return v
	}
	return next
}

// members are those that are registered, and those that have gone and own shards yet.
func members(v *topology.View, in Inputs) map[topology.MemberID]*topology.Member {
	all := make(map[topology.MemberID]*topology.Member, len(in.Gateways))
	for id, g := range in.Gateways {
		m := g.Member
		if in.Draining[id.Name()] && m.State != topology.MemberGone {
			m.State = topology.MemberDraining
		}
		all[id] = &m
	}
	for id, m := range v.Members {
		if all[id] == nil {
			gone := *m
			gone.State = topology.MemberGone
			all[id] = &gone
		}
	}
	return all
}

// dropUnused takes members out that have gone and own nothing.
func dropUnused(v *topology.View) {
	owners := make(map[topology.MemberID]bool)
	for _, s := range v.Shards {
		owners[s.Member] = true
	}
	for id, m := range v.Members {
		if m.State == topology.MemberGone && !owners[id] {
			delete(v.Members, id)
		}
	}
}

type stepper struct {
	old *topology.View
	v   *topology.View
	in  Inputs
}

// settle has the view follow what members say of their shards: who has begun to serve, has given up, has lost, has gone.
func (s *stepper) settle() {
	for i := range s.v.Shards {
		shard := &s.v.Shards[i]
		if shard.Member == "" {
			continue
		}
		if s.v.Members[shard.Member].State == topology.MemberGone {
			s.free(shard, 0)
			continue
		}
		said, is := s.in.Holdings[shard.Member][protocol.ShardID(i)]
		if !is || said.Epoch < shard.Epoch {
			continue // of an earlier ownership
		}
		switch {
		case said.State != registry.Serving:
			s.free(shard, said.Below)
		case shard.State == topology.ShardTaking:
			shard.State = topology.ShardServing
		}
	}
}

// raise has every shard go on above what was seen of a registry that was lost: who follows views from there could not go on to a lower epoch. Nobody
// owns it at first where the registry was restored from a backup: leases live again there, and who was given a shard behind that renews its own.
func (s *stepper) raise() {
	past := s.in.Past.Epoch
	for i := range s.v.Shards {
		switch shard := &s.v.Shards[i]; {
		case past == 0, shard.Epoch > past:
		case s.in.First:
			shard.Epoch = past
		default:
			*shard = topology.Shard{Epoch: past + 1}
		}
	}
}

// isRaised reports whether shard is as raise has left it.
func (s *stepper) isRaised(shard *topology.Shard) bool {
	return s.in.Past.Epoch > 0 && shard.Member == "" && shard.Epoch == s.in.Past.Epoch+1
}

// haveStopped reports whether nobody serves what was raised: who is registered has acted upon a view that says so, and the registration of anybody else
// has ended.
func (s *stepper) haveStopped() bool {
	for id := range s.in.Gateways {
		if s.in.Views[id] <= s.in.Past.Version+behindPast/2 {
			return false
		}
	}
	return s.in.Stopped
}

// free has nobody own a shard. below: nobody serves it at an epoch below.
func (s *stepper) free(shard *topology.Shard, below protocol.Epoch) {
	if below > 0 {
		shard.Epoch = max(shard.Epoch, below-1)
	}
	shard.Member, shard.State = "", topology.ShardFree
}

// move gives shards without an owner to somebody, and begins to move others to where they are to be.
func (s *stepper) move() {
	now := make([]assign.Place, len(s.v.Shards))
	moving := 0
	for i, shard := range s.v.Shards {
		if last := s.v.Members[cmp.Or(shard.Member, s.old.Shards[i].Member)]; last != nil {
			now[i].Zone = last.Zone
		}
		if shard.State != topology.ShardReleasing { // it goes wherever it is best by the time it is free
			now[i].Member = shard.Member
		}
		if shard.State == topology.ShardReleasing || shard.State == topology.ShardTaking {
			moving++
		}
	}
	want := assign.Shards(now, s.v.Members, s.in.Pins)
	stopped := s.haveStopped()
	for i := range s.v.Shards {
		shard := &s.v.Shards[i]
		if shard.Member == "" && want[i] != "" && (stopped || !s.isRaised(shard)) {
			*shard = topology.Shard{Member: want[i], Epoch: max(shard.Epoch, s.in.Epoch) + 1, State: topology.ShardTaking}
			moving++
		}
	}
	for _, i := range inTurn(now) {
		shard := &s.v.Shards[i]
		switch {
		case want[i] == shard.Member || want[i] == "":
		case shard.State == topology.ShardTaking && s.v.Members[shard.Member].State != topology.MemberServing: // it may never get so far
			shard.State = topology.ShardReleasing
		case shard.State == topology.ShardServing && moving < s.in.Moves:
			shard.State = topology.ShardReleasing
			moving++
		}
	}
}

// inTurn is the shards ordered so that those of one owner are spread among those of the others: a move loads them all alike.
func inTurn(now []assign.Place) []int {
	nth := make([]int, len(now))
	seen := make(map[topology.MemberID]int)
	order := make([]int, len(now))
	for i, p := range now {
		order[i], nth[i] = i, seen[p.Member]
		seen[p.Member]++
	}
	slices.SortStableFunc(order, func(a, b int) int { return nth[a] - nth[b] })
	return order
}
