package h2

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Guard bounds the connections of one port.
type Guard struct {
	// immutable
	cfg            Config
	port           Port
	known, unknown limits
	metrics        *metrics
	done           chan struct{}
	start, stop    sync.Once
	sweeping       sync.WaitGroup

	bytes atomic.Int64 // of unfinished messages

	mu sync.Mutex // before the mu of a Conn
	// guarded by mu
	closed  bool  // nobody waits in Accept any more
	first   *Conn // of the unknown connections, the oldest
	lastOne *Conn
	count   int                // of them
	left    chan struct{}      // closed when one leaves; nil while nobody waits
	partial map[*Conn]struct{} // those that may have unfinished messages

	others calls
	waits  waits
}

// New makes a Guard, whose metrics go to reg (nil: to nobody).
func New(cfg Config, port Port, reg prometheus.Registerer) (*Guard, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	g := &Guard{cfg: cfg, port: port, metrics: newMetrics(port.Name), done: make(chan struct{}), partial: map[*Conn]struct{}{}}
	g.known, g.unknown = knownLimits(&cfg, &port), unknownLimits(&cfg)
	if err := g.metrics.register(reg, g); err != nil {
		return nil, err
	}
	return g, nil
}

// Close ends the Guard's goroutine, and lets whoever waits in Accept go. Connections go on.
func (g *Guard) Close() {
	g.mu.Lock()
	g.closed = true
	g.leftLocked()
	g.mu.Unlock()
	g.stop.Do(func() { close(g.done) })
	g.sweeping.Wait()
}

// Listener is l, with connections that are followed.
func (g *Guard) Listener(l net.Listener) net.Listener {
	g.start.Do(func() {
		g.mu.Lock() // a Close meanwhile waits for run, or keeps it from starting
		defer g.mu.Unlock()
		if !g.closed {
			g.sweeping.Go(g.run)
		}
	})
	return &listener{l, g}
}

type listener struct {
	net.Listener
	guard *Guard
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return l.guard.enter(c), nil
}

// Close implements net.Listener.
func (l *listener) Close() error {
	err := l.Listener.Close()
	l.guard.mu.Lock()
	l.guard.closed = true
	l.guard.leftLocked()
	l.guard.mu.Unlock()
	return err
}

func (g *Guard) newConn(raw net.Conn) *Conn {
	c := &Conn{Conn: raw, raw: raw, guard: g}
	c.in.scan.left, c.in.head.kind = prefaceBytes, noType
	c.counts.fill(&g.unknown)
	return c
}

// enter makes c one of the unknown connections. Where there are as many as may be, the oldest makes way, and until it has had its
// time, c waits, and those behind it in the listen queue do.
func (g *Guard) enter(raw net.Conn) *Conn {
	c := g.newConn(raw)
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.count >= g.cfg.UnknownConnections && !g.closed {
		old := g.first
		if wait := g.port.Grace - time.Duration(nowMS()-old.since)*time.Millisecond; wait > 0 {
			g.waitLocked(wait)
			continue
		}
		g.removeLocked(old)
		g.mu.Unlock()
		old.end(manyUnknown)
		g.mu.Lock()
	}
	c.since, c.listed = nowMS(), true
	c.prev = g.lastOne
	if g.lastOne != nil {
		g.lastOne.next = c
	} else {
		g.first = c
	}
	g.lastOne = c
	g.count++
	return c
}

// waitLocked waits until an unknown connection leaves, at most so long.
func (g *Guard) waitLocked(most time.Duration) {
	if g.left == nil {
		g.left = make(chan struct{})
	}
	left := g.left
	g.mu.Unlock()
	timer := time.NewTimer(most)
	select {
	case <-left:
	case <-timer.C:
	}
	timer.Stop()
	g.mu.Lock()
}

func (g *Guard) leftLocked() {
	if g.left != nil {
		close(g.left)
		g.left = nil
	}
}

// removeLocked takes c from the unknown connections.
func (g *Guard) removeLocked(c *Conn) {
	if !c.listed {
		return
	}
	c.listed = false
	if c.prev != nil {
		c.prev.next = c.next
	} else {
		g.first = c.next
	}
	if c.next != nil {
		c.next.prev = c.prev
	} else {
		g.lastOne = c.prev
	}
	c.prev, c.next = nil, nil
	g.count--
	g.leftLocked()
}

// become makes c a known connection.
func (g *Guard) become(c *Conn) {
	g.mu.Lock()
	g.removeLocked(c)
	g.mu.Unlock()
	if !c.known.Swap(true) {
		c.out.raise.Store(true)
	}
}

// forget is the end of c.
func (g *Guard) forget(c *Conn) {
	g.mu.Lock()
	g.removeLocked(c)
	delete(g.partial, c)
	g.mu.Unlock()
	c.dropAll()
}

// unknownConnections is how many there are.
func (g *Guard) unknownConnections() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.count
}
