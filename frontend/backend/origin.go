package backend

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"ramen/protocol"
)

// checkOrigin refuses what a page of another origin sent, so that none can publish through an operator's browser.
// PROTOCOL 3. What bears no Origin comes from no page, or reads from its own.
func (s *Server) checkOrigin(r *http.Request) *protocol.Error {
	origins := r.Header["Origin"]
	if len(origins) == 0 {
		return nil
	}
	u, err := url.Parse(origins[0])
	if err != nil || len(origins) > 1 || u.Host == "" || !sameHost(u, r.Host) {
		return protocol.Errorf(protocol.CodePermissionDenied, "the Origin %q is not this server's own: pages of other origins are not served on this port; backends send no Origin", clip(origins[0]))
	}
	// With authentication off, a key is no second line: a page can make its own name resolve to this address (DNS
	// rebinding), and is then of the "same" origin. A name that nobody else can give out it cannot have.
	if s.keys == nil && !local(u.Hostname()) {
		return protocol.Errorf(protocol.CodePermissionDenied, "the Origin %q is a name, and authentication is off: pages are then served only from localhost or an IP address", clip(origins[0]))
	}
	return nil
}

// sameHost compares an origin's host and port to the Host header's. A scheme is no part of it: TLS may end in a proxy.
func sameHost(origin *url.URL, host string) bool {
	if strings.EqualFold(origin.Host, host) {
		return true
	}
	// A port that is the scheme's own may be spelt out on either side.
	standard := map[string]string{"http": "80", "https": "443"}[origin.Scheme]
	return standard != "" && strings.EqualFold(withPort(origin.Host, standard), withPort(host, standard))
}

func withPort(host, port string) string {
	if _, _, err := net.SplitHostPort(host); err == nil {
		return host
	}
	return net.JoinHostPort(strings.Trim(host, "[]"), port)
}

func local(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") { // RFC 6761 6.3
		return true
	}
	_, err := netip.ParseAddr(host)
	return err == nil
}
