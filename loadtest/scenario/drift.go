package scenario

import (
	"math"
	"time"

	"ramen/loadtest/devices"
	"ramen/loadtest/report"
	"ramen/loadtest/stats"
)

// coming is how devices come and go.
func (b *bench) coming() *devices.Churn {
	return &devices.Churn{Life: b.p.Life, Away: b.p.Away, HalfOpen: b.p.HalfOpen, Change: b.p.Change}
}

// seconds is the server's CPU time between two moments; NaN where it is not known.
func seconds(from, to *stats.Usage) float64 {
	if from == nil || to == nil {
		return math.NaN()
	}
	return (to.CPU - from.CPU).Seconds()
}

// grown is what has grown between two moments.
func (b *bench) grown(from, to *stats.Usage) {
	if from == nil || to == nil {
		return
	}
	b.out.Add("server's RSS at the begin", float64(from.RSS)/1e6, "MB")
	b.out.Add("server's RSS at the end", float64(to.RSS)/1e6, "MB")
	b.out.Add("descriptors at the begin", float64(from.Files), "")
	b.out.Add("descriptors at the end", float64(to.Files), "")
	b.out.Add("threads at the end", float64(to.Threads), "")
}

// Growth below these is noise.
const (
	leastMemory     = 4  // MB: a few spans of the collector's
	leastFiles      = 20 // descriptors
	leastGoroutines = 20
)

// drift reports how the server's usage grew between two moments. A soak's devices come and go at a constant rate, so that it
// should stay level. The first third is left out, in which the collector and the store find their level.
func (b *bench) drift(from, to time.Time) {
	from = from.Add(to.Sub(from) / 3)
	b.mu.Lock()
	var during []stats.Usage
	for _, u := range b.watched {
		if !u.At.Before(from) && !u.At.After(to) {
			during = append(during, u)
		}
	}
	b.mu.Unlock()
	for _, of := range []struct {
		name, unit string
		least      float64
		value      func(u *stats.Usage) (v float64, known bool)
	}{
		{"the server's memory (RSS)", "MB", leastMemory, func(u *stats.Usage) (float64, bool) { return float64(u.RSS) / 1e6, u.RSS > 0 }},
		{"its Go heap in use", "MB", leastMemory, func(u *stats.Usage) (float64, bool) { return float64(u.Heap) / 1e6, u.Heap > 0 }},
		{"its descriptors", "descriptors", leastFiles, func(u *stats.Usage) (float64, bool) { return float64(u.Files), u.Files > 0 }},
		{"its goroutines", "goroutines", leastGoroutines, func(u *stats.Usage) (float64, bool) { return float64(u.Goroutines), u.Goroutines > 0 }},
		{"its threads", "threads", leastGoroutines, func(u *stats.Usage) (float64, bool) { return float64(u.Threads), u.Threads > 0 }},
	} {
		var series []report.Moment
		for i := range during {
			if v, known := of.value(&during[i]); known {
				series = append(series, report.Moment{At: during[i].At, Value: v})
			}
		}
		if d, enough := report.NewDrift(of.name, of.unit, of.least, series); enough {
			b.out.Drifts = append(b.out.Drifts, d)
			continue
		}
		b.note("%s: too few samples: run for longer", of.name)
	}
}
