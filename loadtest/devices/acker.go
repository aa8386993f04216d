package devices

import (
	"context"
	"io"
	"net/http"
	"net/url"

	"ramen/protocol"
)

// sseAck is one request of SPEC 5.5.1.
type sseAck struct {
	open protocol.OpenFrame
	at   *endpoint
}

const (
	ackers     = 4
	acksQueued = 4096 // when the queue is full, a device tries again at the next sweep
)

// ackSSE queues an ack. Called with mu held.
func (s *Shard) ackSSE(d *Device) {
	o, err := d.identity()
	if err != nil {
		return
	}
	o.Cursor = string(d.cursor)
	select {
	case s.acks <- sseAck{o, s.lastEndpoint(d)}: // where its stream is
		s.acked(d)
	default:
	}
}

// ackLoop sends the acks of SSE devices. After one that failed, the next ack covers it.
func ackLoop(ctx context.Context, client *http.Client, acks <-chan sseAck) {
	for {
		select {
		case <-ctx.Done():
			return
		case a := <-acks:
			postAck(ctx, client, &a)
		}
	}
}

func postAck(ctx context.Context, client *http.Client, a *sseAck) {
	d := a.at.dialer
	q := url.Values{"device": {string(a.open.Device)}, "cursor": {a.open.Cursor}}
	if a.open.User != "" {
		q.Set("user", string(a.open.User))
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.URL+"/ramen/ack?"+q.Encode(), nil)
	if err != nil {
		return
	}
	if d.Header != nil {
		req.Header = d.Header.Clone()
	}
	if a.open.Token != "" {
		req.Header.Set("Authorization", "Bearer "+a.open.Token)
	}
	resp, err := client.Do(req)
	if err != nil {
		return
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 4<<10))
	_ = resp.Body.Close()
}
