package proxied

import (
	"io"
	"net"
	"sync"
	"testing"
)

// path is the network between a browser and a proxy: it forwards connections, and can become a black hole.
type path struct {
	addr   string
	target string

	mu    sync.Mutex
	hole  bool              // guarded by mu: nothing is forwarded, and nothing is closed
	conns map[net.Conn]bool // guarded by mu: both ends of all; true: dead for good
	wg    sync.WaitGroup
}

// to opens a path to target.
func to(t testing.TB, target string) *path {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &path{addr: l.Addr().String(), target: target, conns: make(map[net.Conn]bool)}
	p.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.wg.Go(func() { p.forward(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		p.mu.Lock()
		for c := range p.conns {
			c.Close()
		}
		p.conns = nil
		p.mu.Unlock()
		p.wg.Wait()
	})
	return p
}

func (p *path) forward(client net.Conn) {
	proxy, err := net.Dial("tcp", p.target)
	if err != nil {
		client.Close()
		return
	}
	p.mu.Lock()
	if p.conns == nil {
		p.mu.Unlock()
		client.Close()
		proxy.Close()
		return
	}
	p.conns[client], p.conns[proxy] = p.hole, p.hole
	p.mu.Unlock()
	p.wg.Go(func() { p.copy(proxy, client) })
	p.copy(client, proxy)
}

// copy forwards until an end closes; then both are closed, unless the path is a black hole to them: that tells nobody.
func (p *path) copy(to, from net.Conn) {
	buf := make([]byte, 16<<10)
	for {
		n, err := from.Read(buf)
		if p.dead(to) {
			if err != nil {
				return
			}
			continue // dropped
		}
		if n > 0 {
			if _, werr := to.Write(buf[:n]); werr != nil {
				err = io.ErrClosedPipe
			}
		}
		if err != nil {
			to.Close()
			from.Close()
			return
		}
	}
}

func (p *path) dead(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.conns == nil || p.conns[c]
}

// swallow makes the path a black hole: all connections that there are, for good, and those that are made until it ends.
func (p *path) swallow() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hole = true
	for c := range p.conns {
		p.conns[c] = true
	}
}

// heal lets new connections through.
func (p *path) heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hole = false
}
