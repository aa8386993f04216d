package controller

import (
	"fmt"
	"testing"
	"time"

	"ramen/protocol"
	"ramen/topology"
	"ramen/topology/registry"
)

// scale is a cluster without its processes: half of its members are gateways, and half are frontends. What members write goes to all of them.
type scale struct {
	members int
	v       *topology.View
	in      Inputs
	entries map[string]registry.Entry

	writes, bytes int64 // into the registry
	views         int64 // of writes
	step          time.Duration
	longest       time.Duration // of one step
}

func newScale(members, shards int) *scale {
	s := &scale{members: members, v: &topology.View{Version: 1, Shards: make([]topology.Shard, shards)}, entries: make(map[string]registry.Entry),
		in: Inputs{Gateways: make(map[topology.MemberID]registry.Gateway), Holdings: make(map[topology.MemberID]registry.Holdings), Moves: 32}}
	for i := range members {
		if i%2 == 0 {
			s.join(i)
		} else {
			s.register(registry.FrontendsKey, s.member("frontend", i))
		}
	}
	s.settle(len(s.in.Gateways))
	s.writes, s.bytes, s.views, s.step, s.longest = 0, 0, 0, 0, 0
	return s
}

// member has names as they are where processes have host names, and addresses for their ports.
func (s *scale) member(role string, i int) registry.Gateway {
	id := topology.MemberID(fmt.Sprintf("%s-%d.push.example.internal@1764530000000", role, i))
	at := func(port int) string { return fmt.Sprintf("10.%d.%d.%d:%d", i>>16, i>>8&255, i&255, port) }
	return registry.Gateway{Member: topology.Member{ID: id, Address: at(7070), Zone: fmt.Sprintf("zone-%d", i%3), Weight: 1, Version: "1.0.0", State: topology.MemberServing},
		Epoch: 1, StartedMS: 1764530000000, Addresses: map[string]string{registry.OperatorsPort: at(9090)}, Load: registry.Load{ViewVersion: 1, Streams: 15000, Mailboxes: 15000, Accepted: 2500, Pushed: 2500}}
}

func (s *scale) join(i int) topology.MemberID {
	g := s.member("gateway", i)
	s.in.Gateways[g.ID], s.in.Holdings[g.ID] = g, make(registry.Holdings)
	s.register(registry.GatewaysKey, g)
	return g.ID
}

func (s *scale) register(prefix string, g registry.Gateway) {
	s.write(prefix+string(g.ID), g.Encode())
}

func (s *scale) leave(id topology.MemberID) {
	delete(s.in.Gateways, id)
	delete(s.in.Holdings, id)
	s.write(registry.GatewaysKey+string(id), nil)
	delete(s.entries, registry.GatewaysKey+string(id))
	delete(s.entries, registry.HoldingsKey+string(id))
}

// write counts what is written, with what etcd adds to it in a watcher's response.
func (s *scale) write(key string, value []byte) {
	const event = 64 // bytes: revisions, lease, header
	s.entries[key] = registry.Entry{Value: value}
	s.writes++
	s.bytes += int64(len("/ramen/") + len(key) + len(value) + event)
}

// settle goes on until no view follows from the last, with at most so many members' holdings read between two views: the controller writes a
// view on whatever it has heard by then.
func (s *scale) settle(together int) {
	var behind []topology.MemberID // who has not acted on the view yet
	for {
		began := time.Now()
		next := Step(s.v, s.in)
		took := time.Since(began)
		s.step, s.longest = s.step+took, max(s.longest, took)
		if next != s.v {
			behind = s.touched(behind, next)
			s.v = next
			s.views++
			s.write(registry.ViewKey, registry.EncodeView(next))
		} else if len(behind) == 0 {
			return
		}
		n := min(together, len(behind))
		for _, id := range behind[:n] {
			s.act(id)
		}
		behind = behind[n:]
	}
}

// touched adds the owners of shards that next has otherwise than the view before.
func (s *scale) touched(behind []topology.MemberID, next *topology.View) []topology.MemberID {
	is := make(map[topology.MemberID]bool, len(behind))
	for _, id := range behind {
		is[id] = true
	}
	for i, shard := range next.Shards {
		if id := shard.Member; id != "" && shard != s.v.Shards[i] && shard.State != topology.ShardServing && !is[id] {
			is[id] = true
			behind = append(behind, id)
		}
	}
	return behind
}

