package origin

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/net/idna"
)

// parts are those of an origin, as a browser writes them: lower case, names in punycode, a default port left out.
// WHATWG URL 4.7, HTML 7.1.1.
type parts struct {
	scheme, host, port string
	wild               bool // host stands for the names under it
}

func (p parts) String() string {
	s := p.scheme + "://"
	if p.wild {
		s += "*."
	}
	s += p.host
	if p.port != "" {
		s += ":" + p.port
	}
	return s
}

// The values that are no origins of names and addresses.
const (
	anyOrigin = "*"
	opaque    = "null"    // of files, and of sandboxed frames
	files     = "file://" // of files, as some embedded browsers say it
)

// Check says why a configured value is none that a browser sends, and what would be right.
func Check(value string) error {
	switch value {
	case anyOrigin, opaque, files:
		return nil
	}
	_, err := parse(value)
	return err
}

// parse reads a configured origin. It converts what has one meaning (case, default ports, names that are not ASCII), and refuses
// what no browser sends.
func parse(value string) (parts, error) {
	scheme, rest, ok := strings.Cut(value, "://")
	if !ok {
		return parts{}, fmt.Errorf("it has no scheme: write https://%s", strings.TrimPrefix(value, "//"))
	}
	p := parts{scheme: strings.ToLower(scheme)}
	switch {
	case !validScheme(p.scheme):
		return p, fmt.Errorf("%q is not a valid scheme: write https://%s", scheme, rest)
	case p.scheme == "ws" || p.scheme == "wss":
		return p, fmt.Errorf("no page has the scheme %s; use the scheme of the page that opens the WebSocket: write %s://%s", p.scheme, "http"+p.scheme[2:], rest)
	}
	if end := strings.IndexAny(rest, `/\?#`); end >= 0 {
		return p, fmt.Errorf("an origin has no slash, path or query after host and port: write %s://%s", scheme, rest[:end])
	}
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		return p, fmt.Errorf("an origin has no user: write %s://%s", scheme, rest[at+1:])
	}
	host, port, err := splitPort(rest)
	if err != nil {
		return p, err
	}
	if port != defaultPort(p.scheme) {
		p.port = port
	}
	if p.host, p.wild = strings.CutPrefix(host, "*."); strings.Contains(p.host, "*") {
		return p, fmt.Errorf("* may only replace the first label of a name: https://*.example.com; to allow every origin write just *")
	}
	p.host, err = canonicalHost(p.host)
	if err == nil && p.wild && isAddress(p.host) {
		err = errors.New("an IP address has no subdomains: remove the *")
	}
	return p, err
}

func validScheme(s string) bool {
	for i, c := range []byte(s) {
		letter := c >= 'a' && c <= 'z'
		if !letter && (i == 0 || !strings.ContainsRune("0123456789+-.", rune(c))) {
			return false
		}
	}
	return s != ""
}

func defaultPort(scheme string) string {
	switch scheme {
	case "http":
		return "80"
	case "https":
		return "443"
	case "ftp":
		return "21"
	}
	return ""
}

// splitPort takes host and port apart; the port is without leading zeros.
func splitPort(s string) (host, port string, err error) {
	colon := strings.LastIndexByte(s, ':')
	if colon < 0 || strings.HasSuffix(s, "]") {
		return s, "", nil
	}
	host, port = s[:colon], s[colon+1:]
	if strings.Contains(host, ":") && !strings.HasPrefix(host, "[") {
		return "", "", fmt.Errorf("an IPv6 address needs brackets: [%s]", s)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return "", "", fmt.Errorf("%q is not a port: use a number from 1 to 65535, or omit it with its colon", port)
	}
	return host, strconv.FormatUint(n, 10), nil
}

// names converts host names as browsers do (UTS 46, without its transitional forms), which take underscores too.
var names = idna.New(idna.MapForLookup(), idna.Transitional(false), idna.StrictDomainName(false), idna.CheckHyphens(false))

// canonicalHost is a name or an address as browsers write it.
func canonicalHost(host string) (string, error) {
	if inner, ok := strings.CutPrefix(host, "["); ok {
		a, err := netip.ParseAddr(strings.TrimSuffix(inner, "]"))
		if err != nil || !a.Is6() || a.Zone() != "" || !strings.HasSuffix(host, "]") {
			return "", fmt.Errorf("%q is not an IPv6 address: write it as [2001:db8::1], without a zone", host)
		}
		return writeIPv6(a), nil
	}
	name, err := names.ToASCII(host)
	if err != nil {
		return "", fmt.Errorf("%q is not a host name: write one such as app.example.com", host)
	}
	name = strings.ToLower(name)
	for label := range strings.SplitSeq(strings.TrimSuffix(name, "."), ".") {
		if label == "" || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return "", fmt.Errorf("%q is not a host name: write one such as app.example.com", host)
		}
	}
	last := name[strings.LastIndexByte(strings.TrimSuffix(name, "."), '.')+1:]
	if last[0] >= '0' && last[0] <= '9' && !isAddress(name) { // no top-level domain begins so: browsers take it for IPv4
		return "", fmt.Errorf("%q is not an IPv4 address: write four numbers, such as 192.0.2.1", host)
	}
	return name, nil
}

// writeIPv6 writes an address in brackets. A browser does not mix forms: WHATWG URL 3.5.
func writeIPv6(a netip.Addr) string {
	if a.Is4In6() {
		b := a.As16()
		return fmt.Sprintf("[::ffff:%x:%x]", uint(b[12])<<8|uint(b[13]), uint(b[14])<<8|uint(b[15]))
	}
	return "[" + a.String() + "]"
}

func isAddress(host string) bool {
	_, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))
	return err == nil
}
