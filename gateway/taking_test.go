package gateway

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"ramen/link"
	"ramen/protocol"
	"ramen/store/memory"
)

// TestReleaseWhileTaking: a shard that is released, or whose gateway is closed, while the store has not answered its claim yet is not
// served afterwards.
func TestReleaseWhileTaking(t *testing.T) {
	for name, end := range map[string]func(*Gateway) error{
		"release": func(g *Gateway) error { return g.Release(context.Background(), []protocol.ShardID{1}) },
		"close":   func(g *Gateway) error { return g.Close(context.Background()) },
	} {
		t.Run(name, func(t *testing.T) {
			inSyncTest(t, nil, func(t *testing.T, w *fixture) {
				answered := make(chan struct{})
				w.store.Script(func(_ context.Context, op memory.Op) memory.Fault {
					if op.Kind == memory.OpClaim {
						<-answered
					}
					return memory.Fault{}
				})
				taken := make(chan error, 1)
				go func() { taken <- w.g.Take(context.Background(), []protocol.ShardID{1}, 9, time.Time{}) }()
				synctest.Wait()
				if err := end(w.g); err != nil {
					t.Fatal(err)
				}
				close(answered)
				if err := <-taken; !errors.Is(err, link.ErrNotOwner) {
					t.Errorf("take answers %v", err)
				}
				if s := w.g.shards[1].stateNow(); s != StateNone {
					t.Errorf("the shard is %v", s)
				}
			})
		})
	}
}
