package main

import (
	"testing"
	"time"

	"ramen/loadtest/ledger/observe"
	"ramen/loadtest/ledger/process"
)

// TestALapseIsFromWhenAllShardsWereSeenServed until they are again, or something is done to the process. A start is none.
func TestALapseIsFromWhenAllShardsWereSeenServed(t *testing.T) {
	f := &fleet{all: []*supervised{{Process: &process.Process{}}}, states: make([]state, 1), clock: observe.Clock{Began: time.Now()}}
	f.lookLocked(0, 1, false)
	f.lookLocked(0, 2, true)
	f.lookLocked(0, 3, true)
	if len(f.lapses) != 0 {
		t.Fatalf("a start is %v", f.lapses)
	}
	f.lookLocked(0, 4, false)
	f.lookLocked(0, 5, false)
	f.lookLocked(0, 6, true)
	f.lookLocked(0, 7, false)
	f.set(0, func(s *state) { *s = state{} })
	f.lookLocked(0, 8, false)
	if len(f.lapses) != 2 || f.lapses[0].From != 3 || f.lapses[1].From != 6 || !f.lapses[0].Lapsed || f.lapses[0].Owner {
		t.Fatalf("the lapses are %+v", f.lapses)
	}
}
