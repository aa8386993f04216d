package sock

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// Loop serves connections until Close.
type Loop struct {
	// immutable
	cfg Config
	set *epollSet // nil: none on this system, or not wanted

	wg sync.WaitGroup // a count a connection in conns

	mu     sync.Mutex
	closed bool
	conns  map[*netConn]struct{} // those with goroutines
}

// NewLoop starts the pollers.
func NewLoop(cfg Config) (*Loop, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	l := &Loop{cfg: cfg, conns: map[*netConn]struct{}{}}
	if !cfg.Portable {
		set, err := newEpollSet(cfg)
		if err != nil {
			return nil, err
		}
		l.set = set
	}
	return l, nil
}

// Add takes over c and gives it cfg's TCP options. What the caller has read of c beyond its own, it hands to h.Read before. The
// caller does not use c any more, unless Add fails: then c is as it was.
func (l *Loop) Add(c net.Conn, h Handler) (Conn, error) {
	if tcp, ok := c.(*net.TCPConn); ok && l.set != nil {
		return l.set.add(tcp, h)
	}
	if err := prepareAny(c, l.cfg); err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, fmt.Errorf("frontend/sock: add connection of %v: %w", c.RemoteAddr(), net.ErrClosed)
	}
	n := newNetConn(c, h, l)
	l.conns[n] = struct{}{}
	l.wg.Add(1)
	go n.read()
	return n, nil
}

// prepareAny sets the options where there is a TCP connection under c.
func prepareAny(c net.Conn, cfg Config) error {
	if tcp := tcpUnder(c); tcp != nil {
		return prepare(tcp, cfg)
	}
	return nil
}

// tcpUnder is the TCP connection under c's layers, such as TLS; nil: there is none.
func tcpUnder(c net.Conn) *net.TCPConn {
	for {
		switch u := c.(type) {
		case *net.TCPConn:
			return u
		case interface{ NetConn() net.Conn }:
			c = u.NetConn()
		default:
			return nil
		}
	}
}

// forget takes n off the list: it has made its last call.
func (l *Loop) forget(n *netConn) {
	l.mu.Lock()
	delete(l.conns, n)
	l.mu.Unlock()
	l.wg.Done()
}

// Pollers is how many pollers there are; 0: every connection has a goroutine.
func (l *Loop) Pollers() int {
	if l.set == nil {
		return 0
	}
	return l.set.size()
}

// Len is how many connections there are: those whose Closed has not been called.
func (l *Loop) Len() int {
	l.mu.Lock()
	n := len(l.conns)
	l.mu.Unlock()
	if l.set != nil {
		n += l.set.len()
	}
	return n
}

// Check recounts what the Loop believes of its connections.
func (l *Loop) Check() error {
	l.mu.Lock()
	conns := make([]*netConn, 0, len(l.conns))
	for n := range l.conns {
		conns = append(conns, n)
	}
	l.mu.Unlock()
	var errs []error
	for _, n := range conns {
		errs = append(errs, n.check())
	}
	if l.set != nil {
		errs = append(errs, l.set.check())
	}
	return errors.Join(errs...)
}

// Close closes every connection, waits until the last Closed has returned, and stops the pollers. It must not be called from
// a callback.
func (l *Loop) Close() error {
	l.mu.Lock()
	l.closed = true
	conns := make([]*netConn, 0, len(l.conns))
	for n := range l.conns {
		conns = append(conns, n)
	}
	l.mu.Unlock()
	for _, n := range conns {
		n.Close()
	}
	var err error
	if l.set != nil {
		err = l.set.close()
	}
	l.wg.Wait()
	return err
}

// flushLook is how often Flush looks.
const flushLook = 2 * time.Millisecond

// Flush waits until no connection that was shut down has something left to send, or ctx is over. It is for before Close.
func (l *Loop) Flush(ctx context.Context) {
	look := time.NewTicker(flushLook)
	defer look.Stop()
	for l.unsent() {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
	}
}

func (l *Loop) unsent() bool {
	if l.set != nil && l.set.unsent() {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for n := range l.conns {
		if n.unsent() {
			return true
		}
	}
	return false
}
