package controller

import (
	"fmt"
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

func count(owners []topology.MemberID) map[topology.MemberID]int {
	n := make(map[topology.MemberID]int)
	for _, o := range owners {
		n[o]++
	}
	return n
}

// least is the fewest moves after which every member has its share, and nobody else anything.
func least(now []topology.MemberID, members memberMap) int {
	total := 0.0
	for _, m := range members {
		if m.State == topology.MemberServing {
			total += m.Weight
		}
	}
	n := count(now)
	over, under, homeless := 0, 0, len(now)
	for id, m := range members {
		if m.State != topology.MemberServing || m.Weight == 0 {
			continue
		}
		homeless -= n[id]
		exact := float64(len(now)) * m.Weight / total
		over += max(0, n[id]-int(math.Ceil(exact-1e-9)))
		under += max(0, int(math.Floor(exact+1e-9))-n[id])
	}
	return max(homeless+over, under)
}

func moved(a, b []topology.MemberID) (n int) {
	for i := range a {
		if a[i] != b[i] {
			n++
		}
	}
	return n
}

// TestAssignIsEvenAndMovesLeast: members come, go, drain and change their weights by chance. Every serving one has its share by weight, within
// one shard, and no assignment that is as even would have moved fewer.
func TestAssignIsEvenAndMovesLeast(t *testing.T) {
	r := rand.New(rand.NewPCG(seed(t), 1))
	for range 60 {
		const shards = 1024
		members := serving(1, 1, 1)
		now := Assign(make([]topology.MemberID, shards), members, nil)
		for step := range 30 {
			switch id := topology.MemberID(fmt.Sprintf("gw-%d", r.IntN(14))); {
			case members[id] == nil:
				members[id] = &topology.Member{ID: id, Weight: []float64{0.5, 1, 1, 1, 2, 3}[r.IntN(6)], State: topology.MemberServing}
			case r.IntN(4) == 0:
				members[id].State = topology.MemberDraining
			case r.IntN(3) == 0:
				members[id].State = topology.MemberServing
			case len(members) > 2:
				delete(members, id)
			}
			total := 0.0
			for _, m := range members {
				if m.State == topology.MemberServing {
					total += m.Weight
				}
			}
			next := Assign(now, members, nil)
			if total == 0 {
				if !slices.Equal(next, now) {
					t.Fatal("nobody may own anything, and shards move")
				}
				continue
			}
			if got, want := moved(now, next), least(now, members); got > want {
				t.Fatalf("step %d: %d shards move; %d are enough", step, got, want)
			}
			for id, n := range count(next) {
				m := members[id]
				if m == nil || m.State != topology.MemberServing {
					t.Fatalf("%q has %d shards", id, n)
				}
				if exact := shards * m.Weight / total; math.Abs(float64(n)-exact) >= 1 {
					t.Fatalf("%s has %d shards; its share is %.1f", id, n, exact)
				}
			}
			now = next
		}
	}
}

// TestAssignIsOfItsArgumentsAlone: the same arguments, the same answer, and none is changed.
func TestAssignIsOfItsArgumentsAlone(t *testing.T) {
	members := serving(1, 2, 1, 1)
	first := Assign(make([]topology.MemberID, 256), members, map[int]string{3: "gw-1"})
	delete(members, "gw-2")
	before := slices.Clone(first)
	a := Assign(first, members, nil)
	for range 20 {
		if b := Assign(first, members, nil); !slices.Equal(a, b) || !slices.Equal(first, before) {
			t.Fatal("another answer, or its argument has changed")
		}
	}
}

// TestMemberThatComesBackHasItsShards: most of those that it had before, though all of them were elsewhere meanwhile.
func TestMemberThatComesBackHasItsShards(t *testing.T) {
	members := serving(1, 1, 1, 1)
	first := Assign(make([]topology.MemberID, 1024), members, nil)
	gone := members["gw-2"]
	delete(members, "gw-2")
	meanwhile := Assign(first, members, nil)
	members["gw-2@again"] = &topology.Member{ID: "gw-2@again", Weight: gone.Weight, State: topology.MemberServing}
	same, other := 0, 0
	for i, o := range Assign(meanwhile, members, nil) {
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
	now := Assign(make([]topology.MemberID, 96), members, nil)
	pins := make(map[int]string)
	for i := range 40 { // more than its share
		pins[i] = "gw-1"
	}
	pins[50], pins[4000], pins[-1] = "gw-7", "gw-1", "gw-1" // nobody, and no shards
	next := Assign(now, members, pins)
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
	if n := count(Assign(next, members, pins)); n["gw-0"] != 48 || n["gw-2"] != 48 {
		t.Errorf("without gw-1: %v", n)
	}
}

func BenchmarkAssign(b *testing.B) {
	for _, n := range []int{3, 30, 300, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			members := serving(slices.Repeat([]float64{1}, n)...)
			now := Assign(make([]topology.MemberID, 1024), members, nil)
			delete(members, "gw-1")
			b.ReportAllocs()
			for b.Loop() {
				Assign(now, members, nil)
			}
		})
	}
}
