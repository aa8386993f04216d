package wire

import (
	"net/http"
	"net/url"
	"strconv"

	"ramen/protocol"
)

// Query is o as the parameters of SPEC 4.2. The token is not among them: it goes into a header, so that no proxy logs it.
func Query(o *protocol.OpenFrame) url.Values {
	q := url.Values{}
	set := setter(q)
	set("user", string(o.User))
	set("device", string(o.Device))
	set("cursor", o.Cursor)
	if o.HasSeq {
		q.Set("seq", strconv.FormatUint(uint64(o.Seq), 10))
		set("stream", o.Stream)
	}
	if o.Window != 0 {
		q.Set("window", strconv.FormatUint(uint64(o.Window), 10))
	}
	if o.HeartbeatMS != 0 {
		q.Set("heartbeat_ms", strconv.FormatUint(uint64(o.HeartbeatMS), 10))
	}
	setContext(q, o.Context)
	return q
}

// setter leaves out what is empty.
func setter(q url.Values) func(name, value string) {
	return func(name, value string) {
		if value != "" {
			q.Set(name, value)
		}
	}
}

func setContext(q url.Values, c *protocol.DeviceContext) {
	if c == nil {
		return
	}
	set := setter(q)
	set("app", c.App)
	set("app_version", c.AppVersion)
	set("os", c.OS)
	set("os_version", c.OSVersion)
	set("model", c.Model)
	set("locale", c.Locale)
	for k, v := range c.Labels {
		set("label."+k, v)
	}
}

// header is what every request bears: the dialer's own, and the token.
func (d *Dialer) header(token string) http.Header {
	h := d.Header.Clone()
	if h == nil {
		h = http.Header{}
	}
	if token != "" {
		h.Set("Authorization", "Bearer "+token)
	}
	return h
}
