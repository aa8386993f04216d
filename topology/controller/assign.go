package controller

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"

	"github.com/cespare/xxhash/v2"

	"ramen/topology"
)

// Assign says who is to own each shard: a pure function of who owns it now, the members, and the names that shards are pinned to. pins may be
// nil.
//
// Each serving member has its share by weight, rounded down or up: even within one shard. A shard stays with its owner where that may have
// it: no assignment with these shares moves fewer. Which shards go where, weighted rendezvous hashing of names says: a member that
// comes back under its name is given shards that it had. Where no member may own anything, owners stay.
func Assign(now []topology.MemberID, members map[topology.MemberID]*topology.Member, pins map[int]string) []topology.MemberID {
	a := newAssignment(now, members)
	if len(a.members) == 0 {
		return slices.Clone(now)
	}
	a.pin(pins)
	a.setShares()
	a.placeFree()
	a.balance(func(s *share) bool { return s.n > s.most }, func(s *share) bool { return s.n < s.most })
	a.balance(func(s *share) bool { return s.n > s.least }, func(s *share) bool { return s.n < s.least })
	owners := make([]topology.MemberID, len(now))
	for shard, i := range a.owner {
		owners[shard] = a.members[i].id
	}
	return owners
}

const nobody = -1

// share is what one member has, and is to have.
type share struct {
	id          topology.MemberID
	name        uint64 // the hash of its name
	weight      float64
	n           int  // shards
	least, most int  // that it is to have
	stuck       bool // all that it has is pinned
}

type assignment struct {
	members []share
	owner   []int // by shard: an index of members, or nobody
	pinned  []bool
}

// newAssignment begins with the shards of owners that may keep them.
func newAssignment(now []topology.MemberID, members map[topology.MemberID]*topology.Member) *assignment {
	a := &assignment{owner: make([]int, len(now)), pinned: make([]bool, len(now))}
	for id, m := range members {
		if m.State == topology.MemberServing && m.Weight > 0 {
			a.members = append(a.members, share{id: id, name: xxhash.Sum64String(id.Name()), weight: m.Weight})
		}
	}
	slices.SortFunc(a.members, func(x, y share) int { return cmp.Compare(x.id, y.id) })
	index := make(map[topology.MemberID]int, len(a.members))
	for i := range a.members {
		index[a.members[i].id] = i
	}
	for shard, id := range now {
		a.owner[shard] = nobody
		if i, is := index[id]; is {
			a.give(shard, i)
		}
	}
	return a
}

func (a *assignment) give(shard, to int) {
	if from := a.owner[shard]; from != nobody {
		a.members[from].n--
	}
	a.owner[shard] = to
	a.members[to].n++
}

// pin gives shards to the members of the names that they are pinned to, where these are there.
func (a *assignment) pin(pins map[int]string) {
	for shard, name := range pins {
		if shard < 0 || shard >= len(a.owner) {
			continue
		}
		for i := range a.members {
			if a.members[i].id.Name() == name {
				a.give(shard, i)
				a.pinned[shard] = true
				break
			}
		}
	}
}

// setShares says how many shards each member is to have.
func (a *assignment) setShares() {
	total := 0.0
	for i := range a.members {
		total += a.members[i].weight
	}
	const slack = 1e-9 // of what rounding does to a share that is whole
	for i := range a.members {
		m := &a.members[i]
		exact := float64(len(a.owner)) * m.weight / total
		m.least, m.most = int(math.Floor(exact+slack)), int(math.Ceil(exact-slack))
	}
}

// placeFree gives shards without an owner to those that have fewer than their least, and then to those that have fewer than their most.
func (a *assignment) placeFree() {
	for shard, owner := range a.owner {
		if owner != nobody {
			continue
		}
		to := a.best(shard, func(s *share) bool { return s.n < s.least })
		if to == nobody {
			to = a.best(shard, func(s *share) bool { return s.n < s.most })
		}
		if to == nobody { // pinned shards have filled some beyond their share
			to = a.best(shard, func(*share) bool { return true })
		}
		a.give(shard, to)
	}
}

// best is the member with the highest score for shard among those that may have it.
func (a *assignment) best(shard int, may func(*share) bool) int {
	best, highest := nobody, math.Inf(-1)
	for i := range a.members {
		if m := &a.members[i]; may(m) {
			if s := m.score(shard); s > highest {
				best, highest = i, s
			}
		}
	}
	return best
}

// score is that of weighted rendezvous hashing: -weight / ln(u), where u is uniform in (0,1) by shard and name.
func (s *share) score(shard int) float64 {
	var key [16]byte
	binary.LittleEndian.PutUint64(key[:8], s.name)
	binary.LittleEndian.PutUint64(key[8:], uint64(shard))
	u := (float64(xxhash.Sum64(key[:])>>11) + 0.5) / (1 << 53)
	return -s.weight / math.Log(u)
}

// balance moves shards, one at a time, from members that have too many to those that have too few. Of two kinds of these, those below
// their least come first.
func (a *assignment) balance(over, under func(*share) bool) {
	for {
		from := a.extreme(func(s *share) bool { return over(s) && !s.stuck }, func(s *share) float64 { return float64(s.n) - float64(s.most) })
		to := a.extreme(func(s *share) bool { return s.n < s.least }, func(s *share) float64 { return float64(s.least) - float64(s.n) })
		if to == nobody {
			to = a.extreme(under, func(s *share) float64 { return float64(s.most) - float64(s.n) })
		}
		if from == nobody || to == nobody {
			return
		}
		shard := a.choose(from, to)
		if shard == nobody {
			a.members[from].stuck = true
			continue
		}
		a.give(shard, to)
	}
}

// extreme is the member with the largest measure among those that match.
func (a *assignment) extreme(match func(*share) bool, measure func(*share) float64) int {
	best, largest := nobody, math.Inf(-1)
	for i := range a.members {
		if m := &a.members[i]; match(m) {
			if x := measure(m); x > largest {
				best, largest = i, x
			}
		}
	}
	return best
}

// choose is the shard of from that to is the best for beside from; nobody where all are pinned.
func (a *assignment) choose(from, to int) int {
	best, highest := nobody, math.Inf(-1)
	for shard, owner := range a.owner {
		if owner != from || a.pinned[shard] {
			continue
		}
		if s := a.members[to].score(shard) / a.members[from].score(shard); s > highest {
			best, highest = shard, s
		}
	}
	return best
}
