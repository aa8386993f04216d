package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"sync"
	"time"

	"ramen/protocol"
)

// ackTimeout bounds one POST /ramen/ack.
const ackTimeout = 10 * time.Second

// sseBuffer is what is read at once, in bytes.
const sseBuffer = 4 << 10

type sseConn struct {
	// immutable
	client *http.Client
	header func(token string) http.Header
	ack    url.URL // without cursor
	body   io.ReadCloser
	cancel context.CancelFunc
	alive  func()

	// owned by Next
	decoder protocol.SSEDecoder
	buf     [sseBuffer]byte
	frames  []protocol.ServerFrame // decoded, not yet handed out
	greeted bool
	retry   time.Duration // a refusal's retry: line

	mu    sync.Mutex
	token string // guarded by mu
}

func (d *Dialer) dialSSE(ctx context.Context, o *protocol.OpenFrame, alive func()) (Conn, error) {
	u, err := d.endpoint("/ramen/receive")
	if err != nil {
		return nil, err
	}
	ack, _ := d.endpoint("/ramen/ack")
	u.RawQuery = Query(o).Encode()
	ack.RawQuery = Query(&protocol.OpenFrame{User: o.User, Device: o.Device}).Encode()

	// The request's context lives as long as the stream; ctx ends it only while it is being opened.
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, cancel)
	req, err := http.NewRequestWithContext(life, http.MethodGet, u.String(), nil)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("wire: make sse request: %w", err)
	}
	req.Header = d.header(o.Token)
	req.Header.Set("Accept", "text/event-stream")
	client := &http.Client{Transport: d.newTransport()}
	resp, err := client.Do(req)
	if err == nil {
		err = checkSSE(resp)
	}
	if err == nil && !stop() {
		resp.Body.Close()
		err = context.Cause(ctx)
	}
	if err != nil {
		cancel()
		client.CloseIdleConnections()
		return nil, cut(err)
	}
	return &sseConn{client: client, header: d.header, ack: *ack, body: resp.Body, cancel: cancel, alive: alive, token: o.Token}, nil
}

// checkSSE tells a stream from whatever else may answer, a login page of a network included.
func checkSSE(resp *http.Response) error {
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		return ReadError(resp)
	}
	if t, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); t != "text/event-stream" {
		resp.Body.Close()
		return fmt.Errorf("answer is %q, not text/event-stream", resp.Header.Get("Content-Type"))
	}
	return nil
}

func (c *sseConn) Next(f *protocol.ServerFrame) error {
	for len(c.frames) == 0 {
		n, err := c.body.Read(c.buf[:])
		if n > 0 {
			c.alive()
			if err := c.decoder.Feed(c.buf[:n], c.event); err != nil {
				return cut(err)
			}
			continue
		}
		if err != nil {
			return cut(err)
		}
	}
	*f = c.frames[0]
	c.frames[0] = protocol.ServerFrame{}
	c.frames = c.frames[1:]
	if f.Kind == protocol.ServerGoAway && c.retry > 0 {
		return c.refused(f)
	}
	return nil
}

func (c *sseConn) event(ev protocol.SSEEvent) error {
	var f protocol.ServerFrame
	if err := protocol.DecodeSSEEvent(ev, &f); err != nil {
		return err
	}
	switch {
	case f.Kind == protocol.ServerHello:
		c.greeted = true
	case f.Kind == protocol.ServerGoAway && !c.greeted:
		// Of a refusal retry: is when to come back (SPEC 5.4.1). Elsewhere it is for EventSource, which has no other backoff;
		// this client has that of SPEC 2.13.1.
		c.retry = min(time.Duration(ev.RetryMS)*time.Millisecond, maxRetryAfter)
	}
	if f.Kind != protocol.ServerNone {
		c.frames = append(c.frames, f)
	}
	return nil
}

func (c *sseConn) Ack(ctx context.Context, _ protocol.Seq, cursor string) error {
	ctx, cancel := context.WithTimeout(ctx, ackTimeout)
	defer cancel()
	u := c.ack
	q := u.Query()
	q.Set("cursor", cursor)
	u.RawQuery = q.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), nil)
	if err != nil {
		return fmt.Errorf("wire: make ack request: %w", err)
	}
	c.mu.Lock()
	req.Header = c.header(c.token)
	c.mu.Unlock()
	resp, err := c.client.Do(req)
	if err != nil {
		return cut(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return ReadError(resp)
	}
	_, _ = io.CopyN(io.Discard, resp.Body, maxErrorBody) // so that the connection serves the next ack
	return nil
}

func (c *sseConn) Echo(int64) error { return nil }

func (c *sseConn) Refresh(token string, _ *protocol.DeviceContext) error {
	c.mu.Lock()
	c.token = token
	c.mu.Unlock()
	return ErrOneWay
}

func (c *sseConn) Close() error {
	c.cancel()
	err := c.body.Close()
	c.client.CloseIdleConnections()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// refused is a stream that ends at once with a goaway, and the retry: that says when to come back. SPEC 5.4.1.
func (c *sseConn) refused(f *protocol.ServerFrame) error {
	return &EndError{Reason: f.GoAway.Reason, Detail: f.GoAway.Detail, RetryAfter: c.retry}
}
