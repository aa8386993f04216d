package gateway

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"ramen/link"
	"ramen/protocol"
	"ramen/store/memory"
)

// BenchmarkRelease is how long the release of one shard takes, in ms at most and in the mean, while publishers write to its users, whose
// devices ack, beside 15,000 open streams of all shards. An append takes 1 ms, as an fsync does.
func BenchmarkRelease(b *testing.B) {
	for _, shards := range []int{1024, 16} { // 15 and 938 streams on the shard
		b.Run(fmt.Sprintf("streams=15000/shards=%d", shards), func(b *testing.B) {
			w := newBusyShard(b, shards, 15_000)
			var sum, most time.Duration
			n := 0
			for b.Loop() {
				took := w.releaseWhileBusy()
				sum, most = sum+took, max(most, took)
				n++
			}
			b.ReportMetric(float64(sum.Microseconds())/1e3/float64(n), "ms/release")
			b.ReportMetric(float64(most.Microseconds())/1e3, "ms-at-most")
		})
	}
}

// busyShard is a gateway with streams on all shards, of which shard 0 is released.
type busyShard struct {
	*fixture
	users []protocol.UserID // of shard 0
	sent  int
}

func newBusyShard(b *testing.B, shards, streams int) *busyShard {
	w := &busyShard{fixture: &fixture{t: b, cfg: Default(), epoch: 1}}
	w.cfg.ShardCount, w.cfg.OpensPerSecond, w.cfg.PublishesPerSecond = shards, 0, 0
	w.disk = memory.NewDisk(memory.Config{IDRetention: w.cfg.IDRetention})
	w.store = w.disk.OpenShared().Store
	g, err := New(w.cfg, Deps{Store: w.store, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		b.Fatal(err)
	}
	w.g = g
	b.Cleanup(func() {
		_ = g.Close(context.Background())
		w.store.Close()
	})
	all := make([]protocol.ShardID, shards)
	for i := range all {
		all[i] = protocol.ShardID(i)
	}
	if err := g.Take(context.Background(), all, w.epoch, time.Time{}); err != nil {
		b.Fatal(err)
	}
	for i := range streams {
		user, shard := protocol.UserID(fmt.Sprint("user", i)), protocol.ShardID(i%shards)
		if shard == 0 {
			w.users = append(w.users, user)
		}
		w.openAt(link.Route{Shard: shard, Epoch: w.epoch}, user)
	}
	w.store.Script(func(_ context.Context, op memory.Op) memory.Fault {
		if op.Kind == memory.OpAppend {
			time.Sleep(time.Millisecond)
		}
		return memory.Fault{}
	})
	return w
}

func (w *busyShard) openAt(at link.Route, user protocol.UserID) {
	a := new(acker)
	s, _, err := w.g.Open(context.Background(), link.Open{Route: at, User: user, Device: "d", Transport: protocol.TransportWS}, a)
	if err != nil {
		w.t.Fatal(err)
	}
	a.s = s
	s.Credit(64 << 20)
}

// releaseWhileBusy releases the shard between the publishes of several publishers, and returns how long that took. Then it takes the shard
// again, and opens its streams.
func (w *busyShard) releaseWhileBusy() time.Duration {
	const publishers, batches = 4, 5 // batches are written of each before the release
	var all, busy sync.WaitGroup
	at := link.Route{Epoch: w.epoch}
	for range publishers {
		first := w.sent
		w.sent += 1_000_000 // ids
		busy.Add(1)
		all.Go(func() { w.publishUntilRefused(at, first, batches, busy.Done) })
	}
	busy.Wait()
	began := time.Now()
	if err := w.g.Release(context.Background(), []protocol.ShardID{0}); err != nil {
		w.t.Fatal(err)
	}
	took := time.Since(began)
	all.Wait()
	w.epoch++
	if err := w.g.Take(context.Background(), []protocol.ShardID{0}, w.epoch, time.Time{}); err != nil {
		w.t.Fatal(err)
	}
	for _, u := range w.users {
		w.openAt(link.Route{Epoch: w.epoch}, u)
	}
	return took
}

// publishUntilRefused publishes batches of 20 messages until the shard is released, and calls busy once so many are accepted.
func (w *busyShard) publishUntilRefused(at link.Route, first, batches int, busy func()) {
	payload := make([]byte, 256)
	for n := 0; ; n++ {
		batch := make([]link.Publish, 20)
		for i := range batch {
			id := first + n*len(batch) + i
			user := w.users[id%len(w.users)]
			batch[i] = link.Publish{Route: at, User: user, TTLMS: 60_000, Message: &protocol.Message{ID: protocol.MessageID(fmt.Sprint("m", id)),
				Priority: protocol.PriorityMedium, Payload: payload, ContentType: protocol.ContentTypeJSON}}
		}
		for _, r := range w.g.Publish(context.Background(), batch) {
			if r.Status != link.StatusAccepted {
				if n < batches {
					w.t.Errorf("batch %d before the release: %+v", n, r)
					busy()
				}
				return
			}
		}
		if n+1 == batches {
			busy()
		}
	}
}
