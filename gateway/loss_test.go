package gateway

import (
	"context"
	"errors"
	"testing"
	"time"

	"ramen/link"
	"ramen/protocol"
)

// TestLostWhileReleased: a shard is lost while it is released, and callers are refused meanwhile: each is told the one or the other.
func TestLostWhileReleased(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		w.accept("m1", medium)
		r := w.route(alice)
		b, err := w.g.acquire(context.Background(), r, alice)
		if err != nil {
			t.Fatal(err)
		}
		defer w.g.release(b)
		if err := b.beginWrite(); err != nil {
			t.Fatal(err)
		}
		defer b.endWrite()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		released := make(chan error, 1)
		go func() { released <- w.g.Release(ctx, []protocol.ShardID{r.Shard}) }()
		for b.stateNow() == StateServing {
			time.Sleep(time.Millisecond)
		}
		go w.g.Lose(r.Shard, 100)
		for range 1000 {
			if err := b.gate(); !errors.Is(err, link.ErrNotOwner) {
				t.Errorf("told %v", err)
			}
		}
		if err := <-released; err == nil {
			t.Error("a release that was cut off answers nil")
		}
	})
}
