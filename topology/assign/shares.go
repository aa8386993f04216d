package assign

import (
	"cmp"
	"math"
	"slices"
)

// slack is what rounding does to a share that is whole.
const slack = 1e-9

// setShares says how many shards each member is to have. Exact shares are by weight; how they are rounded is chosen so that as few shards move as
// can be, and of those as few as can be from zone to zone:
//
//	zones    7.5   4.5        one of them is rounded up, so that the sum is right
//	members  2.5 2.5 2.5  1.5 3.0       of these, as many as their zone needs
func (a *assignment) setShares() {
	exact := a.exactShares()
	zones := make([]zoneShare, a.zones)
	for shard, owner := range a.owner {
		if owner != nobody {
			zones[a.members[owner].zone].has++
		} else if z := a.zone[shard]; z != nobody {
			zones[z].has++
		}
	}
	left := len(a.owner)
	for i := range a.members {
		m := &a.members[i]
		z := &zones[m.zone]
		z.exact += exact[i]
		m.want = int(math.Floor(exact[i] + slack))
		z.want += m.want
		if exact[i]-float64(m.want) > slack {
			z.up = append(z.up, i)
		}
	}
	for i := range zones {
		z := &zones[i]
		whole := int(math.Floor(z.exact + slack))
		z.ups, z.whole = whole-z.want, z.exact-float64(whole) <= slack
		left -= whole
		slices.SortStableFunc(z.up, func(x, y int) int { return cmp.Compare(a.members[y].gains(), a.members[x].gains()) })
	}
	a.roundZones(zones, left)
	for i := range zones {
		z := &zones[i]
		for _, m := range z.up[:min(z.ups, len(z.up))] {
			a.members[m].want++
		}
	}
	a.adjust(exact)
}

// adjust has the shares add up where weights are so far apart that floating point does not.
func (a *assignment) adjust(exact []float64) {
	left := len(a.owner)
	for i := range a.members {
		left -= a.members[i].want
	}
	for ; left != 0; left -= sign(left) {
		best, most := nobody, math.Inf(-1)
		for i := range a.members {
			m := &a.members[i]
			if by := (exact[i] - float64(m.want)) * float64(sign(left)); by > most && (left > 0 || m.want > m.pinned) {
				best, most = i, by
			}
		}
		a.members[best].want += sign(left)
	}
}

func sign(n int) int { return cmp.Compare(n, 0) }

// zoneShare is what the members of one zone are to have together.
type zoneShare struct {
	exact float64
	whole bool  // exact is a whole number
	has   int   // shards that its members have, or had last
	want  int   // the sum of its members' exact shares, each rounded down
	up    []int // members whose exact share is not whole, those first of which fewer shards move where it is rounded up
	ups   int   // how many of these are rounded up
}

// roundZones rounds n zones up: those first of which fewer shards move then, and of these those of which fewer leave the zone.
func (a *assignment) roundZones(zones []zoneShare, n int) {
	var may []*zoneShare
	for i := range zones {
		if z := &zones[i]; !z.whole && z.ups < len(z.up) {
			may = append(may, z)
		}
	}
	slices.SortStableFunc(may, func(x, y *zoneShare) int {
		return cmp.Or(cmp.Compare(a.members[y.up[y.ups]].gains(), a.members[x.up[x.ups]].gains()), cmp.Compare(y.gains(), x.gains()))
	})
	for _, z := range may[:min(n, len(may))] {
		z.ups++
	}
}

// gains is how many shards fewer leave a member whose share is rounded up: 1 or 0.
func (s *share) gains() int { return one(s.n > s.want) }

// gains is how many shards fewer leave a zone whose share is rounded up: 1 or 0.
func (z *zoneShare) gains() int { return one(z.has > z.want+z.ups) }

func one(is bool) int {
	if is {
		return 1
	}
	return 0
}

// exactShares are by weight, but for members with more pinned shards than that: these have theirs, and the others share what is left.
func (a *assignment) exactShares() []float64 {
	exact := make([]float64, len(a.members))
	beyond := make([]bool, len(a.members))
	for {
		left, total := len(a.owner), 0.0
		for i := range a.members {
			if beyond[i] {
				left -= a.members[i].pinned
			} else {
				total += a.members[i].weight
			}
		}
		again := false
		for i := range a.members {
			m := &a.members[i]
			if beyond[i] {
				exact[i] = float64(m.pinned)
				continue
			}
			exact[i] = float64(left) * m.weight / total
			if float64(m.pinned) > math.Floor(exact[i]+slack) {
				beyond[i], again = true, true
			}
		}
		if !again {
			return exact
		}
	}
}
