package main

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ramen/loadtest/ledger/judge"
)

// TestChainsHaveEachPairOnce, and one that may lose messages by itself: a loss excuses what was published before.
func TestChainsHaveEachPairOnce(t *testing.T) {
	var all []fault
	for i := range 9 {
		all = append(all, fault{name: string(rune('a' + i)), fleet: i < 4, excuses: judge.Span{Loses: i == 6}})
	}
	c := defaults()
	c.Chain = 4
	st := &site{name: "some", faults: all}
	c.Pairs, c.Singles, c.Only = -1, 4, "g+b,b+g,pairs-01,a,alone-02,g"
	some, err := selected(st, c)
	if err != nil || len(some) != 6 || some[0].name != "g+b" || some[2].name != "pairs-01" {
		t.Fatalf("%v, %v", some, err)
	}
	made := chains("pairs", pairs(all, 7, -1), c.Chain, c.PairHold)
	alone, long := 0, 0
	for _, s := range made {
		switch {
		case strings.HasPrefix(s.name, "pairs-"):
			long++
		case strings.Contains(s.name, "g"):
			alone++
		}
	}
	// 30 pairs: 8 with g; 22 others are 5 chains of 4, and 2.
	if alone != 8 || long != 6 || len(made) != 14 {
		t.Errorf("%d chains, %d of them with a pair that may lose messages, %d with several", len(made), alone, long)
	}
}

// TestRestLeavesOutWhatTheTableHas with its figures: what did not come back by itself has none, and is done again.
func TestRestLeavesOutWhatTheTableHas(t *testing.T) {
	c := defaults()
	c.Table, c.Pairs, c.Chain = filepath.Join(t.TempDir(), "table"), -1, 100
	f, err := openTable(c.Table)
	if err != nil {
		t.Fatal(err)
	}
	row{store: "some", act: "a+b"}.write(f)
	row{store: "another", act: "a+c"}.write(f)
	row{store: "some", act: "b"}.write(f)
	row{store: "some", act: "named"}.write(f)
	fmt.Fprint(f, notBack("some", "b+c", 7))
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	st := &site{name: "some", faults: []fault{{name: "a"}, {name: "b"}, {name: "c"}}, schedules: []schedule{{name: "named"}}}
	acts := func() (names []string) {
		for _, s := range schedules(st, c) {
			names = append(names, strings.Fields(cmp.Or(s.of, s.name))...)
		}
		slices.Sort(names)
		return names
	}
	if got, want := acts(), []string{"a", "a+b", "a+c", "b", "b+c", "c", "named"}; !slices.Equal(got, want) {
		t.Errorf("all are %v, not %v", got, want)
	}
	if c.done, err = readTable(c.Table); err != nil {
		t.Fatal(err)
	}
	if got, want := acts(), []string{"a", "a+c", "b+c", "c"}; !slices.Equal(got, want) {
		t.Errorf("the rest is %v, not %v", got, want)
	}
}
