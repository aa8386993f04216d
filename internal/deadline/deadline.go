// Package deadline is a context whose deadline costs nothing until somebody waits for it.
//
// context.WithTimeout starts a timer and enters itself into its parent at once, 2 µs with what the collector has of it. A call
// that is mostly answered from memory pays that for nothing. Invariants:
//
//  1. To whoever waits (Done, a context derived from it), a Context is what context.WithDeadline would be.
//  2. Until then it has no timer, and its parent does not know of it.
//
// Goroutines: none.
package deadline

import (
	"context"
	"sync"
	"time"
)

// Context is within a time, at most that of its parent. Stop is called when the call is over.
type Context struct {
	parent context.Context
	at     time.Time

	mu     sync.Mutex
	real   context.Context // nil until somebody waits
	cancel context.CancelFunc
	ended  error // what Err answered or Stop found; nil: it is not over, as far as anybody has asked
}

var _ context.Context = (*Context)(nil)

// Within is a context that ends most from now, where its parent does not before.
func Within(parent context.Context, most time.Duration) *Context {
	at := time.Now().Add(most)
	if sooner, ok := parent.Deadline(); ok && sooner.Before(at) {
		at = sooner
	}
	return &Context{parent: parent, at: at}
}

// Deadline implements context.Context.
func (c *Context) Deadline() (time.Time, bool) { return c.at, true }

// Done implements context.Context.
func (c *Context) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.real == nil {
		c.real, c.cancel = context.WithDeadline(c.parent, c.at)
		if c.ended != nil {
			c.cancel()
		}
	}
	return c.real.Done()
}

// Err implements context.Context.
func (c *Context) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = c.errLocked() // it stays so
	return c.ended
}

func (c *Context) errLocked() error {
	switch {
	case c.ended != nil:
		return c.ended
	case c.real != nil:
		return c.real.Err()
	case c.parent.Err() != nil:
		return c.parent.Err()
	case !time.Now().Before(c.at):
		return context.DeadlineExceeded
	}
	return nil
}

// Value implements context.Context. Once there is a real context it answers, and so package context finds it.
func (c *Context) Value(key any) any {
	c.mu.Lock()
	real := c.real
	c.mu.Unlock()
	if real != nil {
		return real.Value(key)
	}
	return c.parent.Value(key)
}

// Stop ends the context, and what was derived from it.
func (c *Context) Stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended = c.errLocked(); c.ended == nil {
		c.ended = context.Canceled
	}
	if c.cancel != nil {
		c.cancel()
	}
}
