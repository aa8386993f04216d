package main

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// schedule is what is done to a site, and when.
type schedule struct {
	name string
	play func(s *stage)
	idle time.Duration // instead of the configured time after which a mailbox leaves memory; 0: that
	// between is done when all is published and no device has a stream, before they take what waits; nil: nothing is.
	between func(s *stage)
}

// gather has messages wait for users without streams.
func (s *stage) gather() {
	s.clients.Depart()
	s.awaitAccepted(500)
}

func hash(text string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(text))
	return h.Sum64()
}

// schedules are all of a site: each fault alone, pairs of them within the same second, and those with a name of their own.
func schedules(st *site, c config) []schedule {
	if c.Short {
		return append([]schedule{shortSchedule(st, c)}, st.short...)
	}
	var all []schedule
	for _, f := range st.faults {
		all = append(all, schedule{name: f.name, play: func(s *stage) { s.inflictAll([]fault{f}, s.cfg.Hold) }})
	}
	for _, pair := range pairs(st.faults, c.Seed, c.Pairs) {
		all = append(all, schedule{name: pair[0].name + "+" + pair[1].name, play: func(s *stage) { s.inflictAll(pair, s.cfg.Hold) }})
	}
	return append(all, st.schedules...)
}

// pairs draws n different pairs of faults, at least one of which is the store's.
func pairs(faults []fault, seed uint64, n int) [][]fault {
	var all [][]fault
	for i, a := range faults {
		for _, b := range faults[i+1:] {
			if !a.fleet || !b.fleet {
				all = append(all, []fault{a, b})
			}
		}
	}
	rng := rand.New(rand.NewPCG(seed, 0))
	rng.Shuffle(len(all), func(i, k int) { all[i], all[k] = all[k], all[i] })
	return all[:min(n, len(all))]
}

// shortSchedule does several faults alone and some pairs, one after the other, in one run.
func shortSchedule(st *site, c config) schedule {
	return schedule{name: "short", play: func(s *stage) {
		quick := slices.DeleteFunc(slices.Clone(st.faults), func(f fault) bool { return f.long })
		done := make([][]fault, 0, len(quick)+c.Pairs)
		for _, f := range quick {
			done = append(done, []fault{f})
		}
		s.rng.Shuffle(len(done), func(i, k int) { done[i], done[k] = done[k], done[i] })
		if c.Alone > 0 {
			done = done[:min(c.Alone, len(done))]
		}
		done = append(done, pairs(quick, c.Seed, c.Pairs)...)
		for _, fs := range done {
			s.inflictAll(fs, s.cfg.Hold)
			s.must(s.awaitRecovery())
		}
	}}
}

// selected are the schedules that only names, by a part of their names; all where it is empty.
func selected(all []schedule, only string) ([]schedule, error) {
	if only == "" {
		return all, nil
	}
	var some []schedule
	var names []string
	for _, s := range all {
		names = append(names, s.name)
		for _, o := range strings.Split(only, ",") {
			if s.name == o {
				some = append(some, s)
			}
		}
	}
	if len(some) == 0 {
		return nil, fmt.Errorf("faults: none of %s is one of: %s", only, strings.Join(names, ", "))
	}
	return some, nil
}
