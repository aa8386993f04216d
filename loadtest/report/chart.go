package report

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// chartWide is how many characters the longest bar of a chart has.
const chartWide = 60

// LatencyChart is p50 and p99 over time for a terminal: a line for each stretch of time, with a bar of the p99 whose length is
// logarithmic. It is empty where there is nothing to draw.
func (s *Section) LatencyChart() string {
	low, high := math.Inf(1), 0.0
	for _, w := range s.Latency {
		if v := ms(w.P99); v > 0 {
			low, high = min(low, v), max(high, v)
		}
	}
	if high == 0 {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%5s %9s %10s %10s  p99, logarithmic\n", "s", "pushes", "p50, ms", "p99, ms")
	for _, w := range s.Latency {
		fmt.Fprintf(&b, "%5.0f %9s %10s %10s  %s\n", w.Start.Seconds(), Whole(w.Count), Number(ms(w.P50)), Number(ms(w.P99)), bar(w.P99, low, high))
	}
	return b.String()
}

// bar has one character for the least, low, and chartWide for the most, high.
func bar(d time.Duration, low, high float64) string {
	v := ms(d)
	if v <= 0 {
		return ""
	}
	part := 1.0
	if high > low {
		part = math.Log(v/low) / math.Log(high/low)
	}
	return strings.Repeat("█", 1+int(math.Round(part*(chartWide-1))))
}
