package admin

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"time"

	"ramen/protocol"
	"ramen/topology"
	"ramen/topology/registry"
)

// Status is a cluster as one of its members knows it. SPEC 8.6.
type Status struct {
	ID         string   `json:"id"`       // drawn when the cluster was made; empty: it has not been made yet
	HeardMS    int64    `json:"heard_ms"` // how long ago the registry was last heard of
	View       Summary  `json:"view"`
	Controller string   `json:"controller"` // the elected one; empty: none is
	Members    []Member `json:"members"`
	Moves      []Move   `json:"moves"`    // shards that are not served, or are about to be given up
	Draining   []Drain  `json:"draining"` // what operators want empty
	Pins       []Pin    `json:"pins"`     // what operators have moved
	Problems   []string `json:"problems"` // where the members and the view contradict each other
}

// Summary is a view in numbers. Version 0: there is none yet.
type Summary struct {
	Version uint64 `json:"version"`
	Shards  int    `json:"shards"`
	Counts
	Free int `json:"free"`
}

// Counts is shards by state.
type Counts struct {
	Taking    int `json:"taking"`
	Serving   int `json:"serving"`
	Releasing int `json:"releasing"`
}

// Member is one process of the cluster.
type Member struct {
	ID        topology.MemberID `json:"id"`
	Name      string            `json:"name"`
	Roles     []string          `json:"roles"`
	State     string            `json:"state"`
	Address   string            `json:"address"`   // of its links; empty: it takes none
	Operators string            `json:"operators"` // of its operators' port; empty: unknown
	Zone      string            `json:"zone"`
	Weight    float64           `json:"weight"`
	Version   string            `json:"version"`
	Epoch     protocol.Epoch    `json:"epoch"` // the highest that its store knew when it started
	StartedMS int64             `json:"started_ms"`
	Shards    Counts            `json:"shards"`       // of the view
	View      uint64            `json:"view_version"` // that it has acted upon; a controller has none
	Behind    uint64            `json:"behind"`       // how many versions that is older than the view
	Streams   int64             `json:"streams"`
	Mailboxes int64             `json:"mailboxes"`
	Accepted  float64           `json:"accepted_per_second"`
	Pushed    float64           `json:"pushed_per_second"`
}

// Move is a shard on its way.
type Move struct {
	Shard  int               `json:"shard"`
	State  string            `json:"state"`
	Member topology.MemberID `json:"member"` // that gives it up (releasing) or takes it (taking); empty: nobody has it (free)
	Epoch  protocol.Epoch    `json:"epoch"`
}

// Drain is a gateway that operators want empty.
type Drain struct {
	Name    string `json:"name"`
	SinceMS int64  `json:"since_ms"`
	Shards  int    `json:"shards"` // that it has yet
}

// Pin is a shard that operators have moved.
type Pin struct {
	Shard int    `json:"shard"`
	To    string `json:"to"` // the name of a gateway
}

// Describe is the cluster that s is of. It was heard of at heard, and its view came so long ago as viewAge says.
func Describe(s registry.Snapshot, heard time.Time, viewAge time.Duration) Status {
	k := read(s)
	out := Status{ID: k.id, Controller: string(s.Entries[registry.LeaderKey].Value), Members: []Member{}, Moves: []Move{}, Draining: []Drain{}, Pins: []Pin{}, Problems: k.compare()}
	if !heard.IsZero() {
		out.HeardMS = max(0, time.Since(heard).Milliseconds())
	}
	out.View = Summary{Version: k.view.Version, Shards: len(k.view.Shards)}
	for i, shard := range k.view.Shards {
		if shard.State == topology.ShardFree {
			out.View.Free++
		} else {
			out.View.Counts.add(shard.State)
		}
		if shard.State != topology.ShardServing {
			out.Moves = append(out.Moves, Move{i, shard.State.String(), shard.Member, shard.Epoch})
		}
	}
	out.Members = k.members(viewAge > 2*registry.LoadEvery(len(s.Entries)))
	for _, name := range slices.Sorted(maps.Keys(s.Draining())) {
		since, _ := strconv.ParseInt(string(s.Entries[registry.DrainingKey+name].Value), 10, 64)
		out.Draining = append(out.Draining, Drain{name, since, k.left(name)})
	}
	pins := s.Pins()
	for _, shard := range slices.Sorted(maps.Keys(pins)) {
		out.Pins = append(out.Pins, Pin{shard, pins[shard]})
	}
	return out
}

func (c *Counts) add(s topology.ShardState) {
	switch s {
	case topology.ShardTaking:
		c.Taking++
	case topology.ShardServing:
		c.Serving++
	case topology.ShardReleasing:
		c.Releasing++
	}
}

// known is a registry's keys, read. What cannot be read is in faults, and left out.
type known struct {
	id       string
	view     *topology.View
	roles    map[string]map[topology.MemberID]registry.Gateway
	holdings map[topology.MemberID]registry.Holdings
	acted    map[topology.MemberID]uint64 // the version of the view that a gateway has acted upon
	drains   map[string]bool
	pins     map[int]string
	faults   []string
}

