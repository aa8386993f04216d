package pebble

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestBackgroundWorkTakesAFifthOfTheTime: in synctest time passes in sleeps alone.
func TestBackgroundWorkTakesAFifthOfTheTime(t *testing.T) {
	for name, c := range map[string]struct {
		worked time.Duration
		hurry  bool
		want   time.Duration
	}{
		"nothing much":     {worked: leastWork - 1},
		"a portion":        {worked: time.Millisecond, want: 4 * time.Millisecond},
		"a long one":       {worked: time.Second, want: mostPause},
		"one, in a hurry":  {worked: time.Millisecond, hurry: true},
		"many small turns": {worked: leastWork, want: pauseShare * leastWork},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := throttle{stop: make(chan struct{})}
			p.begin()
			time.Sleep(c.worked)
			before := time.Now()
			p.pause(c.hurry)
			if took := time.Since(before); took != c.want {
				t.Errorf("%s: a pause of %v, want %v", name, took, c.want)
			}
		})
	}
}

// TestSmallPortionsAddUp: portions that are too small for a pause each have one together.
func TestSmallPortionsAddUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := throttle{stop: make(chan struct{})}
		p.begin()
		began := time.Now()
		for range 100 {
			time.Sleep(leastWork / 4)
			p.pause(false)
		}
		if took := time.Since(began); took != (1+pauseShare)*25*leastWork {
			t.Errorf("%v for %v of work", took, 25*leastWork)
		}
	})
}

func TestPauseEndsWithTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stop := make(chan struct{})
		p := throttle{stop: stop}
		p.begin()
		time.Sleep(time.Second)
		close(stop)
		before := time.Now()
		p.pause(false)
		if took := time.Since(before); took != 0 {
			t.Errorf("a pause of %v at the end", took)
		}
	})
}
