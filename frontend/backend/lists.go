package backend

import (
	"strconv"

	"ramen/link"
	"ramen/protocol"
)

// What lists show, in JSON: names, order and meaning as in the protobuf of SPEC 7.

func appendDevices(b []byte, devices []link.Device) []byte {
	b = append(b, `{"devices":[`...)
	for i := range devices {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendDevice(b, &devices[i])
	}
	return append(b, "]}"...)
}

func appendDevice(b []byte, d *link.Device) []byte {
	o := protocol.OpenJSONObject(b)
	o.Text("device", string(d.ID))
	o.Bool("online", d.Online)
	o.Text("transport", d.Transport.String())
	if d.Context != nil {
		o.Name("context")
		o.B = appendContext(o.B, d.Context)
	}
	o.Int("connected_ms", d.ConnectedMS)
	o.Int("last_seen_ms", d.LastSeenMS)
	o.Int("pending", int64(d.Pending))
	o.Int("unacked", int64(d.Unacked))
	o.Int("rtt_ms", int64(d.RTTMS))
	return o.Close()
}

func appendContext(b []byte, c *protocol.DeviceContext) []byte {
	o := protocol.OpenJSONObject(b)
	o.Text("app", c.App)
	o.Text("app_version", c.AppVersion)
	o.Text("os", c.OS)
	o.Text("os_version", c.OSVersion)
	o.Text("model", c.Model)
	o.Text("locale", c.Locale)
	o.Texts("labels", c.Labels)
	return o.Close()
}

func appendMessage(b []byte, m *protocol.Message) []byte {
	o := protocol.OpenJSONObject(b)
	o.Text("id", string(m.ID))
	o.Text("type", m.Type)
	o.Text("priority", m.Priority.String())
	o.Payload(listed(m), m.ContentType)
	o.Text("content_type", m.ContentType)
	o.Int("created_ms", m.CreatedMS)
	o.Int("expires_ms", m.ExpiresMS)
	o.Text("collapse_key", m.CollapseKey)
	o.Texts("headers", m.Headers)
	return o.Close()
}

func appendStreams(b []byte, n int) []byte {
	b = append(b, `{"streams":`...)
	return append(strconv.AppendInt(b, int64(n), 10), '}')
}
