package pebble

import (
	"context"
	"fmt"
	"sync"

	"ramen/store"
)

// reads runs what may wait for the disk aside, so that its caller is back at its deadline; the slots bound how many there
// are where the disk hangs.
type reads struct {
	slots chan struct{}

	mu      sync.Mutex
	closed  bool
	running sync.WaitGroup // grows with mu held and closed false only
}

// begin takes a slot.
func (r *reads) begin(ctx context.Context) error {
	select {
	case r.slots <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("%d reads are before it: %w", cap(r.slots), context.Cause(ctx))
	}
	if !r.start() {
		<-r.slots
		return store.ErrClosed
	}
	return nil
}

// tryBegin takes a slot if there is one.
func (r *reads) tryBegin() bool {
	select {
	case r.slots <- struct{}{}:
	default:
		return false
	}
	if !r.start() {
		<-r.slots
		return false
	}
	return true
}

func (r *reads) start() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return false
	}
	r.running.Add(1)
	return true
}

func (r *reads) end() {
	<-r.slots
	r.running.Done()
}

// close refuses new reads; done is closed when the last has ended. It is nil for all but the first call.
func (r *reads) close() (done chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil
	}
	r.closed = true
	done = make(chan struct{})
	go func() { // ends with the last read
		r.running.Wait()
		close(done)
	}()
	return done
}

// offload is read's answer, or ctx's error at its end, while read goes on for nobody.
func offload[T any](ctx context.Context, r *reads, read func() (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	var none T
	if err := r.begin(ctx); err != nil {
		return none, err
	}
	out := make(chan answer, 1)
	go func() {
		defer r.end()
		v, err := read()
		out <- answer{v, err}
	}()
	select {
	case a := <-out:
		return a.value, a.err
	case <-ctx.Done():
		return none, fmt.Errorf("the read goes on: %w", context.Cause(ctx))
	}
}
