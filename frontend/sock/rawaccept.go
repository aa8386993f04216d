package sock

import (
	"errors"
	"net"
	"os"
	"sync"
)

// errNoRawAccept is for a listener or a system that RawAcceptor cannot serve.
var errNoRawAccept = errors.New("frontend/sock: raw accept unavailable")

// listener is what Listen makes. Its connections are accepted as usual, or by a RawAcceptor.
type listener struct {
	*net.TCPListener

	mu     sync.Mutex
	closed bool
	dup    *os.File // the same socket again, for a RawAcceptor: net lets nobody wait on a listener. nil: there is none
}

// duplicate is the listening socket as a file of its own, which Close closes too.
func (l *listener) duplicate() (*os.File, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, net.ErrClosed
	}
	if l.dup != nil {
		return nil, errNoRawAccept // there is a RawAcceptor already
	}
	f, err := l.TCPListener.File()
	if err != nil {
		return nil, err
	}
	l.dup = f
	return f, nil
}

// isClosed reports whether Close was called.
func (l *listener) isClosed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed
}

// Close implements net.Listener.
func (l *listener) Close() error {
	l.mu.Lock()
	l.closed = true
	dup := l.dup
	l.mu.Unlock()
	if dup != nil {
		_ = dup.Close() // closed before: it has no other error, and the next line says that too
	}
	return l.TCPListener.Close()
}
