package linkgrpc

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

// Security says how the members of a cluster know each other. Without TLS, links are made over loopback alone, unless Plaintext is set.
type Security struct {
	TLS       *Identity // nil: no TLS
	Secret    *Secret   // nil: none is asked for. It is sent with each attempt to make a link
	Plaintext bool      // over any network: whoever is on it reads all messages, and the secret
}

// Identity is a member's certificate and key, and the authorities that it trusts. It is safe for concurrent use, and what it shows
// can be replaced at any time: that holds for the next connection.
type Identity struct {
	current atomic.Pointer[identity]
	files   *followed // that it is read from; nil: from none
}

type identity struct {
	certificate tls.Certificate
	authorities *x509.CertPool
}

// NewIdentity reads PEM: the member's certificate followed by intermediate ones, its key, and the authorities of all members.
func NewIdentity(certificate, key, authorities []byte) (*Identity, error) {
	i := new(Identity)
	return i, i.Replace(certificate, key, authorities)
}

// Replace shows and trusts these from now on. Where that fails nothing has changed.
func (i *Identity) Replace(certificate, key, authorities []byte) error {
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return fmt.Errorf("linkgrpc: read certificate and key: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(authorities) {
		return errors.New("linkgrpc: read authorities: there is no certificate")
	}
	i.current.Store(&identity{pair, pool})
	return nil
}

// client is the configuration of a connection to the member of that name.
func (i *Identity) client(name string) *tls.Config {
	i.files.refresh()
	now := i.current.Load()
	return &tls.Config{MinVersion: tls.VersionTLS13, ServerName: name, RootCAs: now.authorities, Certificates: []tls.Certificate{now.certificate}}
}

// server is the configuration of a listener: that of each connection is the newest.
func (i *Identity) server() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS13, NextProtos: []string{"h2"}, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		i.files.refresh()
		now := i.current.Load()
		return &tls.Config{
			MinVersion: tls.VersionTLS13, NextProtos: []string{"h2"}, Certificates: []tls.Certificate{now.certificate},
			ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: now.authorities,
			SessionTicketsDisabled: true, // no session outlives the authorities under which it began
		}, nil
	}}
}

// Secret is what all members of a cluster know. It is safe for concurrent use, and can be replaced at any time.
type Secret struct {
	lines atomic.Pointer[[]string]
	file  *followed // that it is read from; nil: from none
}

// minSecret is the shortest secret, in bytes.
const minSecret = 16

// NewSecret reads a secret a line. The first is shown; all are accepted, so that one can take another's place on all members in turn.
func NewSecret(text []byte) (*Secret, error) {
	s := new(Secret)
	return s, s.Replace(text)
}

// Replace shows and accepts these from now on. Where that fails nothing has changed.
func (s *Secret) Replace(text []byte) error {
	lines := strings.Fields(string(text))
	if len(lines) == 0 {
		return errors.New("linkgrpc: read secret: there is none")
	}
	for _, l := range lines {
		if len(l) < minSecret {
			return fmt.Errorf("linkgrpc: read secret: use at least %d bytes", minSecret)
		}
	}
	s.lines.Store(&lines)
	return nil
}

func (s *Secret) accepts(shown string) bool {
	s.file.refresh()
	sum, good := sha256.Sum256([]byte(shown)), 0
	for _, l := range *s.lines.Load() {
		want := sha256.Sum256([]byte(l))
		good |= subtle.ConstantTimeCompare(sum[:], want[:])
	}
	return good == 1
}

// bearer shows a secret.
type bearer struct{ secret *Secret }

const scheme = "Bearer "

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	b.secret.file.refresh()
	return map[string]string{"authorization": scheme + (*b.secret.lines.Load())[0]}, nil
}

// RequireTransportSecurity implements credentials.PerRPCCredentials: Security has decided that already.
func (bearer) RequireTransportSecurity() bool { return false }

// client is how grpc connects to t.
func (s *Security) client(t target) ([]grpc.DialOption, error) {
	var options []grpc.DialOption
	if s.Secret != nil {
		options = append(options, grpc.WithPerRPCCredentials(bearer{s.Secret}))
	}
	if s.TLS != nil {
		return append(options, grpc.WithTransportCredentials(credentials.NewTLS(s.TLS.client(t.name)))), nil
	}
	if !s.Plaintext && !isLoopback(t.address) {
		return nil, &refusal{fmt.Sprintf("%s is not on this machine, and the link to it has no TLS: configure certificates, or allow plaintext", t.address)}
	}
	return append(options, grpc.WithTransportCredentials(insecure.NewCredentials())), nil
}

// server is how grpc serves.
func (s *Security) server() credentials.TransportCredentials {
	if s.TLS != nil {
		return credentials.NewTLS(s.TLS.server())
	}
	return insecure.NewCredentials()
}

// listen says why nothing is served at an address.
func (s *Security) listen(at net.Addr) error {
	if s.TLS == nil && !s.Plaintext && !isLoopback(at.String()) {
		return fmt.Errorf("linkgrpc: listen at %s: it can be reached from other machines, and links have no TLS: configure certificates, or allow plaintext", at)
	}
	return nil
}

func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// admit checks what a frontend has shown: the secret, and that its certificate is its own.
func (s *Security) admit(ctx context.Context, name string) error {
	if s.Secret != nil && !s.Secret.accepts(shown(ctx)) {
		return status.Error(codes.Unauthenticated, "the secret is missing, or not this cluster's")
	}
	if s.TLS == nil {
		return nil
	}
	p, _ := peer.FromContext(ctx)
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok || len(info.State.VerifiedChains) == 0 {
		return status.Error(codes.Unauthenticated, "there is no certificate")
	}
	if err := info.State.VerifiedChains[0][0].VerifyHostname(name); err != nil {
		return status.Errorf(codes.PermissionDenied, "the certificate is not that of %q: %v", name, err)
	}
	return nil
}

func shown(ctx context.Context) string {
	md, _ := metadata.FromIncomingContext(ctx)
	values := md.Get("authorization")
	if len(values) != 1 {
		return ""
	}
	secret, ok := strings.CutPrefix(values[0], scheme)
	if !ok {
		return ""
	}
	return secret
}
