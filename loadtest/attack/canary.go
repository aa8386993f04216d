package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"ramen/clients/go/wire"
	"ramen/protocol"
)

var transports = []wire.Transport{wire.WSProto, wire.WSJSON, wire.GRPC, wire.SSE, wire.Poll}

// canary is a device that holds a stream over one transport, and opens it again whenever it ends.
type canary struct {
	target    *target
	transport wire.Transport
	user      string

	mu      sync.Mutex
	heard   time.Time     // guarded by mu: the last byte
	silence time.Duration // guarded by mu: the longest since measuring began
	pushes  int           // guarded by mu
	ends    int           // guarded by mu
	last    string        // guarded by mu: the last end
}

// canaryUser is the one whose messages a canary's stream gets.
func canaryUser(t wire.Transport) string { return "canary-" + string(t) }

// sing holds streams until ctx ends.
func (c *canary) sing(ctx context.Context) {
	cursor := ""
	for ctx.Err() == nil {
		err := c.stream(ctx, &cursor)
		if ctx.Err() != nil {
			return
		}
		c.mu.Lock()
		c.ends++
		c.last = fmt.Sprint(err)
		c.mu.Unlock()
		sleep(ctx, 50*time.Millisecond)
	}
}

func (c *canary) stream(ctx context.Context, cursor *string) error {
	d := wire.Dialer{URL: "http://" + c.target.Devices, GRPC: c.target.DevicesGRPC, TLS: c.target.tls(), Wait: time.Second}
	if d.TLS != nil {
		d.URL = "https://" + c.target.Devices
	}
	o := &protocol.OpenFrame{Device: "canary", Cursor: *cursor, Token: c.target.token(c.user, "canary")}
	opening, cancel := context.WithTimeout(ctx, 5*time.Second)
	conn, err := d.Dial(opening, c.transport, o, c.alive)
	cancel()
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	for n := 0; ; {
		var f protocol.ServerFrame
		if err := conn.Next(&f); err != nil {
			return err
		}
		switch f.Kind {
		case protocol.ServerHeartbeat:
			_ = conn.Echo(f.TimeMS)
		case protocol.ServerGoAway:
			return fmt.Errorf("goaway: %v: %s", f.GoAway.Reason, f.GoAway.Detail)
		case protocol.ServerPush:
			c.count()
			if f.Push.Cursor == "" {
				continue // within a poll's answer the last push alone has one
			}
			*cursor = f.Push.Cursor
			if n++; n%20 == 0 || c.transport != wire.SSE {
				_ = conn.Ack(ctx, f.Push.Seq, f.Push.Cursor) // a broken one is seen by Next
			}
		}
	}
}

func (c *canary) count() {
	c.mu.Lock()
	c.pushes++
	c.mu.Unlock()
}

// alive is called for every byte.
func (c *canary) alive() {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if !c.heard.IsZero() {
		c.silence = max(c.silence, now.Sub(c.heard))
	}
	c.heard = now
}

// measure begins anew.
func (c *canary) measure() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.silence, c.ends = 0, 0
	if !c.heard.IsZero() {
		c.heard = time.Now()
	}
}

// measured is the longest silence, that which still lasts included, and how often the stream had ended, and why last.
func (c *canary) measured() (silence time.Duration, ends int, last string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return max(c.silence, time.Since(c.heard)), c.ends, c.last
}

// received is how many pushes came.
func (c *canary) received() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pushes
}
