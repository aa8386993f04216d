package pebble

import (
	"runtime"
	"time"
)

// throttle keeps a background job to a fifth of the time: on one processor everything else waits while a portion is done, and on any
// number for its I/O. Without it, each checkpoint and each new segment delayed a gateway of 10,000 messages a second by 12 to 20 ms.
// It is used by one goroutine.
type throttle struct {
	stop <-chan struct{}
	from time.Time // when the job went on after the last pause
}

const (
	// pauseShare is how many times longer a pause is than the work before it.
	pauseShare = 4
	// leastWork is the shortest work that is followed by a pause: timers have a resolution of a millisecond.
	leastWork = 250 * time.Microsecond
	// mostPause bounds a pause: the time since the last one may have been spent waiting for a processor.
	mostPause = 20 * time.Millisecond
)

// begin begins a job.
func (p *throttle) begin() { p.from = time.Now() }

// pause sleeps in proportion to the work since the last pause; in a hurry it only yields the processor.
func (p *throttle) pause(hurry bool) {
	worked := time.Since(p.from)
	if hurry || worked < leastWork {
		runtime.Gosched()
		return
	}
	t := time.NewTimer(min(pauseShare*worked, mostPause))
	defer t.Stop()
	select {
	case <-t.C:
	case <-p.stop:
	}
	p.from = time.Now()
}
