package origin

import (
	"net/netip"
	"strings"
)

// Policy is the configured origins. The zero one allows none.
type Policy struct {
	// Cookies has the answers to pages that may send cookies allow credentials. Without it no page may send any.
	Cookies bool

	any, loopback bool
	exact         map[string]bool // in the form of browsers
	under         []parts         // names under a name
}

// New makes the policy of a list of which Check takes every value. loopback adds the origins on localhost and loopback addresses,
// any port, and null.
func New(list []string, loopback bool) Policy {
	p := Policy{loopback: loopback, exact: map[string]bool{}}
	for _, value := range list {
		switch value {
		case anyOrigin:
			p.any = true
		case opaque, files:
			p.exact[value] = true
		default:
			o, err := parse(value)
			switch {
			case err != nil: // Check has refused it
			case o.wild:
				o.host = "." + o.host
				p.under = append(p.under, o)
			default:
				p.exact[o.String()] = true
			}
		}
	}
	return p
}

// Allows reports whether pages of origin are among those configured. None at all is no page's.
func (p *Policy) Allows(origin string) bool {
	switch {
	case origin == "":
		return false
	case p.any || p.exact[origin]:
		return true
	case origin == opaque:
		return p.loopback
	}
	return p.allowsName(origin)
}

// allowsName reports whether origin is among those that are configured by scheme and name.
func (p *Policy) allowsName(origin string) bool {
	o, ok := read(origin)
	if !ok {
		return false
	}
	if p.exact[origin] || p.loopback && loopbackHost(o.host) || p.exact[o.String()] {
		return true
	}
	for i := range p.under {
		u := &p.under[i]
		if u.scheme == o.scheme && u.port == o.port && len(o.host) > len(u.host) && strings.HasSuffix(o.host, u.host) {
			return true
		}
	}
	return false
}

// read takes an Origin header apart. Browsers send it in its one form, and others in nearly that one.
func read(origin string) (parts, bool) {
	scheme, rest, ok := strings.Cut(strings.ToLower(origin), "://")
	if !ok || strings.ContainsAny(rest, "/\\?#@ \t") {
		return parts{}, false
	}
	host, port, err := splitPort(rest)
	if err != nil || host == "" {
		return parts{}, false
	}
	if port == defaultPort(scheme) {
		port = ""
	}
	return parts{scheme: scheme, host: host, port: port}, true
}

// Own reports whether origin is the server's own, by the Host header that came with it. The scheme does not matter, since TLS may
// end in a proxy, but for its default port, which may be spelt out on either side.
func Own(origin, host string) bool {
	o, ok := read(origin)
	if !ok || host == "" {
		return false
	}
	standard := defaultPort(o.scheme)
	if o.port == "" {
		o.port = standard
	}
	h, port, err := splitPort(strings.ToLower(host))
	if err != nil {
		return false
	}
	if port == "" {
		port = standard
	}
	return h == o.host && port == o.port
}

// Local reports whether the host of a Host header or an origin is localhost or an address: nobody else can give such a name out. A
// name that is another's may be made to point at this machine (DNS rebinding), and pages on it are then of the server's own origin.
func Local(host string) bool {
	host = withoutPort(host)
	return localhost(host) || isAddress(host)
}

// withoutPort does not allocate, which net.SplitHostPort does where there is no port: each connect comes by.
func withoutPort(host string) string {
	if end := strings.IndexByte(host, ']'); end >= 0 && strings.HasPrefix(host, "[") && (end+1 == len(host) || host[end+1] == ':') {
		return host[:end+1]
	}
	if at := strings.IndexByte(host, ':'); at >= 0 && strings.IndexByte(host[at+1:], ':') < 0 {
		return host[:at]
	}
	return host // a name, or an IPv6 address without brackets
}

// localhost is a name that never leaves the machine. RFC 6761 6.3.
func localhost(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

func loopbackHost(host string) bool {
	a, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return localhost(host) || err == nil && a.Unmap().IsLoopback()
}

// LocalOrigin is Local for an origin.
func LocalOrigin(origin string) bool {
	o, ok := read(origin)
	return ok && (localhost(o.host) || isAddress(o.host))
}
