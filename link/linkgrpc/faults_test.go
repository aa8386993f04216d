package linkgrpc

import (
	"testing"
	"time"

	"ramen/internal/testserver/faultproxy"
	"ramen/link"
	"ramen/link/linktest"
)

// proxied is a link through a proxy that can be told to do what networks do.
func proxied(t *testing.T, gw link.Gateway) (*Link, *faultproxy.Proxy) {
	t.Helper()
	_, address := listen(t, gw, nil)
	p := faultproxy.New(t, address)
	return up(t, connect(t, nil).To("g1", p.Addr)), p
}

// TestConformanceOverASlowNetwork: all bytes come late, or slowly.
func TestConformanceOverASlowNetwork(t *testing.T) {
	for name, slow := range map[string]func(p *faultproxy.Proxy){
		"late": func(p *faultproxy.Proxy) {
			p.Delay(t, faultproxy.Requests, 3*time.Millisecond)
			p.Delay(t, faultproxy.Answers, 2*time.Millisecond)
		},
		"slow": func(p *faultproxy.Proxy) {
			p.Limit(t, faultproxy.Requests, 20_000)
			p.Limit(t, faultproxy.Answers, 20_000)
		},
	} {
		t.Run(name, func(t *testing.T) {
			linktest.Run(t, func(t *testing.T, gw link.Gateway) link.Gateway {
				l, p := proxied(t, gw)
				slow(p)
				return l
			})
		})
	}
}

// TestBreaks: a connection that is closed, one that says nothing any more, and one that says nothing any more in one direction. No end
// is told by TCP but in the first.
func TestBreaks(t *testing.T) {
	for name, cut := range map[string]func(p *faultproxy.Proxy){
		"cut": func(p *faultproxy.Proxy) { p.Cut(t) },
		"half-open": func(p *faultproxy.Proxy) {
			p.Swallow(t, faultproxy.Requests)
			p.Swallow(t, faultproxy.Answers)
		},
		"deaf gateway":  func(p *faultproxy.Proxy) { p.Swallow(t, faultproxy.Requests) },
		"deaf frontend": func(p *faultproxy.Proxy) { p.Swallow(t, faultproxy.Answers) },
	} {
		t.Run(name, func(t *testing.T) {
			linktest.RunBreakable(t, func(t *testing.T, gw link.Gateway) linktest.Breakable {
				l, p := proxied(t, gw)
				return linktest.Breakable{Gateway: l, Break: func() { cut(p) }, Heal: func() {
					p.Heal(t)
					up(t, l)
				}}
			})
		})
	}
}
