package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"ramen/link"
	"ramen/protocol"
	"ramen/store/memory"
)

// TestNothingIsAcceptedAfterTheMachineWasSuspended: its monotonic clock has stood still, so that the lease seems to last; and what was lost is
// taken anew.
func TestNothingIsAcceptedAfterTheMachineWasSuspended(t *testing.T) {
	for _, fences := range []bool{false, true} {
		t.Run(fmt.Sprintf("fences=%v", fences), func(t *testing.T) {
			kept := memory.NewDisk(memory.Config{CheckLast: true, Unfenced: !fences}).OpenShared()
			defer kept.Close()
			cfg := Default()
			cfg.ShardCount, cfg.PublishesPerSecond = 1, 0
			g, err := New(cfg, Deps{Store: kept, Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			defer g.Close(context.Background())
			if (g.sleep.asleep == nil) != (fences || asleep == nil) {
				t.Fatal("it is watched where the store refuses older epochs, or not where it does not")
			}
			if g.sleep.asleep == nil {
				return
			}
			var suspended atomic.Int64
			g.sleep.asleep = suspended.Load
			g.sleep.known.Store(0)
			publish := func(epoch protocol.Epoch) error {
				return g.Publish(t.Context(), []link.Publish{{Route: link.Route{Epoch: epoch}, User: "u", TTLMS: 60_000,
					Message: &protocol.Message{ID: protocol.MessageID(fmt.Sprint("m", time.Now().UnixNano())), Priority: protocol.PriorityHigh, Payload: []byte("1"), ContentType: protocol.ContentTypeJSON}}})[0].Err
			}
			take := func(epoch protocol.Epoch) {
				t.Helper()
				if err := g.Take(t.Context(), []protocol.ShardID{0}, epoch, time.Now().Add(time.Hour)); err != nil {
					t.Fatal(err)
				}
			}
			take(1)
			if err := publish(1); err != nil {
				t.Fatal(err)
			}
			suspended.Add(int64(5 * time.Second))
			if err := publish(1); err == nil {
				t.Error("accepted, though others may have the shard")
			}
			if s := g.Shards(); len(s) != 1 || s[0].State == StateServing {
				t.Errorf("the shard is %+v", s)
			}
			take(2)
			if err := publish(2); err != nil {
				t.Errorf("taken anew: %v", err)
			}
			suspended.Add(int64(time.Second))
			g.Renew(time.Now().Add(time.Hour))
			if err := publish(2); err == nil {
				t.Error("a lease was renewed that may have ended")
			}
		})
	}
}

// TestTheClocksAreReadTogether: a machine that was not suspended in between is not taken for one that was.
func TestTheClocksAreReadTogether(t *testing.T) {
	if asleep == nil {
		t.Skip("this system does not tell")
	}
	w := sleepWatch{asleep: asleep}
	w.known.Store(asleep())
	for range 1000 {
		if w.slept() {
			t.Fatalf("suspended for %v", time.Duration(asleep()-w.known.Load()))
		}
	}
}
