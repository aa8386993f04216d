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
