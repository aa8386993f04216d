package linktest

import (
	"context"
	"sync"

	"ramen/link"
	"ramen/protocol"
)

// FaultyLink is a link that can be severed. While it is, every call answers ErrLost; so do calls that are under way at that
// moment, which take effect all the same. Streams are lost.
type FaultyLink struct {
	gateway link.Gateway

	mu      sync.Mutex
	severed bool
	cut     chan struct{} // closed by Sever
	ends    map[*faultyEnd]bool
	calls   sync.WaitGroup
}

var _ link.Gateway = (*FaultyLink)(nil)

// Severable is a FaultyLink to gw.
func Severable(gw link.Gateway) *FaultyLink {
	return &FaultyLink{gateway: gw, cut: make(chan struct{}), ends: make(map[*faultyEnd]bool)}
}

// Sever breaks the link.
func (c *FaultyLink) Sever() {
	c.mu.Lock()
	if c.severed {
		c.mu.Unlock()
		return
	}
	c.severed = true
	close(c.cut)
	ends := c.ends
	c.ends = make(map[*faultyEnd]bool)
	c.mu.Unlock()
	for e := range ends {
		e.sever()
	}
}

// Heal makes the link whole again, once what was under way when it was severed has ended. Streams have to be opened again.
func (c *FaultyLink) Heal() {
	c.calls.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.severed {
		c.severed, c.cut = false, make(chan struct{})
	}
}

// through makes a call, unless the link is severed; it answers false where the caller must not wait for it.
func (c *FaultyLink) through(call func()) bool {
	c.mu.Lock()
	if c.severed {
		c.mu.Unlock()
		return false
	}
	cut := c.cut
	c.calls.Add(1)
	c.mu.Unlock()
	done := make(chan struct{})
	go func() {
		defer c.calls.Done()
		call()
		close(done)
	}()
	select {
	case <-done:
		return true
	case <-cut:
		return false
	}
}

type answer[T any] struct {
	value T
	err   error
}

// ask is a call with one answer.
func ask[T any](c *FaultyLink, call func() (T, error)) (T, error) {
	a := new(answer[T]) // not read while the call may still write it
	if !c.through(func() { a.value, a.err = call() }) {
		var none T
		return none, link.ErrLost
	}
	return a.value, a.err
}

// Publish implements link.Gateway.
func (c *FaultyLink) Publish(ctx context.Context, batch []link.Publish) []link.Result {
	results, err := ask(c, func() ([]link.Result, error) { return c.gateway.Publish(ctx, batch), nil })
	if err != nil {
		results = make([]link.Result, len(batch))
		for i := range results {
			results[i] = link.Result{Status: link.StatusRejected, Err: err}
		}
	}
	return results
}

// Open implements link.Gateway.
func (c *FaultyLink) Open(ctx context.Context, o link.Open, r link.Receiver) (link.Stream, link.Opened, error) {
	e := &faultyEnd{link: c, receiver: r, generation: o.Generation}
	opened, err := ask(c, func() (link.Opened, error) {
		s, opened, err := c.gateway.Open(ctx, o, e)
		if err == nil && !e.join(s) {
			s.Close(protocol.ReasonUnavailable) // severed meanwhile: nobody else will
		}
		return opened, err
	})
	if err != nil {
		return nil, link.Opened{}, err
	}
	if !e.handOver() { // severed in the same moment
		return nil, link.Opened{}, link.ErrLost
	}
	return e, opened, nil
}

// Ack implements link.Gateway.
func (c *FaultyLink) Ack(ctx context.Context, a link.Ack) error {
	_, err := ask(c, func() (struct{}, error) { return struct{}{}, c.gateway.Ack(ctx, a) })
	return err
}

// Devices implements link.Gateway.
func (c *FaultyLink) Devices(ctx context.Context, at link.Route, user protocol.UserID) ([]link.Device, error) {
	return ask(c, func() ([]link.Device, error) { return c.gateway.Devices(ctx, at, user) })
}

// Messages implements link.Gateway.
func (c *FaultyLink) Messages(ctx context.Context, at link.Route, user protocol.UserID, p link.Page) (link.MessagePage, error) {
	return ask(c, func() (link.MessagePage, error) { return c.gateway.Messages(ctx, at, user, p) })
}

// Recall implements link.Gateway.
func (c *FaultyLink) Recall(ctx context.Context, at link.Route, user protocol.UserID, id protocol.MessageID) (bool, error) {
	return ask(c, func() (bool, error) { return c.gateway.Recall(ctx, at, user, id) })
}

// Disconnect implements link.Gateway.
func (c *FaultyLink) Disconnect(ctx context.Context, at link.Route, user protocol.UserID, device protocol.DeviceID, detail string) (int, error) {
	return ask(c, func() (int, error) { return c.gateway.Disconnect(ctx, at, user, device, detail) })
}
