package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"time"

	"ramen/loadtest/ledger/judge"
)

// lateAfter is what no more than one publish in a hundred may take where one Cassandra node of three is gone.
const lateAfter = 300 * time.Millisecond

// figures prints what is measured, and not judged.
func figures(out io.Writer, s *stage, l *judge.Log) {
	type span struct {
		judge.Span
		took              []time.Duration
		unknown, accepted int
		late              int // answered after more than lateAfter
		slowest           judge.Attempt
	}
	undisturbed := span{Span: judge.Span{What: "otherwise"}}
	spans := make([]span, len(l.Spans))
	for i := range spans {
		spans[i].Span = l.Spans[i]
	}
	for _, m := range l.Messages {
		for _, a := range m.Attempts {
			in := &undisturbed
			for i := range spans {
				if a.Sent >= spans[i].From && a.Sent <= spans[i].To {
					in = &spans[i]
					break
				}
			}
			if a.Status == judge.Unknown {
				in.unknown++
				continue
			}
			in.accepted++
			in.took = append(in.took, a.Ended-a.Sent)
			if a.Ended-a.Sent > in.slowest.Ended-in.slowest.Sent {
				in.slowest = a
			}
			if a.Ended-a.Sent > lateAfter {
				in.late++
			}
		}
	}
	for _, x := range append(spans, undisturbed) {
		slices.Sort(x.took)
		at := ""
		if x.To > 0 {
			at = fmt.Sprintf(" from %v to %v", x.From.Round(time.Millisecond), x.To.Round(time.Millisecond))
		}
		fmt.Fprintf(out, "  %s%s: %d answered (p50 %v, p99 %v, slowest %v over %s; %d after more than %v), %d unavailable or without an answer\n", x.What, at, x.accepted,
			quantile(x.took, 0.5), quantile(x.took, 0.99), quantile(x.took, 1), cmp.Or(x.slowest.Over, "none"), x.late, lateAfter, x.unknown)
	}
	fmt.Fprintf(out, "  accepted again %v after the last fault; a server took %d MiB at most\n", s.slow.Round(time.Millisecond), s.fleet.peak>>20)
	if n := s.fleet.failed; n > 0 {
		fmt.Fprintf(out, "  a server ended %d times before it was ready, and was started again\n", n)
	}
}

// quantile of sorted times; 0 where there are none.
func quantile(took []time.Duration, q float64) time.Duration {
	if len(took) == 0 {
		return 0
	}
	return took[min(len(took)-1, int(q*float64(len(took))))].Round(100 * time.Microsecond)
}
