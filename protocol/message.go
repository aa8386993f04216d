package protocol

import (
	"maps"
	"strings"
)

// ContentTypeJSON is the content type of a message whose publisher named none.
const ContentTypeJSON = "application/json"

// IsJSON reports whether a content type is application/json, in any case, with or without parameters. RFC 9110 8.3.1.
func IsJSON(contentType string) bool {
	if contentType == ContentTypeJSON {
		return true
	}
	kind, _, _ := strings.Cut(contentType, ";")
	return strings.EqualFold(strings.Trim(kind, " \t"), ContentTypeJSON)
}

// Message is one thing to deliver. It is immutable once accepted, and shared by every push of it.
type Message struct {
	ID          MessageID
	Type        string
	Priority    Priority
	Payload     []byte // JSON without white space between its tokens where ContentType is application/json
	ContentType string // never empty once accepted
	CreatedMS   int64  // Unix ms, by the clock of the gateway that accepted it
	ExpiresMS   int64  // Unix ms: from then on it is not pushed
	CollapseKey string
	Headers     map[string]string
}

// Size is what m counts against quotas of payload and headers, in bytes.
func (m *Message) Size() int { return len(m.Payload) + HeadersSize(m.Headers) }

// HeadersSize is the bytes of all keys and values of h.
func HeadersSize(h map[string]string) int {
	n := 0
	for k, v := range h {
		n += len(k) + len(v)
	}
	return n
}

// Push is one message written to one device.
type Push struct {
	Seq         Seq
	Cursor      string // opaque to devices and frontends
	Redelivered bool
	Message     *Message
}

// pushOverhead is what a push takes on the wire beside its payload and headers, in bytes, roughly.
const pushOverhead = 256

// Cost is what p takes of a stream's credit, in bytes: near what it takes on the wire. Frontend and gateway both count by it.
func (p *Push) Cost() int { return p.Message.Size() + pushOverhead }

// DeviceContext is what a device says of itself. A nil *DeviceContext says nothing.
type DeviceContext struct {
	App, AppVersion, OS, OSVersion, Model, Locale string
	Labels                                        map[string]string
}

// Value is what c has under key, one of the keys of a publish's where: app, app_version, os, os_version, model, locale, label.NAME.
func (c *DeviceContext) Value(key string) string {
	if c == nil {
		return ""
	}
	switch key {
	case "app":
		return c.App
	case "app_version":
		return c.AppVersion
	case "os":
		return c.OS
	case "os_version":
		return c.OSVersion
	case "model":
		return c.Model
	case "locale":
		return c.Locale
	}
	if len(key) > len(labelPrefix) && key[:len(labelPrefix)] == labelPrefix {
		return c.Labels[key[len(labelPrefix):]]
	}
	return ""
}

const labelPrefix = "label."

// Equal reports whether both say the same; nil says nothing.
func (c *DeviceContext) Equal(o *DeviceContext) bool {
	if c == nil || o == nil {
		return c == o
	}
	return c.App == o.App && c.AppVersion == o.AppVersion && c.OS == o.OS && c.OSVersion == o.OSVersion &&
		c.Model == o.Model && c.Locale == o.Locale && maps.Equal(c.Labels, o.Labels)
}

// Matches reports whether c has every value of where.
func (c *DeviceContext) Matches(where map[string]string) bool {
	for k, v := range where {
		if c.Value(k) != v {
			return false
		}
	}
	return true
}
