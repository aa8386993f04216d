package scenario

import (
	"context"
	"fmt"
	"math"
	"time"

	"ramen/loadtest/stats"
)

// usage is the server's usage, of all its processes together; nil: not known.
func (b *bench) usage() *stats.Usage {
	if len(b.pids) > 0 {
		if u, err := stats.OfProcesses(b.pids); err == nil {
			return &u
		}
	}
	return b.metrics()
}

// metrics reads the server's /metrics, which costs the server a little; nil: there is none.
func (b *bench) metrics() *stats.Usage {
	if b.scrape == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	u, err := stats.Scrape(ctx, b.client, b.scrape)
	if err != nil {
		return nil
	}
	return &u
}

// cpu is the server's CPU time between two moments, in µs for each of n; NaN: not known.
func cpu(from, to *stats.Usage, n int64) float64 {
	if from == nil || to == nil || n == 0 {
		return math.NaN()
	}
	return float64((to.CPU - from.CPU).Microseconds()) / float64(n)
}

// kernel is the part of cpu that was spent in the kernel.
func kernel(from, to *stats.Usage, n int64) float64 {
	if from == nil || to == nil || n == 0 || to.Sys == 0 {
		return math.NaN()
	}
	return float64((to.Sys - from.Sys).Microseconds()) / float64(n)
}

// ofEach adds what each process of a cluster has used for each of n, in the order in which they were named; nothing where there is one.
func (b *bench) ofEach(name string, from, to *stats.Usage, n int64) {
	if from == nil || to == nil || len(from.Each) != len(to.Each) {
		return
	}
	for i := range to.Each {
		b.out.Add(fmt.Sprintf("%s, process %d", name, i+1), cpu(&from.Each[i], &to.Each[i], n), "µs")
	}
}

// memoryOfEach adds what each process of a cluster has taken for each of n more streams.
func (b *bench) memoryOfEach(from, to *stats.Usage, n int64) {
	if len(from.Each) != len(to.Each) {
		return
	}
	for i := range to.Each {
		b.out.Add(fmt.Sprintf("memory a stream (RSS), process %d", i+1), float64(to.Each[i].RSS-from.Each[i].RSS)/1024/float64(n), "KB")
	}
}
