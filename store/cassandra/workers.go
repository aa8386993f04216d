package cassandra

import (
	"sync"
	"sync/atomic"
)

// workers runs functions each on a goroutine of its own, and uses goroutines again: the driver's calls are deep, so that a new
// goroutine a call would grow its stack each time.
type workers struct {
	work    chan func()
	ended   chan struct{}
	waiting atomic.Int32 // goroutines without work, about
	all     sync.WaitGroup
}

// keptWorkers is how many goroutines wait for work at most, about.
const keptWorkers = 256

func (w *workers) init() { w.work, w.ended = make(chan func()), make(chan struct{}) }

// do runs f. It does not wait.
func (w *workers) do(f func()) {
	select {
	case w.work <- f:
	default:
		w.all.Go(func() { w.run(f) })
	}
}

func (w *workers) run(f func()) {
	for {
		f()
		f = nil
		if w.waiting.Add(1) > keptWorkers {
			w.waiting.Add(-1)
			return
		}
		select {
		case f = <-w.work:
			w.waiting.Add(-1)
		case <-w.ended:
			return
		}
	}
}

// end ends the goroutines that wait, and waits for the others. Nobody calls do any more.
func (w *workers) end() {
	close(w.ended)
	w.all.Wait()
}

// each has do be called for each of n, by several goroutines, and answers as package store says: nil where there was no error.
func (w *workers) each(n int, do func(i int) error) (errs []error) {
	const most = 64
	if n == 1 {
		if err := do(0); err != nil {
			return []error{err}
		}
		return nil
	}
	all := make([]error, n)
	var next, failed atomic.Int64
	var done sync.WaitGroup
	for range min(n, most) {
		done.Add(1)
		w.do(func() {
			defer done.Done()
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if all[i] = do(i); all[i] != nil {
					failed.Add(1)
				}
			}
		})
	}
	done.Wait()
	if failed.Load() == 0 {
		return nil
	}
	return all
}

// gate bounds what is under way. Beyond it nothing waits: it is refused.
type gate struct {
	calls, bytes         atomic.Int64
	mostCalls, mostBytes int64 // immutable
}

func (g *gate) enter(bytes int) error {
	calls, all := g.calls.Add(1), g.bytes.Add(int64(bytes))
	if calls <= g.mostCalls && (all <= g.mostBytes || calls == 1) {
		return nil
	}
	g.leave(bytes)
	return errOverloaded
}

func (g *gate) leave(bytes int) {
	g.calls.Add(-1)
	g.bytes.Add(-int64(bytes))
}
