package devices

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"ramen/clients/go/wire"
)

// place is one of the frontends that devices connect to. Immutable.
type place struct {
	dialer *wire.Dialer
	host   string // host:port of the HTTP port
	path   string // what a proxy puts before the endpoints
	aim    target
	light  bool // light streams go there
}

// places are those of URL and GRPC, in pairs; the shorter list begins anew.
func (c *Config) places() ([]*place, error) {
	header := http.Header{}
	for _, h := range c.Header {
		name, value, _ := strings.Cut(h, ":")
		header.Add(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	urls, grpcs := strings.Split(c.URL, ","), strings.Split(c.GRPC, ",")
	list := make([]*place, max(len(urls), len(grpcs)))
	for i := range list {
		p := &place{dialer: &wire.Dialer{
			URL:  strings.TrimSuffix(strings.TrimSpace(urls[i%len(urls)]), "/"),
			GRPC: strings.TrimSpace(grpcs[i%len(grpcs)]), TLS: c.TLS, Header: header,
		}}
		for _, m := range c.Mix {
			if err := p.dialer.Check(m.Transport); err != nil {
				return nil, fmt.Errorf("devices: check configuration: %w", err)
			}
		}
		plain := false
		if p.host, p.path, plain = hostOf(p.dialer.URL); plain {
			var err error
			if p.aim, p.light, err = aimAt(p.host); err != nil {
				return nil, fmt.Errorf("devices: find the devices' port: %w", err)
			}
		}
		list[i] = p
	}
	return list, nil
}

// hostOf is where a URL leads, as host:port and path.
func hostOf(text string) (host, path string, plain bool) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return "", "", false
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return u.Hostname() + ":" + port, strings.TrimSuffix(u.Path, "/"), u.Scheme == "http"
}

// place is where d opens its next stream: the frontends in turn, as behind a load balancer, so that every return over
// another frontend resumes there. Called with mu held.
func (s *Shard) place(d *Device) *place {
	d.turn++
	return s.placeOf(d)
}

// placeOf is where d opened its last stream.
func (s *Shard) placeOf(d *Device) *place {
	return s.places[(int(d.User)+int(d.Num)+int(d.turn))%len(s.places)]
}
