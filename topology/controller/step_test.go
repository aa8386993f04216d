package controller

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"ramen/protocol"
	"ramen/topology"
	"ramen/topology/registry"
)

// model is gateways that follow views late and out of step, and what they say.
type model struct {
	t     *testing.T
	r     *rand.Rand
	v     *topology.View
	moves int

	gateways map[topology.MemberID]*modelGateway
	store    []protocol.Epoch // of each shard: the highest that was claimed
	started  int
	draining map[string]bool
	pins     map[int]string
}

// modelGateway has what a gateway holds, and what it has said of it, which is older.
type modelGateway struct {
	self       registry.Gateway
	has, said  registry.Holdings
	registered bool
}

var zoneOf = map[string]string{"a": "east", "b": "east", "c": "west", "d": "west"}

func (m *model) add(name string) {
	m.started++
	id := topology.MemberID(fmt.Sprintf("%s@%d", name, m.started))
	highest := protocol.Epoch(0)
	for _, e := range m.store {
		highest = max(highest, e)
	}
	m.gateways[id] = &modelGateway{has: make(registry.Holdings), said: make(registry.Holdings), registered: true,
		self: registry.Gateway{Member: topology.Member{ID: id, Zone: zoneOf[name], Weight: float64(1 + m.r.IntN(2)), State: topology.MemberServing}, Epoch: highest}}
}

// follow has one gateway act upon one shard of the view as it should: a claim may be refused, where the store knows a higher epoch.
func (m *model) follow(id topology.MemberID, g *modelGateway, i int) {
	s, shard := m.v.Shards[i], protocol.ShardID(i)
	h := g.has[shard]
	switch mine := s.Member == id; {
	case mine && (s.State == topology.ShardTaking || s.State == topology.ShardServing) && h.Epoch < s.Epoch:
		if m.store[i] >= s.Epoch {
			g.has[shard] = registry.Holding{Epoch: s.Epoch, State: registry.Lost, Below: m.store[i] + 1}
			return
		}
		for other, o := range m.gateways {
			if other != id && o.registered && o.has[shard].State == registry.Serving {
				m.t.Fatalf("shard %d is taken by %s at %d while %s serves it at %d", i, id, s.Epoch, other, o.has[shard].Epoch)
			}
		}
		m.store[i] = s.Epoch
		g.has[shard] = registry.Holding{Epoch: s.Epoch, State: registry.Serving}
	case mine && s.State == topology.ShardReleasing && (h.Epoch < s.Epoch || h.State == registry.Serving):
		g.has[shard] = registry.Holding{Epoch: s.Epoch, State: registry.Released, Below: s.Epoch + 1}
	case mine && h.State == registry.Serving && m.r.IntN(200) == 0: // its lease ended for a moment
		g.has[shard] = registry.Holding{Epoch: h.Epoch, State: registry.Lost, Below: h.Epoch + 1}
	}
}

// step computes the next view, and checks what must hold between any two.
func (m *model) step() {
	in := Inputs{Gateways: make(map[topology.MemberID]registry.Gateway), Holdings: make(map[topology.MemberID]registry.Holdings), Draining: m.draining, Pins: m.pins, Moves: m.moves}
	for id, g := range m.gateways {
		if g.registered {
			in.Gateways[id], in.Holdings[id] = g.self, g.said
			in.Epoch = max(in.Epoch, g.self.Epoch)
		}
	}
	next := Step(m.v, in)
	if next == m.v {
		return
	}
	if err := next.Check(); err != nil {
		m.t.Fatal(err)
	}
	if err := next.CheckAfter(m.v); err != nil {
		m.t.Fatal(err)
	}
	begun, releasing := 0, 0
	for i, s := range next.Shards {
		was := m.v.Shards[i]
		if s.State == topology.ShardReleasing {
			releasing++
			if was.State == topology.ShardServing {
				begun++
			}
		}
		if s.State == topology.ShardTaking && was.Member != s.Member && was.State == topology.ShardServing && in.Holdings[was.Member][protocol.ShardID(i)].State == registry.Serving {
			m.t.Fatalf("shard %d goes from %s, which serves it, straight to %s", i, was.Member, s.Member)
		}
	}
	if begun > 0 && releasing > m.moves {
		m.t.Fatalf("%d shards are released at once; %d may be", releasing, m.moves)
	}
	m.v = next
}

