package httpconn

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// conn is a connection of HTTP/1.1 on its way into net/http.
type conn struct {
	net.Conn
	maxHeader int
	refused   atomic.Bool          // net/http answered with an error of its own, and closes
	tls       *tls.ConnectionState // nil: in cleartext

	// Lines of input with Content-Length and Transfer-Encoding, and how many of the former handlers have seen.
	lengths, codings lineCounter
	lengthsSeen      atomic.Int64
}

// secure is a conn under TLS: net/http asks it what was negotiated.
type secure struct{ *conn }

// ConnectionState is asked by net/http.
func (c secure) ConnectionState() tls.ConnectionState { return *c.tls }

// Unwrap is the connection under net/http's, for those who take it over.
func (c *conn) Unwrap() net.Conn { return c.Conn }

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.lengths.feed(p[:n])
	c.codings.feed(p[:n])
	return n, err
}

// Write implements net.Conn.
func (c *conn) Write(p []byte) (int, error) {
	if answer := rewrite(p, c.maxHeader); answer != nil {
		c.refused.Store(true)
		if _, err := c.Conn.Write(answer); err != nil {
			return 0, err
		}
		return len(p), nil
	}
	return c.Conn.Write(p)
}

// Close implements net.Conn.
func (c *conn) Close() error {
	if c.refused.Swap(false) {
		linger(c)
	}
	return c.Conn.Close()
}

// A connection that is closed with input unread is reset, and the peer may never see its answer. RFC 9112 9.6.
const (
	lingerTime  = 250 * time.Millisecond
	lingerBytes = 256 << 10
)

// linger ends this side, and drops input for a moment.
func linger(c net.Conn) {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	_ = c.SetReadDeadline(time.Now().Add(lingerTime))
	_, _ = io.CopyN(io.Discard, c, lingerBytes)
}

// CloseWrite ends this side alone: net/http does so where the peer may still be writing.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// lineCounter counts lines that begin with a name, in any case, over the bytes of a connection. It cannot tell heads from bodies:
// it may count too many, never too few.
type lineCounter struct {
	name string // in lower case, with the line's end before it
	at   int    // how much of name has matched
	n    atomic.Int64
}

// feed counts in the bytes that come next. It is called by one reader at a time.
func (l *lineCounter) feed(b []byte) {
	for len(b) > 0 {
		if l.at == 0 {
			i := bytes.IndexByte(b, '\n')
			if i < 0 {
				return
			}
			b, l.at = b[i+1:], 1
			continue
		}
		c := b[0]
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != l.name[l.at] {
			l.at = 0 // c itself may be a line's end
			continue
		}
		b = b[1:]
		if l.at++; l.at == len(l.name) {
			l.n.Add(1)
			l.at = 0
		}
	}
}

type connKey struct{}

// withConn puts the connection into the context of its requests.
func withConn(ctx context.Context, c net.Conn) context.Context {
	switch c := c.(type) {
	case *conn:
		return context.WithValue(ctx, connKey{}, c)
	case secure:
		return context.WithValue(ctx, connKey{}, c.conn)
	case *tls.Conn:
		return context.WithValue(ctx, resetsKey{}, &resets{conn: c})
	}
	return ctx
}

// closeAmbiguous is h, and closes the connection behind a request whose framing is ambiguous. net/http removes the header that it
// ignores, so the lines are counted as they come. RFC 9112 6.1, 6.3.
func closeAmbiguous(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if x, ok := r.Context().Value(resetsKey{}).(*resets); ok {
			defer x.onServed(r.Context(), time.Now())
		}
		if c, ok := r.Context().Value(connKey{}).(*conn); ok {
			if r.Header["Content-Length"] != nil {
				c.lengthsSeen.Add(1)
			}
			both := r.TransferEncoding != nil && c.lengths.n.Load() > c.lengthsSeen.Load()
			early := !r.ProtoAtLeast(1, 1) && c.codings.n.Load() > 0 // of HTTP/1.0, which has no codings
			if both || early {
				w.Header().Set("Connection", "close")
			}
		}
		h.ServeHTTP(w, r)
	})
}
