package pebble

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"testing"

	"ramen/protocol"
	"ramen/store"
	"ramen/store/storetest"
)

// benchDir is on a real disk where the environment names one.
func benchStore(b *testing.B) *Store {
	cfg := Default()
	dir, err := os.MkdirTemp(os.Getenv("RAMEN_BENCH_DIR"), "ramen-bench-*")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { os.RemoveAll(dir) })
	cfg.Dir = dir
	return open(b, cfg)
}

// BenchmarkAppend is publishers in parallel, each call with some users; an op is one message.
func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{1, 16, 128} {
		b.Run(fmt.Sprint("batch", size), func(b *testing.B) {
			s := benchStore(b)
			var micros atomic.Uint64
			b.SetParallelism(32)
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) { publishBatches(b, s, size, &micros, pb) })
		})
	}
}

func publishBatches(b *testing.B, s *Store, size int, micros *atomic.Uint64, pb *testing.PB) {
	batch := make([]store.Append, 0, size)
	flush := func() {
		s.Append(context.Background(), batch, func(_ int, err error) {
			if err != nil {
				b.Error(err)
			}
		})
		batch = batch[:0]
	}
	for pb.Next() {
		n := micros.Add(1)
		e := entry(fmt.Sprint("0198f3c2-7d1e-7c44-9a55-", n), protocol.PriorityMedium, n)
		e.Message.Payload = payload
		batch = append(batch, store.Append{
			Owner: owner, User: protocol.UserID(fmt.Sprint("user-", n%5000)), Entries: []store.Entry{e},
		})
		if len(batch) == size {
			flush()
		}
	}
	flush()
}

var payload = make([]byte, 256)

// BenchmarkLoad is a mailbox of 20 messages and a device, among 2,000.
func BenchmarkLoad(b *testing.B) {
	s := benchStore(b)
	const users, each = 2000, 20
	for u := range users {
		a := store.Append{Owner: owner, User: protocol.UserID(fmt.Sprint("user-", u))}
		for n := range uint64(each) {
			e := entry(fmt.Sprint("0198f3c2-7d1e-7c44-9a55-", n), protocol.PriorityMedium, n+1)
			e.Message.Payload = payload
			a.Entries = append(a.Entries, e)
		}
		if err := storetest.Append(context.Background(), s, []store.Append{a})[0]; err != nil {
			b.Fatal(err)
		}
		d := store.DeviceSave{Owner: owner, User: a.User, Device: fullDevice()}
		if err := errors.Join(s.SaveDevices(context.Background(), []store.DeviceSave{d}, false)...); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; b.Loop(); i++ {
		m, err := s.Load(context.Background(), owner, protocol.UserID(fmt.Sprint("user-", i%users)))
		if err != nil || len(m.Entries) != each {
			b.Fatalf("%d entries, %v", len(m.Entries), err)
		}
	}
}

// groupWriter writes groups as the committer does, without a journal.
type groupWriter struct {
	ops     ops
	overlay *overlay
}

// BenchmarkGroup is what the committer does for a group besides writing it to the journal: it encodes the ops, and applies them. Every
// message is dropped by the next group, as one is that was acked.
func BenchmarkGroup(b *testing.B) {
	for _, size := range []int{1, 16, 128} {
		b.Run(fmt.Sprint("messages", size), func(b *testing.B) {
			w := groupWriter{overlay: newOverlay()}
			batch := make([]store.Append, size)
			for i := range batch {
				e := entry(fmt.Sprint("0198f3c2-7d1e-7c44-9a55-", i), protocol.PriorityMedium, 1)
				e.Message.Payload = payload
				batch[i] = store.Append{Owner: owner, User: protocol.UserID(fmt.Sprint("user-", i)), Entries: []store.Entry{e}, Kills: make([]store.Ref, 1)}
			}
			b.ReportAllocs()
			segment := uint64(1)
			for n := uint64(2); b.Loop(); n++ {
				for i := range batch {
					e := &batch[i].Entries[0]
					batch[i].Kills[0] = store.Ref{Priority: e.Message.Priority, Position: e.Position}
					e.Position.Micros = n
				}
				w.write(batch, segment)
				if n&0xfff == 0 { // the ids leave with a checkpoint
					w.overlay.evict(w.overlay.boxesUpTo(segment), segment)
					w.overlay.forgetSegments(segment)
					segment++
				}
			}
		})
	}
}

func (w *groupWriter) write(batch []store.Append, segment uint64) {
	o := &w.ops
	o.b, o.effects = o.b[:0], o.effects[:0]
	o.time(0)
	for i := range batch {
		o.mailbox(batch[i].Shard, batch[i].User)
		o.message(&batch[i].Entries[0])
		o.drop(batch[i].Kills[0])
	}
	group := bytes.Clone(o.b)
	stamp(group, o.effects, 1)
	w.overlay.apply(group, o.effects, segment)
}
