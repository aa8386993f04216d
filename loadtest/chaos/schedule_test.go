package main

import (
	"fmt"
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
}
