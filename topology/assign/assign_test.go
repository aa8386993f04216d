package assign

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"ramen/topology"
)

func seed(t *testing.T) uint64 {
	s := uint64(time.Now().UnixNano())
	if text := os.Getenv("RAMEN_SEED"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal("RAMEN_SEED must be a number")
		}
		s = n
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("again with RAMEN_SEED=%d", s)
		}
	})
	return s
}

type memberMap = map[topology.MemberID]*topology.Member

func serving(weights ...float64) memberMap {
	all := make(memberMap)
	for i, w := range weights {
		id := topology.MemberID(fmt.Sprintf("gw-%d", i))
		all[id] = &topology.Member{ID: id, Weight: w, State: topology.MemberServing}
	}
	return all
}

// inZones puts members into zones of these names, in turn.
func inZones(members memberMap, zones ...string) memberMap {
	for i, id := range slices.Sorted(maps.Keys(members)) {
		members[id].Zone = zones[i%len(zones)]
	}
	return members
}

// nowhere is n shards that nobody has.
func nowhere(n int) []Place { return make([]Place, n) }

// at is the places of shards with these owners.
func at(owners []topology.MemberID, members memberMap) []Place {
	now := make([]Place, len(owners))
	for i, o := range owners {
		if now[i].Member = o; members[o] != nil {
			now[i].Zone = members[o].Zone
		}
	}
	return now
}

func count(owners []topology.MemberID) map[topology.MemberID]int {
	n := make(map[topology.MemberID]int)
	for _, o := range owners {
		n[o]++
	}
	return n
}

// least is the fewest moves after which every zone and every member has its share, rounded down or up, and nobody else anything; and of these the
// fewest from zone to zone. It tries all ways of rounding.
func least(now []Place, members memberMap) (moves, crossing int) {
	var all []*topology.Member
	total := 0.0
	for _, m := range members {
		if m.State == topology.MemberServing && m.Weight > 0 {
			all = append(all, m)
			total += m.Weight
		}
	}
	has, had := make(map[topology.MemberID]int), make(map[string]int)
	for _, p := range now {
		has[p.Member]++
		had[p.Zone]++
	}
	zoneExact := make(map[string]float64)
	for _, m := range all {
		zoneExact[m.Zone] += float64(len(now)) * m.Weight / total
	}
	moves = math.MaxInt
	for ups := range 1 << len(all) {
		kept, sum, zone := 0, 0, make(map[string]int)
		for i, m := range all {
			exact := float64(len(now)) * m.Weight / total
			want := int(math.Floor(exact + 1e-9))
			if ups>>i&1 == 1 {
				if math.Abs(exact-math.Round(exact)) < 1e-9 {
					sum = -1
					break
				}
				want++
			}
			sum += want
			zone[m.Zone] += want
			kept += min(want, has[m.ID])
		}
		possible, stay := sum == len(now), 0
		known := 0
		for z, n := range zone {
			possible = possible && math.Abs(float64(n)-zoneExact[z]) < 1-1e-9
			stay += min(n, had[z])
			known += had[z]
		}
		if x := len(now) - kept; possible && (x < moves || x == moves && known-stay < crossing) {
			moves, crossing = x, known-stay
		}
	}
	return moves, crossing
}

// moved is how many shards change their member, and how many of these the zone, of those that were in the zone of a member that serves.
func moved(now []Place, next []topology.MemberID, members memberMap) (moves, crossing int) {
	zones := make(map[string]bool)
	for _, m := range members {
		if m.State == topology.MemberServing && m.Weight > 0 {
			zones[m.Zone] = true
		}
	}
	for i, p := range now {
		if p.Member != next[i] {
			moves++
		}
		if zones[p.Zone] && members[next[i]].Zone != p.Zone {
			crossing++
		}
	}
	return moves, crossing
}

// TestShardsIsEvenAndMovesLeast: members of three zones come, go, drain and change by chance. Every zone and every serving member has its share by
// weight, within one shard. No assignment that is as even would have moved fewer, nor as few with fewer from zone to zone.
func TestShardsIsEvenAndMovesLeast(t *testing.T) {
	r := rand.New(rand.NewPCG(seed(t), 1))
	for round := range 30 {
		shards := []int{16, 100, 1024}[round%3]
		zones := []string{"", "east", "west"}[:1+r.IntN(3)]
		members := inZones(serving(1, 1, 1), zones...)
		now := at(Shards(nowhere(shards), members, nil), members)
		for step := range 30 {
			switch id := topology.MemberID(fmt.Sprintf("gw-%d", r.IntN(11))); {
			case members[id] == nil:
				members[id] = &topology.Member{ID: id, Zone: zones[r.IntN(len(zones))], Weight: []float64{0.5, 1, 1, 1, 2, 3}[r.IntN(6)], State: topology.MemberServing}
			case r.IntN(4) == 0:
				members[id].State = topology.MemberDraining
			case r.IntN(3) == 0:
				members[id].State = topology.MemberServing
			case len(members) > 2:
				delete(members, id)
			}
			for i := range now {
				if r.IntN(50) == 0 { // it is on its way
					now[i].Member = ""
				}
			}
			next := Shards(now, members, nil)
			if shares(members) == nil {
				for i, p := range now {
					if next[i] != p.Member {
						t.Fatal("nobody may own anything, and shards move")
					}
				}
				continue
			}
			wantMoves, wantCrossing := least(now, members)
			if moves, crossing := moved(now, next, members); moves != wantMoves || crossing != wantCrossing {
				t.Fatalf("step %d: %d shards of %d move, %d from zone to zone; %d and %d are enough", step, moves, shards, crossing, wantMoves, wantCrossing)
			}
			checkShares(t, next, members)
			now = at(next, members)
			if again := Shards(now, members, nil); !slices.Equal(again, next) {
				t.Fatalf("step %d: shards move on though nothing has changed", step)
			}
		}
	}
}

