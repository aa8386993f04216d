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

// TestViewIsActedUponOnceNothingIsServedBesidesIt: a view in which nobody owns a shard has it lost here, even at the epoch at which it is served; and
// is not told of as acted upon while the shard is being taken.
func TestViewIsActedUponOnceNothingIsServedBesidesIt(t *testing.T) {
	m := New(Config{Self: topology.Member{ID: "a@1"}, Log: slog.New(slog.DiscardHandler)})
	m.g = new(takes)
	v := &topology.View{Version: 9, Shards: []topology.Shard{{Epoch: 5}}}
	m.busy[0] = 5
	if m.act(t.Context(), v); m.view != 0 {
		t.Errorf("view %d is told of as acted upon while the shard may be taken yet", m.view)
	}
	m.held[0] = registry.Holding{Epoch: 5, State: registry.Serving}
	delete(m.busy, 0)
	if o := m.orders(v); o.lose[0] <= 5 {
		t.Errorf("a shard that nobody owns goes on to be served: %+v", o)
	}
	if m.act(t.Context(), v); m.view != 9 {
		t.Errorf("view %d is told of, not 9", m.view)
	}
}
