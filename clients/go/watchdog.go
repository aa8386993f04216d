package ramen

import (
	"sync"
	"sync/atomic"
	"time"
)

// How long a stream may be silent: SPEC 2.8.3, 2.8.4.
const (
	defaultSilence = 7 * time.Second     // 7/4 of the default interval
	minSilence     = 7 * time.Second / 4 // of the shortest interval
	maxSilence     = 7 * time.Minute / 4 // of the longest
	mostPatience   = 28 * time.Second    // where the bytes of an incomplete frame cannot be seen
)

// watchdog calls bark once no sign of life has come for a while. It keeps one timer, which is not touched by a sign of
// life: where it fires too early, it sleeps for the rest.
type watchdog struct {
	start time.Time
	last  atomic.Int64 // ns since start
	bark  func()

	mu      sync.Mutex
	silence time.Duration // guarded by mu
	due     time.Time     // guarded by mu: when the timer fires
	timer   *time.Timer   // guarded by mu; nil once stopped
}

func newWatchdog(silence time.Duration, bark func()) *watchdog {
	w := &watchdog{start: time.Now(), silence: silence, bark: bark}
	w.mu.Lock()
	w.due = w.start.Add(silence)
	w.timer = time.AfterFunc(silence, w.check)
	w.mu.Unlock()
	return w
}

// alive is a sign of life. It is called for every read.
func (w *watchdog) alive() { w.last.Store(int64(time.Since(w.start))) }

// allow changes how long the silence may be.
func (w *watchdog) allow(silence time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer == nil {
		return
	}
	w.silence = silence
	w.set(silence)
}

// set has the timer fire after d. Called with mu held.
func (w *watchdog) set(d time.Duration) {
	w.due = time.Now().Add(d)
	w.timer.Reset(d)
}

// late is by how much a timer fires late where the process was suspended: what has come meanwhile is yet to be read.
const late = 500 * time.Millisecond

// prove barks unless there is a sign of life within five sevenths of the silence that is allowed, which is a heartbeat interval and a
// quarter: the path may be another, or gone. clients/SPEC.md C 10.2
func (w *watchdog) prove() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer == nil {
		return
	}
	asked := int64(time.Since(w.start))
	time.AfterFunc(w.silence*5/7, func() {
		w.mu.Lock()
		dead := w.timer != nil && w.last.Load() < asked
		if dead {
			w.timer.Stop()
			w.timer = nil
		}
		w.mu.Unlock()
		if dead {
			w.bark()
		}
	})
}

func (w *watchdog) check() {
	w.mu.Lock()
	if w.timer == nil {
		w.mu.Unlock()
		return
	}
	rest := w.silence - (time.Since(w.start) - time.Duration(w.last.Load()))
	if rest <= 0 && time.Since(w.due) > late {
		rest = late
	}
	if rest > 0 {
		w.set(rest)
		w.mu.Unlock()
		return
	}
	w.timer = nil
	w.mu.Unlock()
	w.bark()
}

func (w *watchdog) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer != nil {
		w.timer.Stop()
		w.timer = nil
	}
}
