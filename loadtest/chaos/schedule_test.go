package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"ramen/loadtest/chaos/testbed"
)

// TestSeedReproducesTheSchedule, and another seed gives another one, in which each fault comes first once alone.
func TestSeedReproducesTheSchedule(t *testing.T) {
	draw := func(seed uint64) (text string) {
		s := newSchedule(seed, testbed.Names())
		seen := make(map[string]bool)
		for i := range 100 {
			fs := s.next()
			for _, f := range fs {
				text += fmt.Sprintf("%s after %v; ", &f, f.After)
				if h, is := holds[f.Name]; !is || f.Hold < h[0] || f.Hold > h[1] {
					t.Errorf("seed %d: %s lasts %v", seed, f.Name, f.Hold)
				}
			}
			if i < len(testbed.Names()) {
				seen[fs[0].Name] = len(fs) == 1
			}
		}
		for _, name := range testbed.Names() {
			if !seen[name] {
				t.Errorf("seed %d: %s does not come first alone", seed, name)
			}
		}
		return text
	}
	first := draw(1)
	if again := draw(1); again != first {
		t.Error("one seed gives two schedules")
	}
	if draw(2) == first {
		t.Error("two seeds give one schedule")
	}
	if !strings.HasPrefix(first, upgraded) {
		t.Errorf("a cluster that starts with the binary before is not upgraded first: %.100s", first)
	}
}

// TestFaultsThatCannotBeDoneAreLeftOut, and it is said why.
func TestFaultsThatCannotBeDoneAreLeftOut(t *testing.T) {
	for _, x := range []struct {
		store, previous string
		with, without   []string
	}{
		{testbed.Redis, "", []string{"gateway-killed", "redis-killed"}, []string{"upgraded", "frontends-gateways-cut", "master-killed", "node-killed"}},
		{testbed.RedisCluster, "ramen", []string{"upgraded", "master-killed"}, []string{"redis-killed", "master-flushed"}},
		{testbed.RedisClusterFlushed, "", []string{"master-flushed"}, []string{"node-killed"}},
		{testbed.Cassandra, "", []string{"node-killed"}, []string{"only-node-killed", "redis-paused"}},
	} {
		c := defaults()
		c.bed.Store, c.bed.Previous = x.store, x.previous
		var said strings.Builder
		names := possible(&said, c)
		for _, name := range x.with {
			if !slices.Contains(names, name) {
				t.Errorf("%s: %s is left out: %s", x.store, name, &said)
			}
		}
		for _, name := range x.without {
			if slices.Contains(names, name) || !strings.Contains(said.String(), name) {
				t.Errorf("%s: %s is not left out, or nothing is said of it: %s", x.store, name, &said)
			}
		}
	}
}
