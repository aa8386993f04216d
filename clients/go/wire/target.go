package wire

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/url"
	"strings"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// GRPCTarget is where a gRPC port is, as grpc.NewClient takes it, and how to speak to it.
type GRPCTarget struct {
	Addr string
	TLS  *tls.Config // nil: cleartext
}

// ParseGRPCTarget reads the address of a gRPC port: host:port, which speaks TLS where cfg is set; https://host[:port], which always
// does (with the system's roots where cfg is nil); http://host:port, which never does; or a name of grpc-go's own resolvers, such as
// dns:///host:port and unix:path. The error says what would be right.
func ParseGRPCTarget(addr string, cfg *tls.Config) (GRPCTarget, error) {
	found := strings.Contains(addr, "://")
	switch {
	case resolved(addr):
		return GRPCTarget{Addr: addr, TLS: cfg}, nil
	case found:
		return parseGRPCURL(addr, cfg)
	}
	if err := checkHostPort(addr); err != nil {
		return GRPCTarget{}, fmt.Errorf("wire: gRPC address %q: %w", addr, err)
	}
	return GRPCTarget{Addr: addr, TLS: cfg}, nil
}

// resolved reports whether addr is a name for a resolver that grpc-go has.
func resolved(addr string) bool {
	for _, scheme := range []string{"dns:", "passthrough:", "unix:", "unix-abstract:", "vsock:", "xds:"} {
		if rest, ok := strings.CutPrefix(addr, scheme); ok && !allDigits(rest) { // dns:8081 is a host and a port
			return true
		}
	}
	return false
}

func allDigits(s string) bool { return strings.Trim(s, "0123456789") == "" }

func parseGRPCURL(addr string, cfg *tls.Config) (GRPCTarget, error) {
	u, err := url.Parse(addr)
	if err != nil {
		return GRPCTarget{}, fmt.Errorf("wire: gRPC address: %w", err)
	}
	if (u.Path != "" && u.Path != "/") || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return GRPCTarget{}, fmt.Errorf("wire: gRPC address %q: use only host:port, without user, path or query", addr)
	}
	host := u.Host
	switch u.Scheme {
	case "https":
		if u.Port() == "" {
			host = net.JoinHostPort(u.Hostname(), "443")
		}
		if cfg == nil {
			cfg = &tls.Config{MinVersion: tls.VersionTLS12}
		}
	case "http":
		if cfg != nil {
			return GRPCTarget{}, fmt.Errorf("wire: gRPC address %q: http:// means cleartext, but TLS is configured: use https://", addr)
		}
	default:
		return GRPCTarget{}, fmt.Errorf("wire: gRPC address %q: unknown scheme: use host:port, or https://host:port for TLS", addr)
	}
	if err := checkHostPort(host); err != nil {
		return GRPCTarget{}, fmt.Errorf("wire: gRPC address %q: %w", addr, err)
	}
	return GRPCTarget{Addr: host, TLS: cfg}, nil
}

func checkHostPort(addr string) error {
	_, port, err := net.SplitHostPort(addr)
	if err != nil || port == "" { // no host is this machine
		return fmt.Errorf("use host:port, as in push.example.com:8081 or [::1]:8081; https://host:port for TLS")
	}
	return nil
}

// Credentials are TLS or cleartext, as t says.
func (t GRPCTarget) Credentials() credentials.TransportCredentials {
	if t.TLS == nil {
		return insecure.NewCredentials()
	}
	return credentials.NewTLS(t.TLS)
}

// CheckURL reports what is wrong with the URL of an HTTP port: it is http:// or https:// and a host, with a path where a proxy adds one.
func CheckURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" {
		return u, nil
	}
	hint := "use http://host:port or https://host:port"
	if host, _, found := strings.Cut(text, "://"); !found && host != "" { // a name alone, or host:port, which url.Parse takes for a scheme
		hint = fmt.Sprintf("the scheme is missing: use http://%s, or https://%s for TLS", host, host)
	}
	return nil, fmt.Errorf("wire: url %q: %s", text, hint)
}
