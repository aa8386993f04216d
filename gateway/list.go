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
	b.mu.Lock()
	defer b.mu.Unlock()
	nowMS, list := g.nowMS(), make([]link.Device, 0, len(b.devices))
	for _, d := range b.devices {
		waiting, unacked := d.countLocked(nowMS)
		seenMS := d.lastSeenMS
		if d.stream != nil {
			seenMS = nowMS
		}
		list = append(list, link.Device{
			ID: d.id, Online: d.stream != nil, Transport: d.transport, Context: d.context,
			ConnectedMS: d.connectedMS, LastSeenMS: seenMS, Pending: waiting, Unacked: unacked, RTTMS: d.rttMS,
		})
	}
	return list, nil
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
	for i := range b.lanes {
		for _, e := range b.lanes[i].entries {
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
	for _, d := range b.devices {
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
