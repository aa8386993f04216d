package gateway

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"strconv"
	"testing"
	"time"

	"ramen/link"
	"ramen/protocol"
	"ramen/store"
)

// nullStore is durable at once and keeps nothing: what is measured is the gateway.
type nullStore struct{}

func (nullStore) Identity() store.Identity                          { return store.Identity{Generation: 7} }
func (nullStore) LastEpoch(context.Context) (protocol.Epoch, error) { return 0, nil }
func (nullStore) Close() error                                      { return nil }
func (nullStore) Forget(context.Context, []store.Forget) []error    { return nil }
func (nullStore) Claim(context.Context, []protocol.ShardID, protocol.Epoch, string) []error {
	return nil
}
func (nullStore) SaveDevices(context.Context, []store.DeviceSave, bool) []error { return nil }
func (nullStore) Append(_ context.Context, batch []store.Append, answer func(i int, err error)) {
	for i := range batch {
		answer(i, nil)
	}
}
func (nullStore) Load(context.Context, store.Owner, protocol.UserID) (store.Mailbox, error) {
	return store.Mailbox{}, nil
}

func benchWorld(b *testing.B) *fixture {
	w := &fixture{t: b, cfg: Default(), epoch: 1}
	w.cfg.ShardCount, w.cfg.OpensPerSecond, w.cfg.PublishesPerSecond = testShards, 0, 0
	w.cfg.IDRetention = time.Second // ids are remembered, and swept
	g, err := New(w.cfg, Deps{Store: nullStore{}, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		b.Fatal(err)
	}
	w.g = g
	if err := g.Take(context.Background(), []protocol.ShardID{0, 1, 2, 3}, 1, time.Time{}); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = g.Close(context.Background()) })
	return w
}

// acker acks every push at once and gives its credit back.
type acker struct{ s link.Stream }

func (a *acker) Push(_ link.Generation, batch []protocol.Push, _ bool) {
	last := &batch[len(batch)-1]
	a.s.Ack(last.Seq, last.Cursor)
	n := 0
	for i := range batch {
		n += batch[i].Cost()
	}
	a.s.Credit(n)
}
func (*acker) Acked(link.Generation, protocol.Seq)             {}
func (*acker) Closed(link.Generation, protocol.Reason, string) {}
func (*acker) Lost(link.Generation, link.Loss)                 {}

func (w *fixture) acker(user protocol.UserID, device protocol.DeviceID) {
	a := new(acker)
	s, _, err := w.g.Open(context.Background(), link.Open{Route: w.route(user), User: user, Device: device, Transport: protocol.TransportWS}, a)
	if err != nil {
		w.t.Fatal(err)
	}
	a.s = s
	s.Credit(64 << 10)
}

// sweepIDs forgets the ids of user that are older than the retention. The gateway does so once a minute, in which a benchmark would come to
// the most ids that a user may have.
func (w *fixture) sweepIDs(user protocol.UserID) {
	b, err := w.g.acquire(context.Background(), w.route(user), user)
	if err != nil {
		w.t.Fatal(err)
	}
	defer w.g.release(b)
	if err := b.enter(); err != nil {
		w.t.Fatal(err)
	}
	defer b.unlock()
	b.SweepIDs(w.g.nowMS())
}

// sweepEvery is how many messages BenchmarkPublish publishes between sweeps of ids: less than the most that are remembered of a user, with
// those of a second before.
const sweepEvery = 100_000

