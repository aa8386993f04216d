package pebble

import (
	"runtime"
	"time"
)

// throttle keeps what a background job takes to a fifth of the time: on one processor everything else waits for its portions, and
// for its I/O on any. A gateway of 10,000 messages a second was held up for 12 to 20 ms by each checkpoint, and by each segment
// that was made, in one piece. It is for one goroutine.
type throttle struct {
	stop <-chan struct{}
	from time.Time // when the job went on
}

const (
	// pauseShare is how much longer a pause is than what was done before it.
	pauseShare = 4
	// leastWork is what is done before there is a pause: timers are no finer than a millisecond.
	leastWork = 250 * time.Microsecond
	// mostPause bounds a pause: what looks like work may have been waiting for a processor.
	mostPause = 20 * time.Millisecond
)

// begin begins a job.
func (p *throttle) begin() { p.from = time.Now() }

// pause lets others go first; in a hurry, only those that are ready now.
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