// shares is each serving member's part of all shards, by weight; nil: nobody may own any.
func shares(members memberMap) map[topology.MemberID]float64 {
	total := 0.0
	for _, m := range members {
		if m.State == topology.MemberServing {
			total += m.Weight
		}
	}
	if total == 0 {
		return nil
	}
	of := make(map[topology.MemberID]float64)
	for id, m := range members {
		if m.State == topology.MemberServing {
			of[id] = m.Weight / total
		}
	}
	return of
}

// checkShares finds a member or a zone that has one shard or more beside its share.
func checkShares(t *testing.T, owners []topology.MemberID, members memberMap) {
	t.Helper()
	exact, of := make(map[string]float64), shares(members)
	n := make(map[string]int)
	for _, o := range owners {
		if of[o] == 0 {
			t.Fatalf("%q has shards", o)
		}
		n["member "+string(o)]++
		n["zone "+members[o].Zone]++
	}
	for id, part := range of {
		exact["member "+string(id)] += part * float64(len(owners))
		exact["zone "+members[id].Zone] += part * float64(len(owners))
	}
	for name, x := range exact {
		if math.Abs(float64(n[name])-x) > 1-1e-9 {
			t.Fatalf("%s has %d shards; its share is %.2f", name, n[name], x)
		}
	}
}

// TestLostZoneIsSharedByAllOthers: whatever a zone had goes to the members of the others by their weight, and what one member had goes to all of
// them; nothing else moves. Once it is back it has most of what it had.
func TestLostZoneIsSharedByAllOthers(t *testing.T) {
	r := rand.New(rand.NewPCG(seed(t), 3))
	for range 20 {
		const shards = 1024
		members := serving(1, 1, 1, 1, 1, 1, 2, 2, 2)
		for _, m := range members {
			m.Weight *= []float64{1, 1, 2}[r.IntN(3)]
		}
		inZones(members, "east", "west", "north")
		before := Shards(nowhere(shards), members, nil)
		rest := make(memberMap)
		for id, m := range members {
			if m.Zone != "east" {
				rest[id] = m
			}
		}
		after := Shards(at(before, members), rest, nil)
		checkShares(t, after, rest)
		gone := make(map[topology.MemberID]map[topology.MemberID]int)
		for i, o := range before {
			switch {
			case rest[o] != nil && after[i] != o:
				t.Fatalf("shard %d of %s moves to %s, though %s is there", i, o, after[i], o)
			case rest[o] == nil:
				if gone[o] == nil {
					gone[o] = make(map[topology.MemberID]int)
				}
				gone[o][after[i]]++
			}
		}
		for o, to := range gone {
			lost := 0
			for _, n := range to {
				lost += n
			}
			for id, part := range shares(rest) {
				mean := part * float64(lost)
				if dev := 6 * math.Sqrt(mean); math.Abs(float64(to[id])-mean) > dev {
					t.Errorf("of the %d shards that %s had, %s has %d; its share is %.1f", lost, o, id, to[id], mean)
				}
			}
		}
		back := Shards(at(after, rest), members, nil)
		checkShares(t, back, members)
		had, has := 0, 0
		for i, o := range before {
			if members[o].Zone != "east" {
				continue
			}
			if had++; members[back[i]].Zone == "east" {
				has++
			}
		}
		if has < had/2 {
			t.Errorf("the zone has %d again of the %d shards that it had", has, had)
		}
	}
}

// TestMovesStayInTheirZone: where one zone grows by a member and its share stays, no shard leaves or enters it.
func TestMovesStayInTheirZone(t *testing.T) {
	members := inZones(serving(2, 2, 2, 2), "east", "west")
	before := at(Shards(nowhere(1024), members, nil), members)
	for id, m := range members {
		if m.Zone == "east" { // the two of it have become three
			m.Weight = 4.0 / 3
			members["new"] = &topology.Member{ID: "new", Zone: "east", Weight: 4.0 / 3, State: topology.MemberServing}
		} else {
			members[id].Weight = 2
		}
	}
	next := Shards(before, members, nil)
	moves, crossing := moved(before, next, members)
	if n := count(next)["new"]; moves != n || n < 170 || crossing != 0 {
		t.Errorf("%d shards move, %d of them from zone to zone; the new member has %d", moves, crossing, n)
	}
}

