package scenario

import (
	"math"

	"ramen/loadtest/dev"
	"ramen/loadtest/gauge"
)

// coming is how devices come and go.
func (b *bench) coming() *dev.Churn {
	return &dev.Churn{Life: b.p.Life, Away: b.p.Away, HalfOpen: b.p.HalfOpen, Change: b.p.Change}
}

// seconds is the server's CPU time between two moments; NaN where it is not known.
func seconds(from, to *gauge.Usage) float64 {
	if from == nil || to == nil {
		return math.NaN()
	}
	return (to.CPU - from.CPU).Seconds()
}

// drift is what has grown that should not have.
func (b *bench) drift(from, to *gauge.Usage) {
	if from == nil || to == nil {
		return
	}
	b.out.Add("server's RSS at the begin", float64(from.RSS)/1e6, "MB")
	b.out.Add("server's RSS at the end", float64(to.RSS)/1e6, "MB")
	b.out.Add("descriptors at the begin", float64(from.Files), "")
	b.out.Add("descriptors at the end", float64(to.Files), "")
	b.out.Add("threads at the end", float64(to.Threads), "")
}
