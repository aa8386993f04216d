package member

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"ramen/protocol"
	"ramen/topology"
	"ramen/topology/registry"
	"ramen/topology/registry/memory"
)

// takes counts what is taken.
type takes struct{ n int }

func (g *takes) Take(context.Context, []protocol.ShardID, protocol.Epoch, time.Time) error {
	g.n++
	return nil
}
func (g *takes) Release(context.Context, []protocol.ShardID) error { return nil }
func (g *takes) Lose(protocol.ShardID, protocol.Epoch)             {}
func (g *takes) Renew(time.Time)                                   {}

// TestNothingIsTakenForAnEarlierRegistration: a take that comes late, behind the end of the registration under which the view had asked for it and a
// new one, takes nothing: the shard may be another's by then.
func TestNothingIsTakenForAnEarlierRegistration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := New(Config{Self: topology.Member{ID: "a@1"}, Log: slog.New(slog.DiscardHandler)})
		g := new(takes)
		m.g = g
		m.session = registry.NewSession(registry.SessionConfig{
			Backend: memory.New().Client(), Key: registry.GatewaysKey + "a@1", Value: func() []byte { return []byte("a") }, Log: m.cfg.Log,
		})
		defer func() {
			if err := m.session.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}()
		time.Sleep(time.Second)
		v := &topology.View{Version: 2, Shards: []topology.Shard{{Member: "a@1", Epoch: 5, State: topology.ShardTaking}}, Members: map[topology.MemberID]*topology.Member{"a@1": {ID: "a@1"}}}
		o := m.orders(v)
		m.ended()
		m.take(t.Context(), o.take[5], 5, o.term)
		if g.n != 0 {
			t.Error("a shard was taken that an earlier registration was given")
		}
		o = m.orders(v)
		if m.take(t.Context(), o.take[5], 5, o.term); g.n != 1 {
			t.Errorf("%d takes; the view still asks for one", g.n)
		}
	})
}
