package linkgrpc

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"ramen/gateway"
	"ramen/link"
	"ramen/link/linktest"
	"ramen/protocol"
	"ramen/store/memory"
	"ramen/topology"
)

const gatewayShards = 4

// realGateway is a gateway on a store in memory, which owns every shard at epoch 2.
func realGateway(t testing.TB) (g *gateway.Gateway, route func(protocol.UserID) link.Route, release func()) {
	t.Helper()
	cfg := gateway.Default()
	cfg.ShardCount, cfg.OpensPerSecond, cfg.PublishesPerSecond = gatewayShards, 0, 0
	kept := memory.New()
	g, err := gateway.New(cfg, gateway.Deps{Store: kept, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(context.Background()); err != nil {
			t.Error(err)
		}
		kept.Close()
	})
	var shards []protocol.ShardID
	for i := range protocol.ShardID(gatewayShards) {
		shards = append(shards, i)
	}
	const epoch = 2
	if err := g.Take(t.Context(), shards, epoch, time.Time{}); err != nil {
		t.Fatal(err)
	}
	route = func(u protocol.UserID) link.Route {
		return link.Route{Shard: topology.ShardOf(u, gatewayShards), Epoch: epoch}
	}
	return g, route, func() {
		if err := g.Release(context.Background(), shards); err != nil {
			t.Error(err)
		}
	}
}

// TestGatewayConformance: a gateway at the other end of a link keeps the promises that it keeps in the same process.
func TestGatewayConformance(t *testing.T) {
	linktest.RunGateway(t, func(t *testing.T) linktest.Owned {
		g, route, release := realGateway(t)
		_, address := listen(t, g, nil)
		return linktest.Owned{Gateway: up(t, connect(t, nil).To("g1", address)), Route: route, Release: release, OneReader: true}
	})
}
