package sse

import (
	"net/http"
	"sync/atomic"
	"time"

	"ramen/frontend/admission"
	"ramen/frontend/sock"
	"ramen/frontend/stream"
	"ramen/frontend/transport"
	"ramen/protocol"
)

// serve writes to an HTTP/2 response: its handler waits here until the stream has ended, and keeps its permit until then.
func (x *deviceStream) serve(w http.ResponseWriter, r *http.Request, opened stream.Opened) {
	eventHeaders(w.Header())
	w.WriteHeader(http.StatusOK)
	h := &handlerWait{deviceStream: x, ended: make(chan struct{})}
	rc := http.NewResponseController(w)
	var writing, over atomic.Bool
	write := func(b []byte) error {
		writing.Store(true)
		defer writing.Store(false)
		if over.Load() {
			return sock.ErrClosed
		}
		if _, err := w.Write(b); err != nil {
			return err
		}
		return rc.Flush()
	}
	unblock := func() {
		over.Store(true)
		if writing.Load() {
			rc.SetWriteDeadline(time.Now()) // HTTP/2 resets the stream
		}
	}
	x.stream.Start(opened, admission.Permit{}, func(hello *protocol.Hello) (stream.WriteResult, error) {
		x.conn.Use(sock.Outbox(write, unblock, h, remoteAddr(r.RemoteAddr)))
		return x.conn.WriteHello(transport.Buffer(), hello, false), nil
	})
	select {
	case <-r.Context().Done():
		x.stream.OnGone()
	case <-h.ended:
	}
	<-h.ended // nothing writes to w any more
}

// handlerWait is an deviceStream whose handler waits for its end.
type handlerWait struct {
	*deviceStream
	ended chan struct{}
}

// Closed implements sock.Handler.
func (h *handlerWait) Closed(err error) {
	h.deviceStream.Closed(err)
	close(h.ended)
}

// remoteAddr is an address that is known as text alone.
type remoteAddr string

func (remoteAddr) Network() string  { return "tcp" }
func (a remoteAddr) String() string { return string(a) }