// calm has everything followed and said, until no view comes any more.
func (m *model) calm() {
	for range 2000 {
		before := m.v
		for id, g := range m.gateways {
			for i := range m.v.Shards {
				m.follow(id, g, i)
			}
			g.said = cloneHoldings(g.has)
		}
		if m.step(); m.v == before {
			return
		}
	}
	m.t.Fatal("views come without end")
}

func cloneHoldings(h registry.Holdings) registry.Holdings {
	c := make(registry.Holdings, len(h))
	for id, x := range h {
		c[id] = x
	}
	return c
}

// TestViewsKeepTheirRules: gateways come, go, drain, lose shards, and say what they have late. No shard has two owners, views follow each
// other, moves are bounded, and once all is said every shard is served, evenly.
func TestViewsKeepTheirRules(t *testing.T) {
	r := rand.New(rand.NewPCG(seed(t), 2))
	for range 300 {
		const shards = 48
		m := &model{t: t, r: r, moves: 1 + r.IntN(8), v: &topology.View{Version: 1, Shards: make([]topology.Shard, shards)}, store: make([]protocol.Epoch, shards),
			gateways: make(map[topology.MemberID]*modelGateway), draining: make(map[string]bool), pins: make(map[int]string)}
		m.add("a")
		m.add("b")
		for range 150 {
			var ids []topology.MemberID
			for id := range m.gateways {
				ids = append(ids, id)
			}
			id := topology.MemberID("")
			if len(ids) > 0 {
				id = ids[r.IntN(len(ids))]
			}
			g := m.gateways[id]
			switch r.IntN(20) {
			case 0:
				if len(m.gateways) < 6 {
					m.add([]string{"a", "b", "c", "d"}[r.IntN(4)])
				}
			case 1:
				if len(m.gateways) > 1 { // it has stopped before its registration ends
					delete(m.gateways, id)
				}
			case 2:
				name := []string{"a", "b", "c", "d"}[r.IntN(4)]
				if m.draining[name] = !m.draining[name]; !m.draining[name] {
					delete(m.draining, name)
				}
			case 3:
				m.store[r.IntN(shards)] += protocol.Epoch(r.IntN(3)) // somebody else had claimed it
			case 4:
				m.pins[r.IntN(shards)] = []string{"a", "b", "c", "d"}[r.IntN(4)]
			default:
				if g != nil {
					for i := range m.v.Shards {
						if r.IntN(2) == 0 {
							m.follow(id, g, i)
						}
					}
					if r.IntN(2) == 0 {
						g.said = cloneHoldings(g.has)
					}
				}
			}
			m.step()
		}
		clear(m.draining)
		clear(m.pins)
		m.calm()
		for i, s := range m.v.Shards {
			if h := m.gateways[s.Member]; s.State != topology.ShardServing || h == nil || h.has[protocol.ShardID(i)].State != registry.Serving {
				t.Fatalf("shard %d is %+v at the end; its owner has %+v", i, s, h)
			}
		}
		total := 0.0
		for _, g := range m.gateways {
			total += g.self.Weight
		}
		n := make(map[topology.MemberID]int)
		for _, s := range m.v.Shards {
			n[s.Member]++
		}
		for id, g := range m.gateways {
			if exact := shards * g.self.Weight / total; float64(n[id]) <= exact-1 || float64(n[id]) >= exact+1 {
				t.Fatalf("%s has %d shards; its share is %.2f", id, n[id], exact)
			}
		}
	}
}

