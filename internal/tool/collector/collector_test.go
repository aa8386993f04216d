package collector

import "testing"

const mib = 1 << 20

// run feeds the tuner n intervals and counts what it answers.
func run(t *tuner, n int, allocated, live uint64) (changes, returns int) {
	for range n {
		changed, giveBack := t.next(allocated, live)
		if changed {
			changes++
		}
		if giveBack {
			returns++
		}
	}
	return changes, returns
}

func TestRoomFollowsAllocation(t *testing.T) {
	for _, c := range []struct {
		allocated uint64
		percent   int
	}{{0, 15}, {10 * mib, 15}, {20 * mib, 25}, {40 * mib, 50}, {90 * mib, 100}, {150 * mib, 200}, {9000 * mib, 200}} {
		if got := steps[stepFor(c.allocated, 100*mib)]; got != c.percent {
			t.Errorf("%d MiB a second over 100 MiB live: %d %%, want %d %%", c.allocated/mib, got, c.percent)
		}
	}
	if got := steps[stepFor(0, 0)]; got != 15 {
		t.Errorf("before the first collection: %d %%", got)
	}
}

func TestRoomIsRaisedAtOnceAndLoweredAfterQuiet(t *testing.T) {
	tu := tuner{}
	if changed, _ := tu.next(90*mib, 100*mib); !changed || steps[tu.step] != 100 {
		t.Fatalf("after a burst: %d %%", steps[tu.step])
	}
	if changes, returns := run(&tu, calm-1, 0, 100*mib); changes+returns != 0 {
		t.Fatalf("lowered after %d quiet intervals, want %d", calm-1, calm)
	}
	run(&tu, 1, 90*mib, 100*mib) // busy again: the quiet counts anew
	if changes, returns := run(&tu, calm, 0, 100*mib); changes != 1 || returns != 1 || tu.step != 0 {
		t.Fatalf("after %d quiet intervals: %d changes, %d returns, %d %%", calm, changes, returns, steps[tu.step])
	}
}

func TestMemoryIsReturnedAtMostOnceAPause(t *testing.T) {
	var tu tuner
	total := 0
	for range 2 * pause / (calm + 1) { // bursts all the time
		_, r1 := run(&tu, 1, 90*mib, 100*mib)
		_, r2 := run(&tu, calm, 0, 100*mib)
		total += r1 + r2
	}
	if total < 1 || total > 3 {
		t.Fatalf("%d returns in two pauses", total)
	}
	if changes, returns := run(&tu, 1000, 0, 100*mib); changes > 1 || returns > 2 {
		t.Fatalf("in rest: %d changes, %d returns", changes, returns)
	}
}

func TestMemoryIsReturnedSoonerAfterGrowth(t *testing.T) {
	var tu tuner
	run(&tu, 1, 90*mib, 100*mib)
	run(&tu, calm, 0, 100*mib)
	run(&tu, 1, 140*mib, 151*mib)
	if _, returns := run(&tu, calm, 0, 151*mib); returns != 1 {
		t.Fatalf("%d returns after half more was live", returns)
	}
}

// What a wave leaves is not all garbage at once.
func TestMemoryIsReturnedOnceMoreLater(t *testing.T) {
	var tu tuner
	run(&tu, 1, 90*mib, 100*mib)
	if _, returns := run(&tu, calm, 0, 100*mib); returns != 1 {
		t.Fatalf("%d returns after the wave", returns)
	}
	if _, returns := run(&tu, later-1, 0, 100*mib); returns != 0 {
		t.Fatal("returned a second time too soon")
	}
	if _, returns := run(&tu, 1, 0, 100*mib); returns != 1 {
		t.Fatal("not returned a second time")
	}
	if _, returns := run(&tu, 1000, 0, 100*mib); returns != 0 {
		t.Fatal("returned a third time")
	}
}

// A burst between the two returns has none of its own within the pause: what the wave has left must not stay for a minute because of it.
func TestSecondReturnComesAfterABurst(t *testing.T) {
	var tu tuner
	run(&tu, 1, 90*mib, 100*mib)
	run(&tu, calm, 0, 100*mib)
	run(&tu, later-1, 0, 100*mib)
	run(&tu, 1, 90*mib, 100*mib)
	if _, returns := run(&tu, calm+later-2, 0, 100*mib); returns != 0 {
		t.Fatal("returned a second time right after the burst")
	}
	if _, returns := run(&tu, 1, 0, 100*mib); returns != 1 {
		t.Fatal("not returned a second time")
	}
}

func TestAStartIsNoReasonToReturnMemory(t *testing.T) {
	tu := tuner{step: initial}
	if changes, returns := run(&tu, 1000, 0, 100*mib); changes != 1 || returns != 0 {
		t.Fatalf("%d changes, %d returns", changes, returns)
	}
}

func TestReturnThatCameTooSoonIsMadeUpFor(t *testing.T) {
	tu := tuner{rest: pause, live: 100 * mib}
	tu.next(90*mib, 100*mib)
	if _, returns := run(&tu, pause-2, 0, 100*mib); returns != 0 {
		t.Fatal("returned within the pause")
	}
	if _, returns := run(&tu, 2, 0, 100*mib); returns != 1 {
		t.Fatal("not returned after the pause")
	}
}
