package testbed

import (
	"slices"
	"time"

	"ramen/loadtest/ledger/judge"
)

// Latency is how long pushes took, from the sending of the publish to the device.
type Latency struct {
	Pushes        int
	P50, P99, Max time.Duration
}

// LatencyWithin is that of messages that were sent from one moment to another and accepted at once, to streams that were open before.
func LatencyWithin(l *judge.Log, from, to judge.Moment) Latency {
	sent := make(map[[2]string]judge.Moment)
	for _, m := range l.Messages {
		if a := m.Attempts[0]; a.Status == judge.Accepted && a.Sent >= from && a.Sent <= to {
			sent[[2]string{m.User, m.ID}] = a.Sent
		}
	}
	var all []time.Duration
	for _, d := range l.Devices {
		for _, s := range d.Streams {
			for _, p := range s.Pushes {
				if at, is := sent[[2]string{d.User, p.ID}]; is && s.HasSeq && s.Greeted != 0 && s.Greeted < at {
					all = append(all, p.At-at)
				}
			}
		}
	}
	if len(all) == 0 {
		return Latency{}
	}
	slices.Sort(all)
	return Latency{Pushes: len(all), P50: all[len(all)/2], P99: all[len(all)*99/100], Max: all[len(all)-1]}
}
