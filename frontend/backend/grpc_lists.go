package backend

import (
	"ramen/link"
	"ramen/protocol"
	"ramen/protocol/ramenpb"
)

// What lists show, converted to protobuf at the edge.

func devicesProto(devices []link.Device) *ramenpb.ListDevicesResponse {
	out := &ramenpb.ListDevicesResponse{Devices: make([]*ramenpb.Device, len(devices))}
	for i := range devices {
		d := &devices[i]
		out.Devices[i] = &ramenpb.Device{
			Device: string(d.ID), Online: d.Online, Transport: d.Transport.String(), Context: contextProto(d.Context),
			ConnectedMs: d.ConnectedMS, LastSeenMs: d.LastSeenMS,
			Pending: uint32(d.Pending), Unacked: uint32(d.Unacked), RttMs: d.RTTMS,
		}
	}
	return out
}

func contextProto(c *protocol.DeviceContext) *ramenpb.DeviceContext {
	if c == nil {
		return nil
	}
	return &ramenpb.DeviceContext{App: c.App, AppVersion: c.AppVersion, Os: c.OS, OsVersion: c.OSVersion, Model: c.Model, Locale: c.Locale, Labels: c.Labels}
}

func messagesProto(messages []*protocol.Message) *ramenpb.ListMessagesResponse {
	out := &ramenpb.ListMessagesResponse{Messages: make([]*ramenpb.Message, len(messages))}
	for i, m := range messages {
		out.Messages[i] = &ramenpb.Message{
			Id: string(m.ID), Type: m.Type, Priority: ramenpb.Priority(m.Priority), Payload: listed(m), ContentType: m.ContentType,
			CreatedMs: m.CreatedMS, ExpiresMs: m.ExpiresMS, CollapseKey: m.CollapseKey, Headers: m.Headers,
		}
	}
	return out
}
