package wire

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"ramen/protocol"
)

const (
	maxPollAnswer = 16 << 20         // bytes: a window of 4 MiB (SPEC 2.10) in base64, headers, and room
	pollGrace     = 10 * time.Second // beyond the wait, until the head of the answer must have come; then until its next bytes
	pollPause     = time.Second      // between two polls, of which the first brought nothing
)

// pollConn makes a stream of one poll after another. The next one waits until the pushes of the last answer are acked,
// since its cursor is their ack. SPEC 2.9.3.
type pollConn struct {
	// immutable
	client *http.Client
	header func(token string) http.Header
	url    url.URL
	query  url.Values // without cursor and wait
	wait   time.Duration
	life   context.Context
	cancel context.CancelFunc
	alive  func()

	// owned by Next
	frames  []protocol.ServerFrame
	greeted bool
	due     string // the cursor that the next poll must have; empty: whatever is there

	mu     sync.Mutex
	token  string                  // guarded by mu
	fresh  *protocol.DeviceContext // guarded by mu: for the next poll; nil: unchanged
	cursor string                  // guarded by mu: what the next poll begins with
	acked  chan struct{}           // one token: the cursor has moved
}

func (d *Dialer) dialPoll(o *protocol.OpenFrame, alive func()) (Conn, error) {
	u, err := d.endpoint("/ramen/poll")
	if err != nil {
		return nil, err
	}
	c := &pollConn{
		client: &http.Client{Transport: d.newTransport()},
		header: d.header,
		url:    *u,
		query:  Query(o),
		wait:   d.wait(),
		alive:  alive,
		token:  o.Token,
		cursor: o.Cursor,
		acked:  make(chan struct{}, 1),
	}
	c.query.Del("cursor")
	c.life, c.cancel = context.WithCancel(context.Background())
	return c, nil
}

func (c *pollConn) Next(f *protocol.ServerFrame) error {
	for len(c.frames) == 0 {
		if err := c.awaitAck(); err != nil {
			return cut(err)
		}
		begin := time.Now()
		answer, err := c.poll()
		if err != nil {
			return cut(err)
		}
		c.alive()
		c.take(answer)
		if len(c.frames) == 0 {
			c.pace(time.Since(begin))
		}
	}
	*f = c.frames[0]
	c.frames[0] = protocol.ServerFrame{}
	c.frames = c.frames[1:]
	return nil
}

// pace keeps a server that answers with nothing, and does not wait, from being asked without a pause.
func (c *pollConn) pace(took time.Duration) {
	t := time.NewTimer(pollPause - took)
	defer t.Stop()
	select {
	case <-t.C:
	case <-c.life.Done():
	}
}

func (c *pollConn) awaitAck() error {
	for {
		c.mu.Lock()
		there := c.due == "" || c.cursor == c.due
		c.mu.Unlock()
		if there {
			return nil
		}
		select {
		case <-c.acked:
		case <-c.life.Done():
			return context.Canceled
		}
	}
}

// poll makes one request. The first one does not wait, so that the device knows at once whether it is connected.
func (c *pollConn) poll() (*protocol.PollAnswer, error) {
	wait := c.wait
	if !c.greeted {
		wait = 0
	}
	c.query.Set("wait", strconv.Itoa(int(wait/time.Second)))
	c.mu.Lock()
	token := c.token
	if c.fresh != nil {
		c.renew()
	}
	c.query.Del("cursor")
	if c.cursor != "" {
		c.query.Set("cursor", c.cursor)
		c.query.Del("seq") // SPEC 2.4.9: the cursor counts from here on
		c.query.Del("stream")
	}
	c.mu.Unlock()
	ctx, cancel := context.WithCancel(c.life)
	defer cancel()
	limit := time.AfterFunc(wait+pollGrace, cancel) // until the head has come, and then until the next byte
	defer limit.Stop()
	u := c.url
	u.RawQuery = c.query.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("wire: make poll request: %w", err)
	}
	req.Header = c.header(token)
	resp, err := c.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, ReadError(resp)
	}
	body, err := io.ReadAll(io.LimitReader(&aliveReader{resp.Body, func() {
		limit.Reset(pollGrace)
		c.alive()
	}}, maxPollAnswer+1))
	if err != nil {
		return nil, err
	}
	if len(body) > maxPollAnswer {
		return nil, fmt.Errorf("answer to a poll is over %d bytes", maxPollAnswer)
	}
	return protocol.DecodePollAnswer(body)
}

// aliveReader tells of every read that brings something. An answer over a slow path takes its time, and its bytes are signs of life.
type aliveReader struct {
	io.Reader
	alive func()
}

func (r *aliveReader) Read(b []byte) (int, error) {
	n, err := r.Reader.Read(b)
	if n > 0 {
		r.alive()
	}
	return n, err
}

// renew puts the new context in the place of the old one. Called with mu held.
func (c *pollConn) renew() {
	for name := range c.query {
		switch name {
		case "user", "device", "window", "heartbeat_ms", "seq", "stream", "wait":
		default:
			c.query.Del(name)
		}
	}
	setContext(c.query, c.fresh)
	c.fresh = nil
}

// take makes frames of an answer: a hello where there is something new to say, the pushes, the goaway.
func (c *pollConn) take(a *protocol.PollAnswer) {
	if a.GoAway != nil {
		c.frames = append(c.frames, protocol.ServerFrame{Kind: protocol.ServerGoAway, GoAway: *a.GoAway})
		return
	}
	if !c.greeted || a.Expired > 0 || !a.Resumed {
		h := protocol.Hello{Resumed: a.Resumed, Stream: a.Stream, Expired: a.Expired}
		if len(a.Messages) > 0 {
			h.Seq = a.Messages[0].Seq - 1 // the answer's cursor is that of its last push
		} else {
			h.Cursor = a.Cursor
		}
		c.frames = append(c.frames, protocol.ServerFrame{Kind: protocol.ServerHello, Hello: h})
		c.greeted = true
	}
	c.due = ""
	if len(a.Messages) == 0 {
		c.mu.Lock()
		c.cursor = a.Cursor
		c.mu.Unlock()
		return
	}
	// The answer has one cursor: that of its last push.
	a.Messages[len(a.Messages)-1].Cursor = a.Cursor
	c.due = a.Cursor
	for _, p := range a.Messages {
		c.frames = append(c.frames, protocol.ServerFrame{Kind: protocol.ServerPush, Push: p})
	}
}

func (c *pollConn) Ack(_ context.Context, _ protocol.Seq, cursor string) error {
	if cursor == "" {
		return nil
	}
	c.mu.Lock()
	c.cursor = cursor
	c.mu.Unlock()
	select {
	case c.acked <- struct{}{}:
	default:
	}
	return nil
}

func (c *pollConn) Echo(int64) error { return nil }

// Refresh is for the polls to come.
func (c *pollConn) Refresh(token string, dc *protocol.DeviceContext) error {
	c.mu.Lock()
	c.token = token
	if dc != nil {
		c.fresh = dc
	}
	c.mu.Unlock()
	return nil
}

func (c *pollConn) Close() error {
	c.cancel()
	c.client.CloseIdleConnections()
	return nil
}
