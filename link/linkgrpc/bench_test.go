package linkgrpc

import (
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"ramen/link"
	"ramen/protocol"
)

// benchLink is a real gateway, itself or behind a link.
func benchLink(b *testing.B, over bool) (link.Gateway, func(protocol.UserID) link.Route) {
	g, route, _ := realGateway(b)
	if !over {
		return g, route
	}
	server, err := NewServer(ServerConfig{Config: Default(), Name: "g1", Log: slog.New(slog.DiscardHandler)}, g)
	if err != nil {
		b.Fatal(err)
	}
	l := mustListen(b, "127.0.0.1:0")
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(l) })
	client, err := NewClient(ClientConfig{Config: Default(), Name: "f1", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { client.Close(); server.Close(); serving.Wait() })
	remote := client.To("g1", l.Addr().String())
	if err := remote.Wait(b.Context()); err != nil {
		b.Fatal(err)
	}
	return remote, route
}

func cpuSeconds(b *testing.B) float64 {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return float64(u.Utime.Sec+u.Stime.Sec) + float64(u.Utime.Usec+u.Stime.Usec)/1e6
}

// acking is a device that acks each push at once.
type acking struct {
	counting
	stream link.Stream
	ready  chan struct{}
	got    *atomic.Int64
}

func (r *acking) Push(_ link.Generation, batch []protocol.Push, _ bool) {
	<-r.ready
	last := &batch[len(batch)-1]
	credit := 0
	for i := range batch {
		credit += batch[i].Cost()
	}
	r.stream.Ack(last.Seq, last.Cursor)
	r.stream.Credit(credit)
	r.got.Add(int64(len(batch)))
}

// BenchmarkMessage is a message of 512 bytes from a publisher to the device that acks it, by 64 publishers at once. Without a socket and
// without a disk: what a link adds has to be seen beside what the rest costs, which is some 20 µs in one process.
func BenchmarkMessage(b *testing.B) {
	for _, over := range []bool{false, true} {
		b.Run(map[bool]string{false: "direct", true: "link"}[over], func(b *testing.B) {
			g, route := benchLink(b, over)
			const users, publishers = 256, 64
			var got atomic.Int64
			for i := range users {
				u := protocol.UserID(fmt.Sprint("user-", i))
				r := &acking{ready: make(chan struct{}), got: &got}
				s, _, err := g.Open(b.Context(), link.Open{Route: route(u), User: u, Device: "d", Transport: protocol.TransportWS}, r)
				if err != nil {
					b.Fatal(err)
				}
				r.stream = s
				close(r.ready)
				s.Credit(32 << 10)
			}
			payload := []byte(strings.Repeat("x", 512))
			var next atomic.Int64
			before := cpuSeconds(b)
			b.ReportAllocs()
			b.ResetTimer()
			var all sync.WaitGroup
			for range publishers {
				all.Go(func() {
					for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
						u := protocol.UserID(fmt.Sprint("user-", i%users))
						r := g.Publish(b.Context(), []link.Publish{{Route: route(u), User: u, TTLMS: 60_000, Message: &protocol.Message{
							ID: protocol.MessageID(fmt.Sprint("m", i)), Type: "trip.offer", Priority: protocol.PriorityHigh, ContentType: protocol.ContentTypeJSON, Payload: payload}}})
						if r[0].Status != link.StatusAccepted {
							b.Error(r[0].Err)
							return
						}
					}
				})
			}
			all.Wait()
			eventually(b, "all pushes", func() bool { return got.Load() >= int64(b.N) })
			b.StopTimer()
			b.ReportMetric((cpuSeconds(b)-before)*1e6/float64(b.N), "cpu-µs/op")
		})
	}
}

// BenchmarkStream is what an idle stream takes of memory at both ends, its gateway's mailbox included.
func BenchmarkStream(b *testing.B) {
	for _, over := range []bool{false, true} {
		b.Run(map[bool]string{false: "direct", true: "link"}[over], func(b *testing.B) {
			g, route := benchLink(b, over)
			heap := func() uint64 {
				runtime.GC()
				runtime.GC()
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				return m.HeapAlloc + m.StackInuse
			}
			keep := make([]link.Stream, b.N)
			receivers := make([]counting, b.N)
			before := heap()
			for i := range b.N {
				u := protocol.UserID(fmt.Sprint("user-", i))
				s, _, err := g.Open(b.Context(), link.Open{Route: route(u), User: u, Device: "d", Transport: protocol.TransportSSE}, &receivers[i])
				if err != nil {
					b.Fatal(err)
				}
				s.Credit(32 << 10)
				keep[i] = s
			}
			b.ReportMetric(float64(heap()-before)/float64(b.N), "B/stream")
			runtime.KeepAlive(keep)
		})
	}
}
