package dev

import (
	"context"
	"io"
	"net/http"
	"net/url"

	"ramen/clients/go/wire"
	"ramen/protocol"
)

// sseAck is one request of PROTOCOL 5.
type sseAck struct {
	open   protocol.OpenFrame
	cursor string
}

const (
	ackers     = 4
	acksQueued = 4096 // beyond it, devices try again at the next sweep
)

// ackSSE queues an ack. Called with mu held.
func (s *Shard) ackSSE(d *Device) {
	resumes := d.resumes
	o, err := d.open() // who it is
	d.resumes = resumes
	if err != nil {
		return
	}
	select {
	case s.acks <- sseAck{o, string(d.cursor)}:
		s.acked(d)
	default:
	}
}

// ackLoop sends the acks of SSE devices. One that fails is made good by the next.
func ackLoop(ctx context.Context, d *wire.Dialer, client *http.Client, acks <-chan sseAck) {
	for {
		select {
		case <-ctx.Done():
			return
		case a := <-acks:
			a.open.Cursor = a.cursor
			postAck(ctx, d, client, &a)
		}
	}
}

func postAck(ctx context.Context, d *wire.Dialer, client *http.Client, a *sseAck) {
	q := url.Values{"device": {string(a.open.Device)}, "cursor": {a.cursor}}
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
