package origin

import (
	"testing"
)

// TestOwnOriginOfASocket: a page that the gateway itself serves may open a WebSocket, but in development not by a name, which
// its owner could let point here.
func TestOwnOriginOfASocket(t *testing.T) {
	for _, c := range []struct {
		development  bool
		origin, host string
		want         bool
	}{
		{false, "https://push.example.com", "push.example.com", true},
		{false, "https://evil.example.com", "push.example.com", false},
		{false, "http://localhost:3000", "push.example.com", false},
		{true, "http://evil.example.com:8080", "evil.example.com:8080", false},
		{true, "http://192.168.7.1:8080", "192.168.7.1:8080", true},
		{true, "http://[fe80::1]:8080", "[fe80::1]:8080", true},
		{true, "http://localhost:3000", "127.0.0.1:8080", true},
		{true, "null", "127.0.0.1:8080", true},
		{true, "", "127.0.0.1:8080", true},
	} {
		o := New(nil, c.development)
		if got := o.AllowsSocket(c.origin, c.host); got != c.want {
			t.Errorf("development %v, origin %q at %q: allowed %v, want %v", c.development, c.origin, c.host, got, c.want)
		}
	}
}

// TestCookieNeedsAKnownPage: SPEC 4.6.3 to 4.6.6. Package frontend tests what comes of it on each transport.
func TestCookieNeedsAKnownPage(t *testing.T) {
	const host = "push.example.com"
	for _, c := range []struct {
		list     []string
		loopback bool
		page     Page
		want     bool
	}{
		{list: []string{"*"}, page: Page{Origin: "https://app.example.com"}},
		{list: []string{"*", "https://app.example.com"}, page: Page{Origin: "https://app.example.com"}, want: true},
		{list: []string{"null", "file://"}, page: Page{Origin: "null"}},
		{list: []string{"null", "file://"}, page: Page{Origin: "file://"}},
		{loopback: true, page: Page{Origin: "null"}},
		{loopback: true, page: Page{Origin: "http://localhost:3000"}, want: true},
		{page: Page{Origin: "https://push.example.com"}, want: true},
		{page: Page{Origin: "http://push.example.com", TLS: true}},
		{page: Page{Origin: "https://push.example.com", TLS: true}, want: true},
		{page: Page{Origin: "https://push.example.com", FetchSite: "same-site"}},
		{page: Page{FetchSite: "same-origin"}, want: true},
		{page: Page{FetchSite: "Same-Origin"}},
		{page: Page{}},
	} {
		p := New(c.list, c.loopback)
		c.page.Host = host
		if p.AllowsCookie(&c.page) {
			t.Errorf("%v: a cookie of %+v counts where none is taken", c.list, c.page)
		}
		p.Cookies = true
		if got := p.AllowsCookie(&c.page); got != c.want {
			t.Errorf("%v: %+v: %v, want %v", c.list, c.page, got, c.want)
		}
	}
}
