package redistest

import (
	"context"
	"crypto/tls"
	"net"
	"net/url"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"ramen/internal/ports"
	"ramen/internal/testcert"
	"ramen/internal/testserver"
	"ramen/internal/testserver/faultproxy"
)

// proxyHost is where proxies listen, each at its server's port: a cluster's nodes tell clients another host, but never another port.
const proxyHost = "127.0.0.2"

// Server is one Redis or Valkey server. Its clients' side is URL and TLS; a test's own questions go to Addr, past a proxy; what is done to
// it is of testserver.Server.
type Server struct {
	*testserver.Server
	Addr    string // host:port
	Options Options
	Proxy   *faultproxy.Proxy // nil: there is none

	ca *testcert.Certificate // nil: no TLS
}

// Single starts a server of its own for a test.
func Single(t testserver.TB, o Options) *Server {
	t.Helper()
	s := prepare(t, o, authority(o))
	s.Start(t)
	return s
}

// authority is who signs the certificates of servers that belong together; nil where they use no TLS.
func authority(o Options) *testcert.Certificate {
	if !o.TLS {
		return nil
	}
	// A name of its own: OpenSSL takes a certificate for self-signed whose issuer is named as it is.
	return testcert.SelfSigned("redistest authority")
}

// prepare is a server that is not started.
func prepare(t testserver.TB, o Options, ca *testcert.Certificate, args ...string) *Server {
	t.Helper()
	binary := o.binary(t)
	s := &Server{Addr: ports.Free(testserver.PortsTB(t)), Options: o, ca: ca}
	s.Addr = net.JoinHostPort(o.Place.HostOr("127.0.0.1"), port(t, s.Addr))
	inner, err := testserver.New(testserver.Config{
		Name: string(o.kind()),
		Command: func(dir string) *exec.Cmd {
			return exec.Command(binary, append([]string{filepath.Join(dir, "redis.conf")}, args...)...)
		},
		Ready: s.ready,
		Place: o.Place,
	})
	if err != nil {
		t.Fatalf("redistest: %v", err)
	}
	s.Server = inner
	s.CloseAfter(t)
	if o.Proxied {
		s.Proxy = faultproxy.NewAt(t, net.JoinHostPort(proxyHost, port(t, s.Addr)), s.Addr)
	}
	if err := writeConf(s.Dir, s.Addr, o, ca); err != nil {
		t.Fatalf("redistest: configure a server: %v", err)
	}
	return s
}

// ready reports why the server does not answer: it may still be loading what it has on disk.
func (s *Server) ready(ctx context.Context) error {
	// go-redis logs each connection that it does not get.
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.Addr)
	if err != nil {
		return err
	}
	conn.Close()
	c := redis.NewClient(s.ClientOptions())
	defer c.Close()
	return c.Ping(ctx).Err()
}

// port is that of an address.
func port(t testserver.TB, addr string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatalf("redistest: %v", err)
	}
	return port
}

// ClientAddr is where clients are led to: the proxy, or else the server.
func (s *Server) ClientAddr() string {
	if s.Proxy != nil {
		return s.Proxy.Addr
	}
	return s.Addr
}

// URL is the server's address for clients in the form redis://user:password@host:port/0, or rediss:// with TLS.
func (s *Server) URL() string {
	u := url.URL{Scheme: "redis", Host: s.ClientAddr(), Path: "/0"}
	if s.ca != nil {
		u.Scheme = "rediss"
	}
	if s.Options.Password != "" {
		u.User = url.UserPassword(s.Options.User, s.Options.Password)
	}
	return u.String()
}

// CAFile is the certificate, in PEM, by which clients know the server; empty where it uses no TLS.
func (s *Server) CAFile() string {
	if s.ca == nil {
		return ""
	}
	return filepath.Join(s.Dir, "ca.pem")
}

// TLS is how clients know the server; nil where it uses none.
func (s *Server) TLS() *tls.Config {
	if s.ca == nil {
		return nil
	}
	return &tls.Config{RootCAs: s.ca.Pool(), MinVersion: tls.VersionTLS12}
}

// ClientOptions are those of a client that tries nothing twice, for what a test asks or changes by itself.
func (s *Server) ClientOptions() *redis.Options {
	return &redis.Options{
		Addr: s.Addr, Username: s.Options.User, Password: s.Options.Password, TLSConfig: s.TLS(),
		MaxRetries: -1, DialerRetries: 1, DialTimeout: time.Second, ContextTimeoutEnabled: true, DisableIdentity: true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
}

// Client is a client for the test's own questions, past the proxy, closed at the test's end.
func (s *Server) Client(t testserver.TB) *redis.Client {
	t.Helper()
	c := redis.NewClient(s.ClientOptions())
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("redistest: close a client: %v", err)
		}
	})
	return c
}
