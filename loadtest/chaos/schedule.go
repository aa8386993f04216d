package main

import (
	"math/rand/v2"
	"slices"
	"time"

	"ramen/loadtest/chaos/testbed"
)

// holds is how long faults last: from, to.
var holds = map[string][2]time.Duration{
	"gateway-killed":     {0, 3 * time.Second},
	"gateway-drained":    {0, time.Second},
	"gateway-paused":     {3500 * time.Millisecond, 7 * time.Second}, // beyond its lease
	"gateway-added":      {0, 2 * time.Second},
	"frontend-killed":    {0, 2 * time.Second},
	"frontend-drained":   {0, time.Second},
	"frontend-paused":    {500 * time.Millisecond, 4 * time.Second},
	"elected-killed":     {0, 3 * time.Second},
	"elected-paused":     {4 * time.Second, 7 * time.Second},
	"controllers-killed": {time.Second, 6 * time.Second},
	"etcd-wiped":         {0, 3 * time.Second},
	"rolling-restart":    {},
	"upgraded":           {},
	"redis-killed":       {0, 2 * time.Second},
	"redis-paused":       {500 * time.Millisecond, 4 * time.Second},

	// Beyond a lease of 2.4 s, and beyond what a registration lives, at times.
	"frontends-gateways-cut":    {500 * time.Millisecond, 8 * time.Second},
	"frontends-controllers-cut": {time.Second, 8 * time.Second},
	"gateways-controllers-cut":  {500 * time.Millisecond, 8 * time.Second},
	"gateways-store-cut":        {500 * time.Millisecond, 6 * time.Second},
	"controllers-cut":           {time.Second, 8 * time.Second},

	"master-killed":    {0, 2 * time.Second},
	"master-paused":    {500 * time.Millisecond, 5 * time.Second}, // promoted after some 2 s
	"replica-killed":   {0, 2 * time.Second},
	"slots-moved":      {},
	"master-flushed":   {},
	"node-killed":      {0, 2 * time.Second},
	"node-paused":      {500 * time.Millisecond, 5 * time.Second},
	"two-nodes-paused": {500 * time.Millisecond, 4 * time.Second},
	"only-node-killed": {0, time.Second},
}

// schedule draws what is done: all of it follows from the seed. Kinds come in rounds, in each of which every kind comes once, in another order.
type schedule struct {
	rng   *rand.Rand
	names []string
	left  []string // of the round
	round int
	nth   int
}

func newSchedule(seed uint64, names []string) *schedule {
	s := &schedule{rng: rand.New(rand.NewPCG(seed, 0)), names: names}
	s.shuffle()
	if i := slices.Index(s.left, upgraded); i > 0 { // the cluster has started with the binary before
		s.left[0], s.left[i] = s.left[i], s.left[0]
	}
	return s
}

func (s *schedule) shuffle() {
	s.round++
	s.left = slices.Clone(s.names)
	s.rng.Shuffle(len(s.left), func(i, k int) { s.left[i], s.left[k] = s.left[k], s.left[i] })
}

// next is what is done at once: each kind alone in the first round, then every other time two within the same second.
func (s *schedule) next() []testbed.Fault {
	first := s.draw()
	if s.nth++; s.round == 1 || s.nth%2 == 0 {
		return []testbed.Fault{first}
	}
	second := s.draw()
	second.After = time.Duration(s.rng.Int64N(int64(time.Second)))
	return []testbed.Fault{first, second}
}

func (s *schedule) draw() testbed.Fault {
	if len(s.left) == 0 {
		s.shuffle()
	}
	name := s.left[0]
	s.left = s.left[1:]
	h := holds[name]
	return testbed.Named(name, s.rng.IntN(12), h[0]+time.Duration(s.rng.Int64N(int64(h[1]-h[0])+1)))
}
