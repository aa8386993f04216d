package gateway

import (
	"context"

	"ramen/link"
	"ramen/protocol"
)

// Devices lists the user's known devices.
func (g *Gateway) Devices(ctx context.Context, at link.Route, user protocol.UserID) ([]link.Device, error) {
	b, err := g.acquire(ctx, at, user)
	if err != nil {
		return nil, err
	}
	defer g.release(b)
	known := b.known()
	list := make([]link.Device, 0, len(known))
	for _, d := range known { // one at a time: publishes to the user wait for what is held here
		if l, ok := b.describe(d); ok {
			list = append(list, l)
		}
	}
	return list, nil
}

// known is the devices, once what is over has left.
func (b *mailbox) known() []*device {
	b.sweepAll(b.g.nowMS())
	b.mu.Lock()
	defer b.mu.Unlock()
	list := make([]*device, 0, b.countDevices())
	for d := b.devices; d != nil; d = d.next {
		list = append(list, d)
	}
	return list
}

// describe is d as a list shows it, unless it was forgotten meanwhile.
func (b *mailbox) describe(d *device) (l link.Device, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.deviceLocked(d.id) != d {
		return l, false
	}
	l = link.Device{ID: d.id, Transport: d.transport, Context: d.context, LastSeenMS: d.seenLocked(b.g.nowMS())}
	if b.lanes != nil {
		l.Pending, l.Unacked = d.tallyLocked().waiting(), d.unackedLiveLocked()
	}
	if s := d.stream; s != nil {
		l.Online, l.ConnectedMS, l.RTTMS = true, d.sinceMS, s.rttMS
	}
	return l, true
}

// Messages lists what waits in the user's mailbox, in the order in which it would be pushed.
func (g *Gateway) Messages(ctx context.Context, at link.Route, user protocol.UserID) ([]*protocol.Message, error) {
	b, err := g.acquire(ctx, at, user)
	if err != nil {
		return nil, err
	}
	defer g.release(b)
	b.mu.Lock()
	defer b.mu.Unlock()
	nowMS, list := g.nowMS(), make([]*protocol.Message, 0, b.count)
	for i := range protocol.Lanes {
		for _, e := range b.laneLocked(i).entries {
			if !e.dead && e.msg.ExpiresMS > nowMS {
				list = append(list, e.msg)
			}
		}
	}
	return list, nil
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
	b.mu.Lock()
	for d := b.devices; d != nil; d = d.next {
		if s := d.stream; s != nil && (device == "" || d.id == device) {
			s.endLocked(protocol.ReasonDisconnected, detail)
			ended = append(ended, s)
		}
	}
	b.mu.Unlock()
	for _, s := range ended {
		s.deliver()
	}
	return len(ended), nil
}
