package main

import (
	"os/exec"
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

// TestAProcessThatEndedBeforeItWasReadyIsNoFault whatever is done to it: its store was away. One that was ready and ended is.
func TestAProcessThatEndedBeforeItWasReadyIsNoFault(t *testing.T) {
	ends, err := exec.LookPath("false")
	if err != nil {
		t.Skip(err)
	}
	f, err := newFleet(process.Config{Binary: ends, Dir: t.TempDir(), Clock: observe.Clock{Began: time.Now()}}, true)
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	ended := func() {
		if err := f.launch(0); err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(time.Minute); f.all[0].Running(); time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("it has not ended")
			}
		}
	}
	for _, do := range []func(int){f.kill, f.stop, f.restart} {
		ended()
		do(0)
		if found := f.all[0].Faults(); len(found) > 0 {
			t.Fatalf("found: %v", found)
		}
	}
	if f.failed != 3 {
		t.Errorf("%d starts have failed, not 3", f.failed)
	}
	ended()
	f.set(0, func(s *state) { s.served = true })
	f.kill(0)
	if found := f.all[0].Faults(); len(found) != 1 {
		t.Errorf("found of one that was ready: %v", found)
	}
}
