package redis

import (
	"context"
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"ramen/internal/testserver/redistest"
	"ramen/protocol"
	"ramen/store"
)

// cpu is the time of processors that this process has used.
func cpu() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkAppend appends entries of 200 bytes for many users, so many at once. cpu-ns is that of this process, server-cpu-ns
// that of the server, an append.
func BenchmarkAppend(b *testing.B) {
	for _, atOnce := range []int{1, 16, 256, 1024} {
		b.Run(fmt.Sprint("atOnce=", atOnce), func(b *testing.B) {
			server := redistest.Single(b, redistest.Options{})
			s := open(b, configOf(b, server))
			claim(b, s, 1, "first", 1)
			before := serverCPU(b, server)
			n := benchmarkAppend(b, s, atOnce)
			b.ReportMetric(float64(serverCPU(b, server)-before)/float64(n), "server-cpu-ns/op")
		})
	}
}

// serverCPU is the time of processors that a server has used.
func serverCPU(b *testing.B, s *redistest.Server) time.Duration {
	in := parseInfo(s.Client(b).Info(b.Context(), "cpu").Val())
	sum := 0.0
	for _, name := range []string{"used_cpu_user", "used_cpu_sys"} {
		seconds, err := strconv.ParseFloat(in[name], 64)
		if err != nil {
			b.Fatal(err)
		}
		sum += seconds
	}
	return time.Duration(sum * float64(time.Second))
}

// benchmarkAppend answers how many it has appended.
func benchmarkAppend(b *testing.B, s *Store, atOnce int) int {
	message := entry("id-0198f3c2-7a10-7cc3-9a51-0c2f5a3b9d10", 1).Message
	message.Payload = make([]byte, 200)
	var wait sync.WaitGroup
	ctx, cancel := context.WithTimeout(b.Context(), 5*time.Minute)
	defer cancel()
	b.ReportAllocs()
	b.ResetTimer()
	before := cpu()
	each := (b.N + atOnce - 1) / atOnce
	for w := range atOnce {
		wait.Go(func() {
			user := protocol.UserID(fmt.Sprint("user", w))
			batch := make([]store.Append, 1)
			done := make(chan error, 1)
			answer := func(_ int, err error) { done <- err }
			var last protocol.Position
			for n := range each {
				e := store.Entry{Position: protocol.Position{Epoch: 1, Micros: uint64(n + 1)}, Message: message}
				batch[0] = store.Append{Owner: at1, User: user, Last: last, Entries: []store.Entry{e}}
				if n > 0 {
					batch[0].Kills = []store.Ref{{Priority: message.Priority, Position: last}}
				}
				s.Append(ctx, batch, answer)
				if err := <-done; err != nil {
					b.Error(err)
					return
				}
				last = e.Position
			}
		})
	}
	wait.Wait()
	b.StopTimer()
	b.ReportMetric(float64(cpu()-before)/float64(each*atOnce), "cpu-ns/op")
	return each * atOnce
}

// BenchmarkLoad loads a mailbox of so many messages.
func BenchmarkLoad(b *testing.B) {
	for _, n := range []int{10, 100, 1000} {
		b.Run(fmt.Sprint("messages=", n), func(b *testing.B) {
			s := open(b, configOf(b, redistest.Single(b, redistest.Options{})))
			claim(b, s, 1, "first", 1)
			p := newPublisher(s, 1, "u")
			for range n {
				if err := p.publish(b.Context(), 5*time.Second); err != nil {
					b.Fatal(err)
				}
			}
			runtime.GC()
			b.ReportAllocs()
			b.ResetTimer()
			before := cpu()
			for range b.N {
				if m, err := s.Load(b.Context(), at1, "u"); err != nil || len(m.Entries) != n {
					b.Fatal(len(m.Entries), err)
				}
			}
			b.ReportMetric(float64(cpu()-before)/float64(b.N), "cpu-ns/op")
		})
	}
}
