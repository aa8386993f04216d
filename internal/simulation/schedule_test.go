package simulation

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// schedule is the life of one cluster: what there is, and what is done to it when. All of it follows from the seed.
type schedule struct {
	Seed                                                 uint64
	Unfenced                                             bool // the store takes appends of older epochs, as Cassandra does
	Shards, Moves                                        int
	Controllers, Gateways, Frontends, Users, DeviceCount int
	Ahead                                                []time.Duration // of gateways' clocks
	Every                                                time.Duration   // from publish to publish, of each publisher
	Acts                                                 []act
}

// act is something that is done.
type act struct {
	At    time.Duration // since the schedule began
	Name  string
	Which int           // of those that it may be done to
	For   time.Duration // how long it lasts
}

// The times of a schedule.
const (
	formed   = 4500 * time.Millisecond // a cluster has formed: a first view is not made before 3 s
	lastAct  = 6 * time.Second         // after formed
	longest  = 4 * time.Second         // an act lasts
	traffic  = 8 * time.Second         // after formed, publishers go on
	servedIn = 15 * time.Second        // from when nothing is done any more: each shard is served, and all that was accepted has come
	look     = 100 * time.Millisecond  // from look to look
)

// acts are what may be done, each as often as it stands here.
var acts = []string{
	"kill gateway", "kill gateway", "kill gateway", "drain gateway", "drain gateway", "add gateway", "add gateway",
	"pause gateway", "pause gateway", "cut gateway from etcd", "cut gateway from etcd", "cut etcd from gateway", "cut gateway from store", "cut store from gateway",
	"slow etcd, then cut gateway from etcd", "slow etcd, then cut gateway from etcd",
	"cut gateway from frontend", "cut frontend from etcd", "pause frontend", "kill frontend",
	"kill controller", "pause controller", "cut controller from etcd",
	"stop etcd", "wipe etcd",
	"drop device", "drop device", "drop device", "drop device",
}

func draw(seed uint64) *schedule {
	r := rand.New(rand.NewPCG(seed, 7))
	s := &schedule{Seed: seed, Unfenced: r.IntN(2) == 0, Shards: 2 + r.IntN(5), Moves: 1 + r.IntN(4), Controllers: 1 + r.IntN(2), Gateways: 2 + r.IntN(2),
		Frontends: 1 + r.IntN(2), Users: 2 + r.IntN(3), Every: time.Duration(150+r.IntN(350)) * time.Millisecond}
	s.DeviceCount = s.Users + r.IntN(3)
	for range 3 {
		s.Ahead = append(s.Ahead, []time.Duration{0, time.Second, -time.Second, 30 * time.Second, -30 * time.Second}[r.IntN(5)])
	}
	for range 1 + r.IntN(5) {
		a := act{At: formed + time.Duration(r.Int64N(int64(lastAct))), Name: acts[r.IntN(len(acts))], Which: r.IntN(100)}
		a.For = []time.Duration{time.Duration(r.Int64N(int64(800 * time.Millisecond))), time.Duration(r.Int64N(int64(longest)))}[r.IntN(2)]
		s.Acts = append(s.Acts, a)
	}
	slices.SortFunc(s.Acts, func(a, b act) int { return int(a.At - b.At) })
	return s
}

func (s *schedule) String() string {
	var b strings.Builder
	store := "fenced"
	if s.Unfenced {
		store = "unfenced"
	}
	fmt.Fprintf(&b, "seed %d: %d shards on a store that is %s, %d controllers, %d gateways with clocks ahead by %v, %d frontends, %d devices of %d users\n",
		s.Seed, s.Shards, store, s.Controllers, s.Gateways, s.Ahead, s.Frontends, s.DeviceCount, s.Users)
	for _, a := range s.Acts {
		fmt.Fprintf(&b, "  %v: %s %d for %v\n", a.At, a.Name, a.Which, a.For)
	}
	return b.String()
}
