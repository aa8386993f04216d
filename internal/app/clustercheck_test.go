package app

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"ramen/gateway"
	"ramen/protocol"
	"ramen/store/memory"
	"ramen/topology"
	"ramen/topology/admin"
	"ramen/topology/registry"
	registrymemory "ramen/topology/registry/memory"
)

// TestCheckComparesTheGatewayWithTheView: what this gateway serves and the view does not give it, and the other way round, is told.
func TestCheckComparesTheGatewayWithTheView(t *testing.T) {
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	b := registrymemory.New().Client()
	self := topology.Member{ID: "g1@a", Weight: 1, State: topology.MemberServing}
	view := &topology.View{Version: 2, Members: map[topology.MemberID]*topology.Member{self.ID: &self}, Shards: []topology.Shard{
		{Member: self.ID, Epoch: 3, State: topology.ShardServing}, {Member: self.ID, Epoch: 3, State: topology.ShardServing}, {Epoch: 2},
	}}
	holdings := registry.Holdings{0: {Epoch: 3, State: registry.Serving}, 1: {Epoch: 3, State: registry.Serving}}
	_, _, err := b.Commit(t.Context(), nil, []registry.Put{
		{Key: registry.ShardsKey, Value: registry.EncodeShards(3, "id")}, {Key: registry.ViewKey, Value: registry.EncodeView(view)},
		{Key: registry.GatewaysKey + "g1@a", Value: registry.Gateway{Member: self}.Encode()}, {Key: registry.HoldingsKey + "g1@a", Value: holdings.Encode(2)},
	})
	if err != nil {
		t.Fatal(err)
	}
	c := &clusterMember{id: self.ID, mirror: registry.NewMirror(b, log)}
	defer c.mirror.Close()
	if c.views, err = registry.NewViews(t.Context(), c.mirror, log); err != nil {
		t.Fatal(err)
	}
	defer c.views.Close()
	c.topology = c.views
	c.admin = admin.New(admin.Config{Backend: b, Mirror: c.mirror})
	cfg := gateway.Default()
	cfg.ShardCount = 3
	kept := memory.NewDisk(memory.Config{}).OpenShared()
	defer kept.Close()
	g, err := gateway.New(cfg, gateway.Deps{Store: kept, Owner: "g1@a", Log: log})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close(context.WithoutCancel(t.Context()))
	take := func(epoch protocol.Epoch, shards ...protocol.ShardID) {
		t.Helper()
		if err := g.Take(t.Context(), shards, epoch, time.Time{}); err != nil {
			t.Fatal(err)
		}
	}

	take(3, 0)
	if err := c.check(g); err == nil || !strings.Contains(err.Error(), "shard 1: the view 2 has this gateway serve it at epoch 3, and it does not") || strings.Contains(err.Error(), "shard 0") {
		t.Errorf("a shard is not served: %v", err)
	}
	take(3, 1)
	if err := c.check(g); err != nil {
		t.Errorf("all agree: %v", err)
	}
	take(4, 2)
	if err := c.check(g); err == nil || !strings.Contains(err.Error(), `shard 2: this gateway serves it at epoch 4; the view 2 gives it to "" at epoch 2`) {
		t.Errorf("a shard of nobody's is served: %v", err)
	}
}
