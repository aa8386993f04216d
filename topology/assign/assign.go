package assign

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"

	"github.com/cespare/xxhash/v2"

	"ramen/topology"
)

// Place is where a shard is before an assignment.
type Place struct {
	Member topology.MemberID // empty: nobody has it
	Zone   string            // of Member, or of who had the shard last
}

// Shards says who is to own each shard: a pure function of where it is now, the members, and the names that shards are pinned to. pins may be
// nil. What holds of the answer, the first before the second and so on:
//
//  1. A pinned shard is at the member of that name, while that serves.
//  2. Each zone has its share of the shards by the weight of its members, and each member its share by its own, both rounded down or up.
//     Who has more by its pins alone keeps that, and the others share the rest.
//  3. No assignment with such shares moves fewer shards: one stays with its owner where that may have it.
//  4. Of those that move, no fewer could have gone from zone to zone.
//  5. Which shards go where, weighted rendezvous hashing of names says: what one member or zone had goes to all the others in proportion, and a
//     member that comes back under its name is given shards that it had.
//
// Where no member may own anything, owners stay. A zone is a name; the empty one is a zone like others.
func Shards(now []Place, members map[topology.MemberID]*topology.Member, pins map[int]string) []topology.MemberID {
	owners := make([]topology.MemberID, len(now))
	a := newAssignment(now, members)
	if len(a.members) == 0 {
		for shard, p := range now {
			owners[shard] = p.Member
		}
		return owners
	}
	a.pin(pins)
	a.setShares()
	a.place(true)
	a.place(false)
	for shard, i := range a.owner {
		owners[shard] = a.members[i].id
	}
	return owners
}

const nobody = -1

// share is what one member has, and is to have.
type share struct {
	id     topology.MemberID
	name   uint64 // the hash of its name
	zone   int
	weight float64
	n      int // shards
	pinned int // of these
	want   int // that it is to have
}

type assignment struct {
	members []share
	zones   int
	owner   []int // by shard: an index of members, or nobody
	zone    []int // by shard: where it was at first; nobody: in none of the members' zones
	pinned  []bool
	order   map[[2]int][]int32 // shards of a member, the best for another at the end
}

// newAssignment begins with the shards of owners that may keep them.
func newAssignment(now []Place, members map[topology.MemberID]*topology.Member) *assignment {
	a := &assignment{owner: make([]int, len(now)), zone: make([]int, len(now)), pinned: make([]bool, len(now)), order: make(map[[2]int][]int32)}
	for id, m := range members {
		if m.State == topology.MemberServing && m.Weight > 0 {
			a.members = append(a.members, share{id: id, name: xxhash.Sum64String(id.Name()), weight: m.Weight})
		}
	}
	slices.SortFunc(a.members, func(x, y share) int { return cmp.Compare(x.id, y.id) })
	index, zones := make(map[topology.MemberID]int, len(a.members)), make(map[string]int)
	for i := range a.members {
		m := &a.members[i]
		index[m.id] = i
		name := members[m.id].Zone
		if _, is := zones[name]; !is {
			zones[name] = len(zones)
		}
		m.zone = zones[name]
	}
	a.zones = len(zones)
	for shard, p := range now {
		a.owner[shard], a.zone[shard] = nobody, nobody
		if z, is := zones[p.Zone]; is {
			a.zone[shard] = z
		}
		if i, is := index[p.Member]; is {
			a.zone[shard] = a.members[i].zone
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
			if m := &a.members[i]; m.id.Name() == name {
				a.give(shard, i)
				a.pinned[shard] = true
				m.pinned++
				break
			}
		}
	}
}

// place moves shards, and gives those that nobody has, to members that have fewer than they are to have; local: within the zone of each.
func (a *assignment) place(local bool) {
	for shard, owner := range a.owner {
		if owner != nobody || local && a.zone[shard] == nobody {
			continue
		}
		if to := a.best(shard, local); to != nobody {
			a.give(shard, to)
		}
	}
	if !local {
		a.balance(func(*share) bool { return true })
		return
	}
	for z := range a.zones {
		a.balance(func(s *share) bool { return s.zone == z })
	}
}

// best is the member with the highest score for a shard among those that have fewer than they are to have.
func (a *assignment) best(shard int, local bool) int {
	best, highest := nobody, math.Inf(-1)
	for i := range a.members {
		if m := &a.members[i]; m.n < m.want && (!local || m.zone == a.zone[shard]) {
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

// balance moves shards, one at a time, among the members of a part: from who has the most too many to who has the most too few.
func (a *assignment) balance(in func(*share) bool) {
	for {
		from, to, most, least := nobody, nobody, 0, 0
		for i := range a.members {
			m := &a.members[i]
			if !in(m) {
				continue
			}
			if d := m.n - m.want; d > most {
				from, most = i, d
			} else if d < least {
				to, least = i, d
			}
		}
		if from == nobody || to == nobody {
			return
		}
		a.give(a.choose(from, to), to)
	}
}

// choose is the shard of from that to is the best for beside from. There is one that is not pinned: from is to have no fewer than it has pinned.
func (a *assignment) choose(from, to int) int {
	pair := [2]int{from, to}
	list, is := a.order[pair]
	if !is {
		list = a.sorted(from, to)
	}
	for {
		last := list[len(list)-1]
		list = list[:len(list)-1]
		if a.owner[last] == from {
			a.order[pair] = list
			return int(last)
		}
	}
}

// sorted are the shards of from that may move, the best for to at the end.
func (a *assignment) sorted(from, to int) []int32 {
	type scored struct {
		shard int32
		by    float64
	}
	var all []scored
	for shard, owner := range a.owner {
		if owner == from && !a.pinned[shard] {
			all = append(all, scored{int32(shard), a.members[to].score(shard) / a.members[from].score(shard)})
		}
	}
	slices.SortFunc(all, func(x, y scored) int { return cmp.Or(cmp.Compare(x.by, y.by), cmp.Compare(y.shard, x.shard)) })
	list := make([]int32, len(all))
	for i, s := range all {
		list[i] = s.shard
	}
	return list
}
