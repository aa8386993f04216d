package ramen

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"ramen/protocol"
)

// The lists of SPEC 8.2 in JSON.

type jsonDevice struct {
	Device      string      `json:"device"`
	Online      bool        `json:"online"`
	Transport   string      `json:"transport"`
	Context     jsonContext `json:"context"`
	ConnectedMS int64       `json:"connected_ms"`
	LastSeenMS  int64       `json:"last_seen_ms"`
	Pending     int         `json:"pending"`
	Unacked     int         `json:"unacked"`
	RTTMS       int64       `json:"rtt_ms"`
}

type jsonContext struct {
	App        string            `json:"app"`
	AppVersion string            `json:"app_version"`
	OS         string            `json:"os"`
	OSVersion  string            `json:"os_version"`
	Model      string            `json:"model"`
	Locale     string            `json:"locale"`
	Labels     map[string]string `json:"labels"`
}

type jsonMessage struct {
	ID          string            `json:"id"`
	Type        string            `json:"type"`
	Priority    string            `json:"priority"`
	Payload     json.RawMessage   `json:"payload"`
	PayloadB64  []byte            `json:"payload_b64"`
	ContentType string            `json:"content_type"`
	CreatedMS   int64             `json:"created_ms"`
	ExpiresMS   int64             `json:"expires_ms"`
	CollapseKey string            `json:"collapse_key"`
	Headers     map[string]string `json:"headers"`
}

func (b *httpBackend) devices(ctx context.Context, user string) ([]KnownDevice, error) {
	var answer struct {
		Devices []jsonDevice `json:"devices"`
	}
	if err := b.call(ctx, http.MethodGet, userPath(user, "devices"), nil, &answer); err != nil {
		return nil, err
	}
	known := make([]KnownDevice, len(answer.Devices))
	for i, d := range answer.Devices {
		known[i] = KnownDevice{
			Device: d.Device, Online: d.Online, Transport: d.Transport, Context: DeviceContext(d.Context),
			Connected: unixMilli(d.ConnectedMS), LastSeen: unixMilli(d.LastSeenMS),
			Pending: d.Pending, Unacked: d.Unacked, RTT: time.Duration(d.RTTMS) * time.Millisecond,
		}
	}
	return known, nil
}

func (b *httpBackend) messages(ctx context.Context, user string) ([]Message, error) {
	var answer struct {
		Messages []jsonMessage `json:"messages"`
	}
	if err := b.call(ctx, http.MethodGet, userPath(user, "messages"), nil, &answer); err != nil {
		return nil, err
	}
	list := make([]Message, len(answer.Messages))
	for i, m := range answer.Messages {
		priority, _ := protocol.ParsePriority(m.Priority)
		list[i].Message = protocol.Message{
			ID: protocol.MessageID(m.ID), Type: m.Type, Priority: priority, Payload: m.Payload, ContentType: m.ContentType,
			CreatedMS: m.CreatedMS, ExpiresMS: m.ExpiresMS, CollapseKey: m.CollapseKey, Headers: m.Headers,
		}
		if len(m.PayloadB64) > 0 {
			list[i].Payload = m.PayloadB64
		}
		if list[i].ContentType == "" {
			list[i].ContentType = protocol.ContentTypeJSON
		}
	}
	return list, nil
}