// TestShardsIsOfItsArgumentsAlone: the same arguments, the same answer, and none is changed.
func TestShardsIsOfItsArgumentsAlone(t *testing.T) {
	members := serving(1, 2, 1, 1)
	first := at(Shards(nowhere(256), members, map[int]string{3: "gw-1"}), members)
	delete(members, "gw-2")
	before := slices.Clone(first)
	a := Shards(first, members, nil)
	for range 20 {
		if b := Shards(first, members, nil); !slices.Equal(a, b) || !slices.Equal(first, before) {
			t.Fatal("another answer, or its argument has changed")
		}
	}
}

// TestMemberThatComesBackHasItsShards: most of those that it had before, though all of them were elsewhere meanwhile.
func TestMemberThatComesBackHasItsShards(t *testing.T) {
	members := serving(1, 1, 1, 1)
	first := Shards(nowhere(1024), members, nil)
	gone := members["gw-2"]
	delete(members, "gw-2")
	meanwhile := Shards(at(first, members), members, nil)
	members["gw-2@again"] = &topology.Member{ID: "gw-2@again", Weight: gone.Weight, State: topology.MemberServing}
	same, other := 0, 0
	for i, o := range Shards(at(meanwhile, members), members, nil) {
		switch {
		case o == "gw-2@again" && first[i] == "gw-2":
			same++
		case o == "gw-2@again":
			other++
		}
	}
	if same < 3*other {
		t.Errorf("of its shards %d are those that it had, %d are others", same, other)
	}
}

// TestPinnedShardsAreWhereTheyArePinned, while the member of that name is there; the others make up for it.
func TestPinnedShardsAreWhereTheyArePinned(t *testing.T) {
	members := serving(1, 1, 1)
	now := Shards(nowhere(96), members, nil)
	pins := make(map[int]string)
	for i := range 40 { // more than its share
		pins[i] = "gw-1"
	}
	pins[50], pins[4000], pins[-1] = "gw-7", "gw-1", "gw-1" // nobody, and no shards
	next := Shards(at(now, members), members, pins)
	n := count(next)
	for i := range 40 {
		if next[i] != "gw-1" {
			t.Errorf("shard %d is at %s", i, next[i])
		}
	}
	if n["gw-1"] != 40 || n["gw-0"] != 28 || n["gw-2"] != 28 {
		t.Errorf("%v", n)
	}
	delete(members, "gw-1")
	if n := count(Shards(at(next, members), members, pins)); n["gw-0"] != 48 || n["gw-2"] != 48 {
		t.Errorf("without gw-1: %v", n)
	}
}

// TestShardsBearsWhateverWeightsAndPins: every shard has an owner, and what is pinned is where it is pinned.
func TestShardsBearsWhateverWeightsAndPins(t *testing.T) {
	r := rand.New(rand.NewPCG(seed(t), 4))
	for range 2000 {
		members := make(memberMap)
		for i := range 1 + r.IntN(8) {
			id := topology.MemberID(fmt.Sprintf("gw-%d@%d", r.IntN(6), i))
			members[id] = &topology.Member{ID: id, Zone: []string{"", "east"}[r.IntN(2)], State: topology.MemberState(1 + r.IntN(2)),
				Weight: []float64{0, 1e-9, 1.0 / 3, 0.1, 1, 7, 1000}[r.IntN(7)]}
		}
		now := nowhere(1 + r.IntN(200))
		for i := range now {
			now[i].Member = topology.MemberID(fmt.Sprintf("gw-%d@%d", r.IntN(6), r.IntN(8)))
		}
		pins := make(map[int]string)
		for range r.IntN(1 + len(now)) {
			pins[r.IntN(len(now))] = fmt.Sprintf("gw-%d", r.IntN(6))
		}
		next := Shards(now, members, pins)
		if of := shares(members); of == nil {
			continue
		}
		names := make(map[string]bool)
		for id, m := range members {
			if m.State == topology.MemberServing && m.Weight > 0 {
				names[id.Name()] = true
			}
		}
		for i, o := range next {
			if m := members[o]; m == nil || m.State != topology.MemberServing || m.Weight == 0 {
				t.Fatalf("shard %d is given to %q", i, o)
			}
			if p := pins[i]; names[p] && o.Name() != p {
				t.Fatalf("shard %d is pinned to %s and given to %s", i, p, o)
			}
		}
	}
}

func BenchmarkShards(b *testing.B) {
	for _, n := range []int{3, 30, 300, 1000} {
		for _, shards := range []int{1024, 65536} {
			b.Run(fmt.Sprintf("members=%d/shards=%d", n, shards), func(b *testing.B) {
				members := inZones(serving(slices.Repeat([]float64{1}, n)...), "east", "west", "north")
				now := at(Shards(nowhere(shards), members, nil), members)
				delete(members, "gw-1")
				b.ReportAllocs()
				for b.Loop() {
					Shards(now, members, nil)
				}
			})
		}
	}
}