// BenchmarkPublish is a message from publish to ack, alone and in batches, to one user and to many.
func BenchmarkPublish(b *testing.B) {
	for _, c := range []struct{ batch, users int }{{1, 1}, {1, 1000}, {100, 1}, {100, 1000}} {
		b.Run(fmt.Sprintf("batch=%d/users=%d", c.batch, c.users), func(b *testing.B) {
			w := benchWorld(b)
			users := make([]protocol.UserID, c.users)
			for i := range users {
				users[i] = protocol.UserID(fmt.Sprint("user", i))
				w.acker(users[i], "d")
			}
			payload := make([]byte, 256)
			batch := make([]link.Publish, c.batch)
			messages := make([]protocol.Message, c.batch)
			ids := make([]protocol.MessageID, 8000)
			b.ReportAllocs()
			n, swept := 0, 0
			for b.Loop() {
				if n-swept >= sweepEvery {
					b.StopTimer()
					for _, u := range users {
						w.sweepIDs(u)
					}
					swept = n
					b.StartTimer()
				}
				if n%len(ids) == 0 {
					b.StopTimer()
					for i := range ids {
						ids[i] = protocol.MessageID("0198f3c2-" + strconv.Itoa(n+i))
					}
					b.StartTimer()
				}
				for i := range batch {
					u := users[n%len(users)]
					messages[i] = protocol.Message{ID: ids[n%len(ids)], Priority: protocol.PriorityMedium, Payload: payload, ContentType: protocol.ContentTypeJSON}
					batch[i] = link.Publish{Route: w.route(u), User: u, Message: &messages[i], TTLMS: 60_000}
					n++
				}
				for _, r := range w.g.Publish(context.Background(), batch) {
					if r.Status != link.StatusAccepted {
						b.Fatalf("%+v", r)
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/message")
		})
	}
}

func BenchmarkLane(b *testing.B) {
	b.Run("next and ack", func(b *testing.B) {
		w := benchWorld(b)
		published := 0
		publish := func(n int) {
			batch := make([]link.Publish, n)
			for i := range batch {
				batch[i] = w.message(strconv.Itoa(published+i), medium, ttl(time.Hour))
			}
			w.g.Publish(context.Background(), batch)
			published += n
		}
		publish(10_000)
		r := &counter{}
		s, _, _ := w.g.Open(context.Background(), link.Open{Route: w.route(alice), User: alice, Device: "d", Transport: protocol.TransportWS}, r)
		b.ReportAllocs()
		for b.Loop() {
			s.Credit(300) // one push, sometimes two
			s.Ack(r.last, "")
			if published-int(r.last) < 9000 {
				b.StopTimer()
				publish(1000)
				b.StartTimer()
			}
		}
		if int(r.last) < b.N {
			b.Fatalf("%d pushes for %d rounds", r.last, b.N)
		}
	})
}

type counter struct{ last protocol.Seq }

func (c *counter) Push(_ link.Generation, batch []protocol.Push, _ bool) {
	c.last = batch[len(batch)-1].Seq
}
func (*counter) Acked(link.Generation, protocol.Seq)             {}
func (*counter) Closed(link.Generation, protocol.Reason, string) {}
func (*counter) Lost(link.Generation, link.Loss)                 {}

func BenchmarkOpenClose(b *testing.B) {
	w := benchWorld(b)
	w.acker(alice, "d")
	r := &counter{}
	o := link.Open{Route: w.route(alice), User: alice, Device: "d", Transport: protocol.TransportWS}
	b.ReportAllocs()
	for b.Loop() {
		s, opened, err := w.g.Open(context.Background(), o, r)
		if err != nil {
			b.Fatal(err)
		}
		o.Cursor = opened.Cursor
		s.Close(protocol.ReasonGone)
	}
}

// BenchmarkIdleDevice is the memory of a user with one device and its stream, nothing waiting.
func BenchmarkIdleDevice(b *testing.B) {
	const n = 20_000
	for b.Loop() {
		w := benchWorld(b)
		users := make([]protocol.UserID, n)
		for i := range users {
			users[i] = protocol.UserID(fmt.Sprintf("user-%09d-with-a-uuid-like-id", i))
		}
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		for _, u := range users {
			w.acker(u, "device")
		}
		if err := w.g.writeBehind.flush(context.Background(), false); err != nil { // the saver's lists are its own again
			b.Fatal(err)
		}
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n, "B/device")
	}
}
