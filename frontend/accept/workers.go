package accept

import (
	"sync"

	"ramen/frontend/sock"
)

// rawRequest is a bare connection with the whole head of its first request.
type rawRequest struct {
	conn sock.RawConn
	head string // and what came behind it
	end  int    // of the head
}

// openWorkers are the goroutines that open streams: an open may wait for the owner and its store, which the goroutine that accepts
// must not. A worker that is done waits for the next request, since a new goroutine would grow its stack by copying it, again
// and again: an eighth of what a connect costs.
type openWorkers struct {
	open func(r *rawRequest)

	wg     sync.WaitGroup
	mu     sync.Mutex
	closed bool
	idle   []chan rawRequest // the last one was busy last: its stack is still in the cache
}

// maxIdleWorkers is how many workers may wait, with some KiB of stack each.
const maxIdleWorkers = 64

// submit has r opened by an idle worker, or by a new one. It does not wait.
func (w *openWorkers) submit(r rawRequest) {
	w.mu.Lock()
	if n := len(w.idle); n > 0 {
		next := w.idle[n-1]
		w.idle = w.idle[:n-1]
		w.mu.Unlock()
		next <- r // there is room for one
		return
	}
	w.wg.Add(1)
	w.mu.Unlock()
	go w.run(r)
}

// run opens r and what else is submitted to it.
func (w *openWorkers) run(r rawRequest) {
	defer w.wg.Done()
	next := make(chan rawRequest, 1)
	for more := true; more; r, more = <-next {
		w.open(&r)
		r = rawRequest{} // or it would be kept while this waits
		if !w.wait(next) {
			return
		}
	}
}

// wait puts next where submit finds it; false where the worker is to end.
func (w *openWorkers) wait(next chan rawRequest) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || len(w.idle) >= maxIdleWorkers {
		return false
	}
	w.idle = append(w.idle, next)
	return true
}

// close ends the idle workers, and the others when they are done.
func (w *openWorkers) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	for _, next := range w.idle {
		close(next)
	}
	w.idle = nil
}
