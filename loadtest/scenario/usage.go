package scenario

import (
	"context"
	"math"
	"time"

	"ramen/loadtest/stats"
)

// usage is the server's usage; nil: not known.
func (b *bench) usage() *stats.Usage {
	if b.pid != 0 {
		if u, err := stats.OfProcess(b.pid); err == nil {
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