// act has a gateway do what the view says, and tell of it.
func (s *scale) act(id topology.MemberID) {
	h, registered := s.in.Holdings[id]
	if !registered {
		return
	}
	for i, shard := range s.v.Shards {
		switch {
		case shard.Member != id:
			delete(h, protocol.ShardID(i))
		case shard.State == topology.ShardReleasing:
			h[protocol.ShardID(i)] = registry.Holding{Epoch: shard.Epoch, State: registry.Released, Below: shard.Epoch + 1}
		default:
			h[protocol.ShardID(i)] = registry.Holding{Epoch: shard.Epoch, State: registry.Serving}
		}
	}
	s.write(registry.HoldingsKey+string(id), h.Encode(s.v.Version))
}

var scales = []struct{ members, shards int }{{10, 1024}, {100, 1024}, {100, 4096}, {1000, 1024}, {1000, 4096}, {1000, 16384}}

func eachScale(b *testing.B, do func(b *testing.B, s *scale)) {
	for _, x := range scales {
		b.Run(fmt.Sprintf("members=%d/shards=%d", x.members, x.shards), func(b *testing.B) {
			s := newScale(x.members, x.shards)
			b.ResetTimer()
			do(b, s)
		})
	}
}

// BenchmarkViewChange is what follows from one change of the members, until every shard is served where it is to be: views that are written, what
// is written in all, what etcd sends for that to all members together, and the controller's time. A drained gateway's shards move 32 at a time, as by default.
func BenchmarkViewChange(b *testing.B) {
	type change func(s *scale, n int)
	for _, kind := range []struct {
		name string
		do   change
	}{
		{"killed", func(s *scale, _ int) { s.leave(s.gateway()) }},
		{"joined", func(s *scale, n int) { s.join(s.members + 2*n) }},
		{"drained", func(s *scale, _ int) {
			id := s.gateway()
			g := s.in.Gateways[id]
			g.State = topology.MemberDraining
			s.in.Gateways[id] = g
			s.register(registry.GatewaysKey, g)
		}},
	} {
		for _, together := range []int{1, 1 << 20} {
			b.Run(fmt.Sprintf("%s/together=%v", kind.name, together > 1), func(b *testing.B) {
				eachScale(b, func(b *testing.B, s *scale) {
					n := 0
					for b.Loop() {
						if n++; len(s.in.Gateways) < 4 || n > s.members/4 { // a cluster that is as it was
							b.StopTimer()
							fresh := newScale(s.members, len(s.v.Shards))
							fresh.writes, fresh.bytes, fresh.views, fresh.step, fresh.longest = s.writes, s.bytes, s.views, s.step, s.longest
							*s, n = *fresh, 1
							b.StartTimer()
						}
						kind.do(s, n)
						s.settle(together)
					}
					per := func(v float64) float64 { return v / float64(b.N) }
					b.ReportMetric(per(float64(s.views)), "views/op")
					b.ReportMetric(per(float64(s.bytes))/1e6, "MB-written/op")
					b.ReportMetric(per(float64(s.bytes))*float64(s.members)/1e6, "MB-sent/op")
					b.ReportMetric(per(float64(s.step.Microseconds()))/1e3, "step-ms/op")
					b.ReportMetric(float64(s.longest.Microseconds())/1e3, "longest-step-ms")
				})
			})
		}
	}
}

// gateway is one of those that serve: the first by name.
func (s *scale) gateway() (first topology.MemberID) {
	for id, g := range s.in.Gateways {
		if g.State == topology.MemberServing && (first == "" || id < first) {
			first = id
		}
	}
	return first
}

// BenchmarkStepWithoutChange is what the controller does at each change in the registry from which nothing follows: a member's load, mostly. That
// includes reading all that members have said.
func BenchmarkStepWithoutChange(b *testing.B) {
	eachScale(b, func(b *testing.B, s *scale) {
		c := &Controller{cfg: Config{Moves: 32}}
		for b.Loop() {
			in := c.inputs(registry.Snapshot{Entries: s.entries})
			if len(in.Gateways) != len(s.in.Gateways) {
				b.Fatalf("%d gateways were read of %d", len(in.Gateways), len(s.in.Gateways))
			}
			if Step(s.v, s.in) != s.v {
				b.Fatal("a view follows where nothing has changed")
			}
		}
	})
}

// BenchmarkViewDecode is what each member does with a view that comes, and how long that is.
func BenchmarkViewDecode(b *testing.B) {
	eachScale(b, func(b *testing.B, s *scale) {
		text := registry.EncodeView(s.v)
		for b.Loop() {
			v, err := registry.DecodeView(text)
			if err != nil || v.CheckAfter(&topology.View{Shards: s.v.Shards}) != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(len(text)), "view-bytes")
	})
}
