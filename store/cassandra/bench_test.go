package cassandra

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"ramen/internal/testserver/cassandratest"
	"ramen/protocol"
	"ramen/store"
	"ramen/store/driver"
	"ramen/store/storetest"
)

// BenchmarkAppend appends a message of 300 bytes for one of many users. cpu-ns/op is of this process, the driver included.
func BenchmarkAppend(b *testing.B) {
	for _, underWay := range []int{1, 64} {
		b.Run(fmt.Sprint("underWay=", underWay), func(b *testing.B) { benchmarkAppend(b, underWay) })
	}
}

func benchmarkAppend(b *testing.B, underWay int) {
	s := openStore(b, place(b, "&timeout=5s"))
	defer s.Close()
	ctx := context.Background()
	for id := range protocol.ShardID(64) {
		if errs := s.Claim(ctx, []protocol.ShardID{id}, 1, "bench"); errs != nil {
			b.Fatal(errs)
		}
	}
	users := make([]protocol.UserID, 1000)
	for i := range users {
		users[i] = protocol.UserID(fmt.Sprint("user", i))
	}
	var n atomic.Uint64
	appendOne := func() {
		i := n.Add(1)
		a := store.Append{Owner: store.Owner{Shard: protocol.ShardID(i % 1000 % 64), Epoch: 1}, User: users[i%1000], Entries: []store.Entry{message(i)}}
		if err := storetest.Append(ctx, s, []store.Append{a})[0]; err != nil {
			b.Error(err)
		}
	}
	for range users { // the index, and what the driver prepares
		appendOne()
	}
	b.SetParallelism(underWay)
	b.ReportAllocs()
	b.ResetTimer()
	before := cpu()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			appendOne()
		}
	})
	b.ReportMetric(float64(cpu()-before)/float64(b.N), "cpu-ns/op")
}

// cpu is the time that this process has had a processor.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// message is one of 300 bytes, accepted now.
func message(micros uint64) store.Entry {
	now := time.Now()
	return store.Entry{Position: protocol.Position{Epoch: 1, Micros: uint64(now.UnixMicro()) + micros}, Message: &protocol.Message{
		ID: protocol.MessageID(fmt.Sprint("message", micros)), Type: "test", Priority: protocol.PriorityMedium, Payload: make([]byte, 200),
		ContentType: protocol.ContentTypeJSON, CreatedMS: now.UnixMilli(), ExpiresMS: now.UnixMilli() + 1_800_000,
	}}
}

// BenchmarkTakeOver claims 1,024 shards for one owner after the other, at rising epochs, as a cluster's member does it: in one call.
func BenchmarkTakeOver(b *testing.B) {
	b.Run("nodes=1", func(b *testing.B) { benchmarkTakeOver(b, place(b, "&timeout=5s")) })
	b.Run("nodes=3", func(b *testing.B) {
		c := cassandratest.Start(b, cassandratest.Options{Nodes: 3, NeverKilled: true})
		benchmarkTakeOver(b, prepared(b, paramsOf(b, c, 3, "&timeout=5s")))
	})
}

func benchmarkTakeOver(b *testing.B, p driver.Params) {
	const shards = 1024
	s := openStore(b, p)
	defer s.Close()
	all := make([]protocol.ShardID, shards)
	for i := range all {
		all[i] = protocol.ShardID(i)
	}
	take := func(epoch int) {
		ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
		defer cancel()
		if errs := s.Claim(ctx, all, protocol.Epoch(epoch), fmt.Sprint("owner", epoch)); errs != nil {
			b.Fatal(errors.Join(errs...))
		}
	}
	take(1)
	b.ResetTimer()
	for n := range b.N {
		take(n + 2)
	}
}
