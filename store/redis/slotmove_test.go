package redis

import (
	"net"
	"testing"

	"ramen/internal/testserver/redistest"
	"ramen/protocol"
)

// moveKey moves one key of a slot that is on its way.
func moveKey(t *testing.T, m *redistest.Move, key string) {
	t.Helper()
	host, port, _ := net.SplitHostPort(m.To.Addr)
	if err := m.From.Client(t).Do(t.Context(), "MIGRATE", host, port, "", 0, 5000, "KEYS", key).Err(); err != nil {
		t.Fatal(err)
	}
}

// TestReadsWhileASlotMoves: a mailbox and the claim of its shard are at two nodes for a while. A Load finds each where it is: it must not
// take a mailbox that has not moved yet for an empty one. And claims are read wherever they are: else the lease of all shards would end.
func TestReadsWhileASlotMoves(t *testing.T) {
	c := redistest.StartCluster(t, redistest.Options{})
	for _, first := range []string{"claim", "mailbox"} {
		t.Run(first, func(t *testing.T) {
			s := open(t, clusterConfig(t, c))
			claim(t, s, 1, "first", 1)
			p := newPublisher(s, 1, "u")
			p.settle(t)
			key := s.keys[1].claim
			moved := key
			if first == "mailbox" {
				moved = s.keys[1].mailbox + "u"
			}
			from, _ := c.Serving(t, key)
			to := c.Nodes[0]
			if to == from {
				to = c.Nodes[1]
			}
			m := c.BeginMove(t, key, to)
			defer m.End(t)
			moveKey(t, m, moved)
			for range 3 {
				p.check(t, s, at1)
			}
			if got, err := loaded(t, s, at1, "nobody"); err != nil || len(got.Entries) != 0 {
				t.Errorf("an unknown user: %+v, %v", got, err)
			}
			claims, err := s.Claims(t.Context(), []protocol.ShardID{1, 2})
			if err != nil || claims[0].Epoch != 1 || claims[0].Owner != "first" {
				t.Errorf("claims %+v, %v", claims, err)
			}
		})
	}
}
