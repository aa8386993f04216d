package httpconn

import (
	"context"
	"net"
	"sync"
	"time"
)

// Requests that a client of HTTP/2 resets as soon as it has opened them cost it nothing, and the server a head and a handler each.
// net/http closes such a connection only where the handlers are slower than the resets (CVE-2023-44487).
const (
	maxResets   = 200         // a connection and second
	resetWithin = time.Second // a request that lived for longer was a stream, and its end is no abuse
)

type resetsKey struct{}

// resets counts the requests of a connection of HTTP/2 that its client has reset soon after opening them.
type resets struct {
	conn net.Conn

	mu    sync.Mutex
	since time.Time // guarded by mu: when counting began
	n     int       // guarded by mu
}

// onServed is called when the handler of a request has returned, which began at began. It counts a reset, and closes the
// connection over the bound.
func (x *resets) onServed(ctx context.Context, began time.Time) {
	if ctx.Err() == nil {
		return
	}
	now := time.Now()
	if now.Sub(began) > resetWithin {
		return
	}
	x.mu.Lock()
	if now.Sub(x.since) > time.Second {
		x.since, x.n = now, 0
	}
	x.n++
	over := x.n > maxResets
	x.mu.Unlock()
	if over {
		_ = x.conn.Close()
	}
}
