package redis

import (
	"net"
	"sync"
	"testing"
)

// proxy passes connections on to a server that can be changed.
type proxy struct {
	l net.Listener

	mu     sync.Mutex
	to     string
	conns  map[net.Conn]struct{}
	held   map[net.Conn]chan struct{} // clients' connections whose bytes wait
	closed bool
	all    sync.WaitGroup
}

func startProxy(t testing.TB, to string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{l: l, to: to, conns: make(map[net.Conn]struct{}), held: make(map[net.Conn]chan struct{})}
	p.all.Go(p.accept)
	t.Cleanup(func() {
		l.Close()
		p.mu.Lock()
		p.closed = true
		p.mu.Unlock()
		p.cut()
		p.all.Wait()
	})
	return p
}

func (p *proxy) addr() string { return p.l.Addr().String() }

func (p *proxy) accept() {
	for {
		c, err := p.l.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		to := p.to
		p.mu.Unlock()
		up, err := net.Dial("tcp", to)
		if err != nil {
			c.Close()
			continue
		}
		if !p.add(c, up) {
			continue
		}
		p.all.Go(func() { p.pass(up, c) })
		p.all.Go(func() { p.pass(c, up) })
	}
}

func (p *proxy) add(both ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range both {
		if p.closed {
			c.Close()
		}
		p.conns[c] = struct{}{}
	}
	return !p.closed
}

func (p *proxy) pass(to, from net.Conn) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		p.mu.Lock()
		held := p.held[from]
		p.mu.Unlock()
		if held != nil {
			<-held
		}
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				break
			}
		}
		if err != nil {
			break
		}
	}
	to.Close()
	from.Close()
	p.mu.Lock()
	delete(p.conns, from)
	p.mu.Unlock()
}

// hold has what clients send by the connections that there are wait until release: it arrives then, also where the client has gone. New
// connections are not held.
func (p *proxy) hold(t testing.TB) (release func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	wait := make(chan struct{})
	for c := range p.conns {
		p.held[c] = wait
	}
	release = sync.OnceFunc(func() {
		p.mu.Lock()
		clear(p.held)
		p.mu.Unlock()
		close(wait)
	})
	t.Cleanup(release)
	return release
}

// cut ends all connections.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.Close()
	}
}

// turn has new connections go elsewhere, and ends all others.
func (p *proxy) turn(to string) {
	p.mu.Lock()
	p.to = to
	p.mu.Unlock()
	p.cut()
}
