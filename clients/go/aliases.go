package ramen

import (
	"encoding/json"
	"fmt"
	"time"

	"ramen/clients/go/wire"
	"ramen/protocol"
)

// Transport is a way to hold a stream.
type Transport = wire.Transport

// The transports. WS is WSProto by its short name.
const (
	WS      = wire.WS
	WSProto = wire.WSProto
	WSJSON  = wire.WSJSON
	GRPC    = wire.GRPC
	SSE     = wire.SSE
	Poll    = wire.Poll
)

// Priority is the lane of a message.
type Priority = protocol.Priority

// The priorities. The zero value is medium to a publisher.
const (
	High   = protocol.PriorityHigh
	Medium = protocol.PriorityMedium
	Low    = protocol.PriorityLow
)

// Hello is what the server says first on each stream. SPEC 2.2.1.
type Hello = protocol.Hello

// DeviceContext is what a device says of itself: app, os, labels, … SPEC 1.1.3.
type DeviceContext = protocol.DeviceContext

// Error is what the server refused, and what would be right.
type Error = protocol.Error

// Message is one message as a device gets it.
type Message struct {
	protocol.Message
	Redelivered bool         // a hint that this device was pushed it before. SPEC 2.6.4
	Seq         protocol.Seq // the number of the push
}

// Decode reads the JSON payload into v.
func (m *Message) Decode(v any) error {
	if m.ContentType != "" && !protocol.IsJSON(m.ContentType) {
		return fmt.Errorf("ramen: decode message %s: content type is %s, not %s", m.ID, m.ContentType, protocol.ContentTypeJSON)
	}
	if err := json.Unmarshal(m.Payload, v); err != nil {
		return fmt.Errorf("ramen: decode message %s: %w", m.ID, err)
	}
	return nil
}

// Created is when the server accepted m.
func (m *Message) Created() time.Time { return time.UnixMilli(m.CreatedMS) }

// Expires is when m has lost its worth.
func (m *Message) Expires() time.Time { return time.UnixMilli(m.ExpiresMS) }
