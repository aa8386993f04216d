package devices

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"ramen/clients/go/wire"
)

// endpoint is one of the frontends that devices connect to. Immutable.
type endpoint struct {
	dialer *wire.Dialer
	host   string // host:port of the HTTP port
	path   string // prefix of the paths, where a proxy has one
	addr   target
	light  bool // light streams can connect to it
}

// endpoints pairs the entries of URL and GRPC; the shorter list is repeated.
func (c *Config) endpoints() ([]*endpoint, error) {
	header := http.Header{}
	for _, h := range c.Header {
		name, value, _ := strings.Cut(h, ":")
		header.Add(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	urls, grpcs := strings.Split(c.URL, ","), strings.Split(c.GRPC, ",")
	list := make([]*endpoint, max(len(urls), len(grpcs)))
	for i := range list {
		p := &endpoint{dialer: &wire.Dialer{
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
			if p.addr, p.light, err = resolve(p.host); err != nil {
				return nil, fmt.Errorf("devices: find the devices' port: %w", err)
			}
		}
		list[i] = p
	}
	return list, nil
}

// hostOf splits a URL into host:port and path.
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

// nextEndpoint is where d opens its next stream: the frontends in turn, as behind a load balancer, so that every return is resumed over
// another frontend. Called with mu held.
func (s *Shard) nextEndpoint(d *Device) *endpoint {
	d.turn++
	return s.lastEndpoint(d)
}

// lastEndpoint is where d opened its last stream.
func (s *Shard) lastEndpoint(d *Device) *endpoint {
	return s.endpoints[turnOf(int(d.User)+int(d.Num), int(d.turn), len(s.endpoints))]
}

// turnOf is which of n endpoints is a device's in a turn, from 1 on. Devices that have one in common go on to different ones, so that those
// of a frontend that ends are spread over all others.
func turnOf(device, turn, n int) int {
	if n == 1 {
		return 0
	}
	step := 1 + device/n%(n-1)
	return (device + turn + (turn-1)*(step-1) + (turn-1)/n) % n // the last: where step and n have a divisor in common
}
