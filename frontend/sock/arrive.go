package sock

import (
	"errors"
	"net"
	"os"
	"sync"
)

// errNoArrivals is a listener or a system whose connections are accepted as usual.
var errNoArrivals = errors.New("frontend/sock: connections of this listener cannot be taken as they arrive")

// listener is what Listen makes. Its connections may be accepted as usual, or taken by Arrivals.
type listener struct {
	*net.TCPListener

	mu     sync.Mutex
	closed bool
	bare   *os.File // the same socket again, for Arrivals: net lets nobody wait on a listener. nil: nobody has asked
}

// again is the listening socket as a file of its own, which Close closes too.
func (l *listener) again() (*os.File, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, net.ErrClosed
	}
	if l.bare != nil {
		return nil, errNoArrivals // somebody takes them already
	}
	f, err := l.TCPListener.File()
	if err != nil {
		return nil, err
	}
	l.bare = f
	return f, nil
}

// over reports whether Close was called.
func (l *listener) over() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed
}

// Close implements net.Listener.
func (l *listener) Close() error {
	l.mu.Lock()
	l.closed = true
	bare := l.bare
	l.mu.Unlock()
	if bare != nil {
		_ = bare.Close() // closed before: it has no other error, and the next line says that too
	}
	return l.TCPListener.Close()
}