// TestStepsAboveWhatWasSeenBefore: after a registry was restored from a backup, every shard goes on above what members have seen, and is given only once
// nobody can serve it any more.
func TestStepsAboveWhatWasSeenBefore(t *testing.T) {
	v := &topology.View{Version: 5, Shards: []topology.Shard{{Member: "a", Epoch: 3, State: topology.ShardServing}, {Epoch: 2}, {Member: "a", Epoch: 12, State: topology.ShardServing}},
		Members: map[topology.MemberID]*topology.Member{"a": {ID: "a", Weight: 1, State: topology.MemberServing}}}
	serving := func(id topology.MemberID) registry.Gateway {
		return registry.Gateway{Member: topology.Member{ID: id, Weight: 1, State: topology.MemberServing}, Epoch: 4}
	}
	in := Inputs{Gateways: map[topology.MemberID]registry.Gateway{"a": serving("a"), "b": serving("b")}, // b has been given shards since the backup
		Views: map[topology.MemberID]uint64{"a": 5, "b": 41}, Epoch: 4, Past: registry.Past{Epoch: 9, Version: 40}, Moves: 1, Stopped: true}
	next := Step(v, in)
	if next.Version <= 41 || next.Shards[0] != (topology.Shard{Epoch: 10}) || next.Shards[1] != (topology.Shard{Epoch: 10}) || next.Shards[2] != v.Shards[2] {
		t.Fatalf("%+v", next)
	}
	if v.Shards[0].Epoch != 3 {
		t.Error("the view before has changed")
	}
	if err := next.CheckAfter(v); err != nil {
		t.Error(err)
	}
	raised := next.Version
	for _, c := range []struct {
		a, b    uint64
		stopped bool
	}{{5, 41, true}, {raised, 41, true}, {5, raised, true}, {raised, 0, true}, {raised, raised, false}} {
		in.Views["a"], in.Views["b"], in.Stopped = c.a, c.b, c.stopped
		if again := Step(next, in); again.Shards[0] != next.Shards[0] || again.Shards[1] != next.Shards[1] {
			t.Errorf("given where %+v: %+v", c, again)
		}
	}
	in.Past = registry.Past{Epoch: 10, Version: 41} // b has found that it was restored: it has seen more than a
	in.Views["a"], in.Views["b"], in.Stopped = raised, 41, true
	next = Step(next, in)
	if next.Shards[0] != (topology.Shard{Epoch: 11}) || next.Version <= raised {
		t.Fatalf("%+v", next)
	}
	in.Views["a"], in.Views["b"] = next.Version, next.Version
	given := Step(next, in)
	for i, s := range given.Shards[:2] {
		if s.State != topology.ShardTaking || s.Epoch != 12 {
			t.Errorf("shard %d is not given: %+v", i, s)
		}
	}
}

// TestPastThatIsToldLateIsLeftBehind: who was cut off tells of a registry that was lost when the views of the next one are beyond it already.
func TestPastThatIsToldLateIsLeftBehind(t *testing.T) {
	member := topology.Member{ID: "a", Weight: 1, State: topology.MemberServing}
	v := &topology.View{Version: 45, Shards: []topology.Shard{{Member: "a", Epoch: 3, State: topology.ShardServing}}, Members: map[topology.MemberID]*topology.Member{"a": &member}}
	in := Inputs{Gateways: map[topology.MemberID]registry.Gateway{"a": {Member: member}}, Views: map[topology.MemberID]uint64{"a": 45},
		Past: registry.Past{Epoch: 9, Version: 40}, Moves: 1, Stopped: true}
	for range 2 {
		v = Step(v, in)
		in.Views["a"] = v.Version
	}
	if s := v.Shards[0]; s.Member != "a" || s.Epoch <= 9 {
		t.Fatalf("it is not given: %+v", v)
	}
	in.Holdings = map[topology.MemberID]registry.Holdings{"a": {0: {Epoch: v.Shards[0].Epoch, State: registry.Serving}}}
	v = Step(v, in)
	if again := Step(v, in); again != v || v.Shards[0].State != topology.ShardServing {
		t.Errorf("views go on to come: %+v, then %+v", v, again)
	}
}

// TestStepsAboveAnEmptyRegistry: where there is no view at all, everybody has registered anew, and serves nothing.
func TestStepsAboveAnEmptyRegistry(t *testing.T) {
	v := &topology.View{Version: 1, Shards: make([]topology.Shard, 2)}
	in := Inputs{Gateways: map[topology.MemberID]registry.Gateway{"a": {Member: topology.Member{ID: "a", Weight: 1, State: topology.MemberServing}}},
		Past: registry.Past{Epoch: 9, Version: 40}, Moves: 1, First: true}
	next := Step(v, in)
	if next.Version <= 40 || next.Shards[0] != (topology.Shard{Member: "a", Epoch: 10, State: topology.ShardTaking}) {
		t.Fatalf("%+v", next)
	}
}
