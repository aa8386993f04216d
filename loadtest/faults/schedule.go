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
	of   string        // the names of its acts, where it has several
	acts bool          // play begins and ends acts; else all of it is one
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

// schedules are all of a site: each fault alone, pairs of them within the same second, several in one stage, and those with a name of
// their own.
func schedules(st *site, c config) []schedule {
	if c.Short {
		return append([]schedule{shortSchedule(st, c)}, st.short...)
	}
	all := chains("alone", c.missing(st, each(st.faults)), c.Singles, c.Hold)
	two := c.missing(st, pairs(st.faults, c.Seed, -1))
	if c.Pairs >= 0 {
		two = two[:min(c.Pairs, len(two))]
	}
	// What takes long comes last, so that a run of a bounded time does the most.
	slices.SortStableFunc(two, func(a, b []fault) int { return starts(a) - starts(b) })
	all = append(all, chains("pairs", two, c.Chain, c.PairHold)...)
	for _, sc := range st.schedules {
		if !c.done[done{st.name, sc.name}] {
			all = append(all, sc)
		}
	}
	return all
}

// starts is how many of the faults of an act have nodes start again.
func starts(act []fault) (n int) {
	for _, f := range act {
		if f.starts {
			n++
		}
	}
	return n
}

// missing are the acts that are still to be done.
func (c *config) missing(st *site, acts [][]fault) [][]fault {
	return slices.DeleteFunc(acts, func(fs []fault) bool { return c.done[done{st.name, nameOf(fs)}] })
}

// each is the faults as acts of one.
func each(faults []fault) [][]fault {
	var all [][]fault
	for _, f := range faults {
		all = append(all, []fault{f})
	}
	return all
}

// ofActs is a schedule of faults at once, and again of others once messages are accepted again.
func ofActs(name string, acts [][]fault, hold time.Duration) schedule {
	return schedule{name: name, acts: true, play: func(s *stage) {
		for i, fs := range acts {
			if i > 0 {
				sleep(s.ctx, s.cfg.Calm/2)
			}
			s.perform(fs, hold)
		}
	}}
}

// chains are schedules of up to length acts each, named kind-01 and so on, or as their only act. An act that may lose messages has one of its
// own: a loss excuses whatever was published before.
func chains(kind string, all [][]fault, length int, hold time.Duration) []schedule {
	var made []schedule
	var chain [][]fault
	several := 0
	add := func(acts [][]fault) {
		name := nameOf(acts[0])
		if len(acts) > 1 {
			several++
			name = fmt.Sprintf("%s-%02d", kind, several)
		}
		sc := ofActs(name, acts, hold)
		if len(acts) > 1 {
			for _, fs := range acts {
				sc.of += nameOf(fs) + " "
			}
		}
		made = append(made, sc)
	}
	for _, fs := range all {
		if slices.ContainsFunc(fs, func(f fault) bool { return f.excuses.Loses }) {
			add([][]fault{fs})
			continue
		}
		if chain = append(chain, fs); len(chain) >= length {
			add(chain)
			chain = nil
		}
	}
	if len(chain) > 0 {
		add(chain)
	}
	return made
}

// pairs draws n different pairs of faults, at least one of which is the store's; all of them where n is below 0.
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
	if n < 0 {
		return all
	}
	return all[:min(n, len(all))]
}

// shortSchedule does several faults alone and some pairs, one after the other, in one run.
func shortSchedule(st *site, c config) schedule {
	return schedule{name: "short", acts: true, play: func(s *stage) {
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
			s.perform(fs, s.cfg.Hold)
		}
	}}
}

// selected are the schedules that only names; all where it is empty. A fault and a pair have names by themselves, too.
func selected(st *site, c config) ([]schedule, error) {
	all := schedules(st, c)
	if c.Only == "" {
		return all, nil
	}
	for _, f := range st.faults {
		all = append(all, ofActs(f.name, each([]fault{f}), c.Hold))
	}
	for _, pair := range pairs(st.faults, c.Seed, -1) {
		all = append(all, ofActs(nameOf(pair), [][]fault{pair}, c.PairHold), ofActs(pair[1].name+"+"+pair[0].name, [][]fault{pair}, c.PairHold))
	}
	var some []schedule
	for _, name := range strings.Split(c.Only, ",") {
		i := slices.IndexFunc(all, func(s schedule) bool { return s.name == name })
		if i < 0 {
			var names []string
			for _, s := range schedules(st, c) {
				names = append(names, s.name)
			}
			return nil, fmt.Errorf("faults: there is no schedule %s of %s: there is %s, and each pair by the names of its faults, as a+b", name, st.name, strings.Join(names, ", "))
		}
		some = append(some, all[i])
	}
	return some, nil
}
