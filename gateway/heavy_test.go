package gateway

import (
	"context"
	"fmt"
	"testing"
	"time"

	"ramen/link"
	"ramen/store/memory"
)

// What the heaviest user that the limits allow costs: 10,000 waiting messages, 64 devices.

func heavyWorld(b *testing.B, edit func(*Config)) *fixture {
	w := &fixture{t: b, cfg: Default()}
	w.cfg.ShardCount = testShards
	w.cfg.PublishesPerSecond, w.cfg.OpensPerSecond = 0, 0
	if edit != nil {
		edit(&w.cfg)
	}
	w.disk = memory.NewDisk(memory.Config{IDRetention: w.cfg.IDRetention})
	w.start()
	b.Cleanup(func() { _ = w.g.Close(context.Background()) })
	return w
}

func (w *fixture) fill(n int, edits ...func(*link.Publish)) {
	for i := 0; i < n; i += 1000 {
		var batch []link.Publish
		for k := i; k < min(n, i+1000); k++ {
			batch = append(batch, w.message(fmt.Sprint("m", k), medium, edits...))
		}
		for _, r := range w.publish(batch...) {
			if r.Status != link.StatusAccepted {
				w.t.Fatal(r.Err)
			}
		}
	}
}

func BenchmarkHeavyRecall(b *testing.B) {
	w := heavyWorld(b, nil)
	w.fill(10000)
	b.ResetTimer()
	for i := range b.N {
		_, _ = w.recall(fmt.Sprint("m", 9999-i%5000))
	}
}

func BenchmarkHeavyOpenWhere(b *testing.B) {
	w := heavyWorld(b, nil)
	for d := range 63 {
		w.open(fmt.Sprint("d", d)).close()
	}
	w.fill(10000, where("os", "android", "label.x", "y"))
	b.ResetTimer()
	for i := range b.N {
		w.open(fmt.Sprint("x", i)).close()
	}
}

func BenchmarkHeavyOpenNew(b *testing.B) {
	w := heavyWorld(b, nil)
	for d := range 63 {
		w.open(fmt.Sprint("d", d)).close()
	}
	w.fill(10000)
	b.ResetTimer()
	for i := range b.N {
		w.attach(fmt.Sprint("x", i)).close()
	}
}

func BenchmarkHeavyList(b *testing.B) {
	w := heavyWorld(b, nil)
	for d := range 64 {
		w.open(fmt.Sprint("d", d)).close()
	}
	w.fill(10000, where("label.x", "y"))
	b.ResetTimer()
	for range b.N {
		_, _ = w.g.Devices(context.Background(), w.route(alice), alice)
	}
}

func BenchmarkHeavyCollapse(b *testing.B) {
	w := heavyWorld(b, nil)
	b.ResetTimer()
	for n := range b.N {
		var batch []link.Publish
		for k := range 4000 {
			batch = append(batch, w.message(fmt.Sprint("m", n, ".", k), medium, key(fmt.Sprint("k", k)), where("os", "ios")))
		}
		w.publish(batch...)
	}
}

func BenchmarkHeavyExpiry(b *testing.B) {
	for range b.N {
		b.StopTimer()
		w := heavyWorld(b, nil)
		for d := range 64 {
			w.open(fmt.Sprint("d", d)).close()
		}
		w.fill(10000, ttl(time.Hour))
		box := w.g.shards[w.route(alice).Shard].boxes[alice]
		b.StartTimer()
		box.lock()
		box.Sweep(time.Now().UnixMilli() + 7200_000)
		box.unlock()
	}
}

func BenchmarkHeavySweepIdle(b *testing.B) {
	w := heavyWorld(b, func(c *Config) { c.ShardCount = 4; c.MailboxIdle = time.Hour })
	for u := range 100_000 {
		w.attach("d", ofUser(fmt.Sprint("u", u)))
	}
	b.ResetTimer()
	for range b.N {
		for i := range w.g.shards {
			w.g.sweepShard(&w.g.shards[i])
		}
	}
}
