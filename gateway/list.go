package gateway

import (
	"context"

	"ramen/gateway/mailbox"
	"ramen/link"
	"ramen/protocol"
	"ramen/store"
)

// Devices lists the user's known devices.
func (g *Gateway) Devices(ctx context.Context, at link.Route, user protocol.UserID) ([]link.Device, error) {
	b, err := g.acquire(ctx, at, user)
	if err != nil {
		return nil, err
	}
	defer g.release(b)
	known, err := b.knownDevices()
	if err != nil {
		return nil, err
	}
	list := make([]link.Device, 0, len(known))
	for _, d := range known { // one at a time: publishes to the user wait for what is held here
		if l, ok := b.describe(d); ok {
			list = append(list, l)
		}
	}
	return list, nil
}

// knownDevices is the devices, once what is over has left.
func (b *box) knownDevices() ([]*mailbox.Device, error) {
	b.sweepAll(b.g.nowMS())
	if err := b.enter(); err != nil {
		return nil, err
	}
	defer b.unlock()
	return b.Devices(), nil
}

// describe is d as a list shows it, unless it was forgotten meanwhile.
func (b *box) describe(d *mailbox.Device) (l link.Device, ok bool) {
	b.lock()
	defer b.unlock()
	if !d.Known() {
		return l, false
	}
	l = link.Device{
		ID: d.ID(), Transport: d.Transport(), Context: d.Context(), LastSeenMS: d.LastSeenMS(b.g.nowMS()),
		Pending: d.Pending(), Unacked: d.Unacked(),
	}
	if s := b.streamOf(d); s != nil {
		l.Online, l.ConnectedMS, l.RTTMS = true, d.ConnectedMS(), s.RTT()
	}
	return l, true
}

// Messages lists what waits in the user's mailbox, in the order in which it would be pushed: one page of it.
func (g *Gateway) Messages(ctx context.Context, at link.Route, user protocol.UserID, p link.Page) (link.MessagePage, error) {
	b, err := g.acquire(ctx, at, user)
	if err != nil {
		return link.MessagePage{}, err
	}
	defer g.release(b)
	if err := b.enter(); err != nil {
		return link.MessagePage{}, err
	}
	defer b.unlock()
	list, next := b.Mailbox.Messages(store.Ref(p.After), mailbox.Bounds{Messages: p.Limit, Bytes: link.PageBytes}, g.nowMS())
	return link.MessagePage{Messages: list, Next: link.Ref(next)}, nil
}

// Disconnect ends the streams of one device, or of all.
func (g *Gateway) Disconnect(ctx context.Context, at link.Route, user protocol.UserID, device protocol.DeviceID, detail string) (int, error) {
	b, err := g.acquire(ctx, at, user)
	if err != nil {
		return 0, err
	}
	defer g.release(b)
	if detail == "" {
		detail = "a backend ended the stream"
	}
	var ended []*stream
	if err := b.enter(); err != nil {
		return 0, err
	}
	for s := b.streams; s != nil; {
		next := s.next
		if device == "" || s.Device().ID() == device {
			s.close(protocol.ReasonDisconnected, detail)
			ended = append(ended, s)
		}
		s = next
	}
	b.unlock()
	for _, s := range ended {
		s.deliver()
	}
	return len(ended), nil
}
