package controller

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"

	"ramen/topology"
	"ramen/topology/registry"
)

// The times of a watch over gateways.
const (
	dialTimeout  = 500 * time.Millisecond
	redialPause  = time.Second           // behind a connection that ended, and did not mean that the process has gone
	confirmPause = 50 * time.Millisecond // until a refusal is asked for once more
)

// watchman holds a connection to each gateway's port, by which an elected controller finds out at once that a process has gone: the
// kernel of its machine ends the connection, and refuses another. Then it ends the gateway's registration, which would end by itself
// within 3 s.
//
// That is safe because the other end has ended a connection that stood, and a refusal says that no process listens there. A gateway listens
// until it owns nothing any more; one that is stopped or cut off does not end a connection; and it listens itself, with no proxy between
// (cluster.advertise). An address at which nobody was ever reached from here says nothing: it may be a loopback address of another machine, or
// behind a firewall that refuses. Another process that listens at the address by now does not refuse. Then the registration ends by its time.
type watchman struct {
	ctx     context.Context
	end     func(registry.Gateway) // ends the registration of who has gone
	dial    func(ctx context.Context, address string) (net.Conn, error)
	mu      sync.Mutex
	watched map[topology.MemberID]context.CancelFunc
	all     sync.WaitGroup
}

func newWatchman(ctx context.Context, end func(registry.Gateway)) *watchman {
	d := net.Dialer{Timeout: dialTimeout}
	return &watchman{ctx: ctx, end: end, watched: make(map[topology.MemberID]context.CancelFunc),
		dial: func(ctx context.Context, address string) (net.Conn, error) { return d.DialContext(ctx, "tcp", address) }}
}

// watch has exactly these gateways be watched.
func (w *watchman) watch(gateways map[topology.MemberID]registry.Gateway) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, stop := range w.watched {
		if _, is := gateways[id]; !is {
			stop()
			delete(w.watched, id)
		}
	}
	for id, g := range gateways {
		if w.watched[id] == nil && g.Address != "" {
			ctx, stop := context.WithCancel(w.ctx)
			w.watched[id] = stop
			w.all.Go(func() { w.guard(ctx, g) })
		}
	}
}

// close ends all. Nobody calls watch any more.
func (w *watchman) close() {
	w.watch(nil)
	w.all.Wait()
}

// guard watches one gateway until ctx ends or it has gone.
func (w *watchman) guard(ctx context.Context, g registry.Gateway) {
	ended := false // by the other end: the last connection
	for ctx.Err() == nil {
		if c, err := w.dial(ctx, g.Address); err == nil {
			ended = awaitEnd(ctx, c)
		}
		if ended && ctx.Err() == nil && w.refuses(ctx, g.Address) {
			w.end(g)
			return
		}
		pause(ctx, redialPause)
	}
}

// awaitEnd reads from c until it ends, or ctx, and answers whether the other end has ended it.
func awaitEnd(ctx context.Context, c net.Conn) bool {
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer func() {
		stop()
		_ = c.Close()
	}()
	var buf [64]byte
	for {
		if _, err := c.Read(buf[:]); err != nil {
			return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)
		}
	}
}

// refuses reports whether nobody listens at address: asked twice.
func (w *watchman) refuses(ctx context.Context, address string) bool {
	for range 2 {
		c, err := w.dial(ctx, address)
		if err == nil {
			_ = c.Close()
			return false
		}
		if !errors.Is(err, syscall.ECONNREFUSED) || strings.Contains(err.Error(), "lookup") {
			return false
		}
		pause(ctx, confirmPause)
	}
	return ctx.Err() == nil
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
