package topologytest

import (
	"testing"

	"ramen/protocol"
	"ramen/topology"
)

func TestStatic(t *testing.T) {
	Run(t, func(*testing.T) Subject { return Subject{Topology: topology.NewStatic("self", 7, 16)} })
}

func TestSettable(t *testing.T) {
	Run(t, func(*testing.T) Subject {
		s := NewSettable(16, "a", "b")
		n := 0
		return Subject{s, func() {
			n++
			shard := protocol.ShardID(n % 16)
			switch n % 5 {
			case 0:
				s.Free(shard)
			case 1:
				s.SetState("b", topology.MemberState(n%4))
			case 2:
				s.Join(topology.Member{ID: "c", Address: "127.0.0.1:9000", Zone: "z", Weight: 2, Version: "v1", State: topology.MemberServing})
			default:
				s.Move([]topology.MemberID{"a", "b"}[n%2], shard, shard/2)
			}
		}}
	})
}

// TestSettableRefusesWhatCannotBe: a test cannot publish a view that no topology would.
func TestSettableRefusesWhatCannotBe(t *testing.T) {
	for name, edit := range map[string]func(v *topology.View){
		"an epoch falls":               func(v *topology.View) { v.Shards[1].Epoch-- },
		"another owner at the epoch":   func(v *topology.View) { v.Shards[1].Member = "b" },
		"an owner that is no member":   func(v *topology.View) { v.Shards[1].Member, v.Shards[1].Epoch = "c", 9 },
		"an owner of a free shard":     func(v *topology.View) { v.Shards[1].State = topology.ShardFree },
		"a shard more":                 func(v *topology.View) { v.Shards = append(v.Shards, topology.Shard{}) },
		"a version that does not grow": func(v *topology.View) { v.Version-- },
		"an owner without an epoch": func(v *topology.View) {
			v.Shards[0] = topology.Shard{Member: "a", State: topology.ShardServing}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := NewSettable(4, "a", "b")
			s.Move("a", 1, 2)
			defer func() {
				if recover() == nil {
					t.Error("it was published")
				}
			}()
			s.Update(edit)
		})
	}
}
