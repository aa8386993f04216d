package main

import (
	"os/exec"
	"slices"
	"testing"
	"time"

	"ramen/loadtest/ledger/judge"
	"ramen/loadtest/ledger/observe"
	"ramen/loadtest/ledger/process"
)

// TestALapseIsFromWhenMoreShardsWereSeenServed until all are again, or something is done to the process. A start is none.
func TestALapseIsFromWhenMoreShardsWereSeenServed(t *testing.T) {
	f := &fleet{all: []*supervised{{Process: &process.Process{}}}, states: make([]state, 1), clock: observe.StartClock()}
	look := func(at judge.Moment, text string) { f.lookLocked(0, at, lackedShards(text != "", text)) }
	look(1, "")
	look(2, "lease: 641 of 1024 shards are not served: 641 are claimed at epoch 72")
	look(3, "lease: 12 of 1024 shards are not served: 12 are claimed at epoch 72")
	look(4, "ready")
	look(5, "ready")
	if len(f.lapses) != 0 {
		t.Fatalf("a start is %v", f.lapses)
	}
	look(6, "lease: 1 of 1024 shards are not served: 1 because the process cannot read the store's claims")
	look(7, "")
	look(8, "ready")
	look(9, "")
	f.set(0, func(s *state) { *s = state{} })
	look(10, "")
	// It has had some shards alone.
	look(11, "lease: 641 of 1024 shards are not served: 641 are claimed at epoch 73")
	look(12, "lease: 321 of 1024 shards are not served: 321 are claimed at epoch 73")
	look(13, "lease: 322 of 1024 shards are not served: 321 are claimed at epoch 73")
	look(14, "lease: 321 of 1024 shards are not served: 321 are claimed at epoch 73")
	look(15, "ready")
	var from []judge.Moment
	for _, x := range f.lapses {
		from = append(from, x.From)
		if !x.Lapsed || x.Owner {
			t.Errorf("a lapse is %+v", x)
		}
	}
	if !slices.Equal(from, []judge.Moment{5, 8, 12}) {
		t.Fatalf("the lapses are %+v", f.lapses)
	}
}

// TestAProcessThatEndedBeforeItWasReadyIsNoFault whatever is done to it: its store was away. One that was ready and ended is.
func TestAProcessThatEndedBeforeItWasReadyIsNoFault(t *testing.T) {
	ends, err := exec.LookPath("false")
	if err != nil {
		t.Skip(err)
	}
	f, err := newFleet(process.Config{Binary: ends, Dir: t.TempDir(), Clock: observe.StartClock()}, true)
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