// The roles, and under which keys each is registered.
var roleKeys = []struct{ role, key string }{{"controller", registry.ControllersKey}, {"gateway", registry.GatewaysKey}, {"frontend", registry.FrontendsKey}}

func read(s registry.Snapshot) *known {
	k := &known{roles: make(map[string]map[topology.MemberID]registry.Gateway), holdings: make(map[topology.MemberID]registry.Holdings),
		acted: make(map[topology.MemberID]uint64), drains: s.Draining(), pins: s.Pins(), view: &topology.View{}}
	note := func(err error) {
		if err != nil {
			k.faults = append(k.faults, err.Error())
		}
	}
	if e, is := s.Entries[registry.ShardsKey]; is {
		var err error
		_, k.id, err = registry.DecodeShards(e.Value)
		note(err)
	}
	view, err := s.View()
	note(err)
	if view != nil && err == nil {
		k.view = view
	}
	for _, r := range roleKeys {
		k.roles[r.role], err = s.Members(r.key)
		note(err)
	}
	for id := range k.roles["gateway"] {
		if e, is := s.Entries[registry.HoldingsKey+string(id)]; is {
			h, version, err := registry.DecodeHoldings(e.Value)
			note(err)
			k.holdings[id], k.acted[id] = h, version
		}
	}
	return k
}

// members are all processes, by role and name. One of several roles is one member. told: every frontend has had the time to tell that it has the view.
func (k *known) members(told bool) []Member {
	byID := make(map[topology.MemberID]*Member)
	for _, r := range roleKeys {
		for id, g := range k.roles[r.role] {
			m := byID[id]
			if m == nil {
				m = &Member{ID: id, Name: id.Name(), State: g.State.String(), Zone: g.Zone, Version: g.Version, StartedMS: g.StartedMS, Operators: g.Addresses[registry.OperatorsPort]}
				byID[id] = m
			}
			m.Roles = append(m.Roles, r.role)
			m.Address, m.Weight, m.Epoch = cmp.Or(m.Address, g.Address), max(m.Weight, g.Weight), max(m.Epoch, g.Epoch)
			m.View, m.Streams, m.Mailboxes = max(m.View, g.Load.ViewVersion), max(m.Streams, g.Load.Streams), max(m.Mailboxes, g.Load.Mailboxes)
			m.Accepted, m.Pushed = max(m.Accepted, g.Load.Accepted), max(m.Pushed, g.Load.Pushed)
		}
	}
	for id, v := range k.view.Members {
		if m := byID[id]; m != nil {
			m.State = v.State.String()
			continue
		}
		// Its registration has ended, whether the view says so yet or not.
		byID[id] = &Member{ID: id, Name: id.Name(), Roles: []string{"gateway"}, State: topology.MemberGone.String(), Address: v.Address, Zone: v.Zone, Weight: v.Weight, Version: v.Version}
	}
	for id, version := range k.acted {
		byID[id].View = version
	}
	for _, s := range k.view.Shards {
		if m := byID[s.Member]; m != nil {
			m.Shards.add(s.State)
		}
	}
	all := make([]Member, 0, len(byID))
	for _, m := range byID {
		if _, acts := k.acted[m.ID]; m.View > 0 && m.View < k.view.Version && (acts || told) {
			m.Behind = k.view.Version - m.View
		}
		all = append(all, *m)
	}
	slices.SortFunc(all, func(a, b Member) int {
		return cmp.Or(slices.Compare(a.Roles, b.Roles), cmp.Compare(a.ID, b.ID))
	})
	return all
}

// left is how many shards gateways of a name have yet.
func (k *known) left(name string) (n int) {
	for _, s := range k.view.Shards {
		if s.Member.Name() == name && s.Member != "" {
			n++
		}
	}
	return n
}

// Shards is every shard as the view has it, and what its gateways say.
type Shards struct {
	Version uint64  `json:"version"`
	Shards  []Shard `json:"shards"`
}

// Shard is one of them.
type Shard struct {
	Shard  int               `json:"shard"`
	State  string            `json:"state"`
	Member topology.MemberID `json:"member"`
	Epoch  protocol.Epoch    `json:"epoch"`
	Pin    string            `json:"pin,omitempty"`
	Said   []Said            `json:"said"` // by gateways that are registered
}

// Said is what a gateway says of a shard: serving, released or lost.
type Said struct {
	Member topology.MemberID `json:"member"`
	State  string            `json:"state"`
	Epoch  protocol.Epoch    `json:"epoch"`
}

// DescribeShards is the shards of the cluster that s is of.
func DescribeShards(s registry.Snapshot) Shards {
	k := read(s)
	out := Shards{Version: k.view.Version, Shards: make([]Shard, len(k.view.Shards))}
	for i, x := range k.view.Shards {
		out.Shards[i] = Shard{Shard: i, State: x.State.String(), Member: x.Member, Epoch: x.Epoch, Pin: k.pins[i], Said: []Said{}}
	}
	for _, id := range slices.Sorted(maps.Keys(k.holdings)) {
		for shard, h := range k.holdings[id] {
			if int(shard) < len(out.Shards) {
				out.Shards[shard].Said = append(out.Shards[shard].Said, Said{id, h.State.String(), h.Epoch})
			}
		}
	}
	return out
}
