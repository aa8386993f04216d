package frontend

import (
	"sync"

	"ramen/frontend/sock"
)

// knock is a connection with the whole head of its first request.
type knock struct {
	c    sock.Arrival
	head string // and what came behind it
	end  int    // of the head
}

// openers are the goroutines in which streams are opened: an open may wait for the owner and its store, which the one that
// accepts must not. Those that are done wait for the next, since a new goroutine would grow its stack by copying it, again and
// again: an eighth of what a connect costs.
type openers struct {
	open func(k *knock)

	wg   sync.WaitGroup
	mu   sync.Mutex
	over bool
	idle []chan knock // the one that was busy last is the last: its stack is still in the cache
}

// idleOpeners is how many goroutines may wait, with some KiB of stack each.
const idleOpeners = 64

// give has k opened. It does not wait.
func (o *openers) give(k knock) {
	o.mu.Lock()
	if n := len(o.idle); n > 0 {
		next := o.idle[n-1]
		o.idle = o.idle[:n-1]
		o.mu.Unlock()
		next <- k // there is room for one
		return
	}
	o.wg.Add(1)
	o.mu.Unlock()
	go o.run(k)
}

// run opens k and what else it is given.
func (o *openers) run(k knock) {
	defer o.wg.Done()
	next := make(chan knock, 1)
	for more := true; more; k, more = <-next {
		o.open(&k)
		k = knock{} // or it would be kept while this waits
		if !o.rest(next) {
			return
		}
	}
}

// rest puts next where give finds it; false where nobody is to wait.
func (o *openers) rest(next chan knock) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.over || len(o.idle) >= idleOpeners {
		return false
	}
	o.idle = append(o.idle, next)
	return true
}

// close ends those that wait, and the others when they are done.
func (o *openers) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.over = true
	for _, next := range o.idle {
		close(next)
	}
	o.idle = nil
}
