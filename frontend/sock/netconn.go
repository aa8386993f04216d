package sock

import (
	"errors"
	"io"
	"net"
)

// inputBuffer is what an idle netConn holds for input, in bytes. Small, since TLS buffers its records anyway.
const inputBuffer = 1 << 10

// netConn is a connection with a goroutine that reads: TLS, and where there is no epoll.
type netConn struct {
	outbox
	c net.Conn // immutable

	finSent bool // guarded by mu: this side has ended
}

// newNetConn makes the connection; the caller starts read.
func newNetConn(c net.Conn, h Handler, l *Loop) *netConn {
	n := &netConn{c: c}
	n.cfg, n.h, n.remote = l.cfg, h, c.RemoteAddr()
	n.write = func(b []byte) error {
		_, err := c.Write(b)
		return err
	}
	n.finish = n.closeWrite
	n.abort = n.closeNow
	n.gone = func() { l.forget(n) }
	n.active = 1 // read
	return n
}

// read hands input over until the peer's end.
func (n *netConn) read() {
	defer n.leave()
	buf := make([]byte, inputBuffer)
	for {
		got, err := n.c.Read(buf)
		if got > 0 && n.isOpen() {
			n.callback.Lock()
			n.h.Read(buf[:got])
			n.callback.Unlock()
		}
		if err != nil {
			n.inputEnded(err)
			return
		}
	}
}

func (n *netConn) isOpen() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.state == open
}

// inputEnded ends the connection, or after a Shutdown lets it send the rest first.
func (n *netConn) inputEnded(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	// Many devices end TLS by a bare FIN, which is an unexpected EOF there.
	ended := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
	switch {
	case ended && (n.state == ending || n.state == finished && !n.finSent):
		n.eof = true
	case ended:
		n.failLocked(nil)
	default:
		n.failLocked(err)
	}
}

// closeWrite ends this side, in TLS and under it.
func (n *netConn) closeWrite() {
	half, ok := n.c.(interface{ CloseWrite() error })
	if ok {
		_ = half.CloseWrite()
	}
	if _, is := n.c.(interface{ NetConn() net.Conn }); is {
		if tcp := tcpUnder(n.c); tcp != nil {
			_ = tcp.CloseWrite()
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.finSent = true
	if n.eof || !ok { // a connection without halves ends as a whole
		n.failLocked(nil)
	}
}

// closeNow closes what is under TLS: TLS's own Close would wait for its goodbye to be taken.
func (n *netConn) closeNow() {
	if under, ok := n.c.(interface{ NetConn() net.Conn }); ok {
		_ = under.NetConn().Close()
		return
	}
	_ = n.c.Close()
}

// unsent reports whether n was shut down, and its end has not gone out.
func (n *netConn) unsent() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.state == ending || n.state == finished && !n.finSent
}
