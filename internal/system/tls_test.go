package system

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"path/filepath"
	"testing"
	"time"
)

// authority signs certificates for a test.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  string
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t}
	a.key = newKey(t)
	a.cert = &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, a.cert, a.cert, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.pem = text("CERTIFICATE", der)
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func text(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// issue is a certificate for loopback and its key, as PEM.
func (a *authority) issue(serial int64) (cert, key string) {
	k := newKey(a.t)
	c := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "ramen"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, c, a.cert, &k.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	bytes, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		a.t.Fatal(err)
	}
	return text("CERTIFICATE", der), text("PRIVATE KEY", bytes)
}

func (a *authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

// encrypted is a server with TLS on all four ports, and client certificates on the backends' side.
func encrypted(t *testing.T) (*server, *authority) {
	a, dir := newAuthority(t), t.TempDir()
	cfg := testConfig(t, memory)
	cfg.Auth.ReloadInterval = 100 * time.Millisecond
	cert, key := a.issue(2)
	cfg.TLS.Devices.CertFile, cfg.TLS.Devices.KeyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	cfg.TLS.Backends = cfg.TLS.Devices
	cfg.TLS.Backends.ClientCAFile = filepath.Join(dir, "clients.pem")
	writeFile(t, cfg.TLS.Devices.CertFile, cert)
	writeFile(t, cfg.TLS.Devices.KeyFile, key)
	writeFile(t, cfg.TLS.Backends.ClientCAFile, a.pem)
	own, err := tls.X509KeyPair([]byte(cert), []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, cfg)
	s.web.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: a.pool(), Certificates: []tls.Certificate{own}}, ForceAttemptHTTP2: true}
	return s, a
}

// Every transport works over TLS, SSE over HTTP/2 and HTTP/1.1.
func TestTLSOnAllPorts(t *testing.T) {
	t.Parallel()
	s, _ := encrypted(t)
	for _, transport := range transports {
		t.Run(transport, func(t *testing.T) {
			user := "u-" + transport
			s.publishAll(numbered(user, "m", 20))
			p := place{user: user, device: "d1", window: 20, heartbeatMS: 1000}
			c := s.open(t, transport, p)
			if sse, ok := c.device.(*sseDevice); ok && sse.resp.ProtoMajor != 2 {
				t.Errorf("SSE came over %s", sse.resp.Proto)
			}
			equal(t, "pushed", c.ids(20), ordered(numbered(user, "m", 20)))
			s.publish(msg{"user": user, "id": "live", "priority": "high"})
			c.ackAll()
			equal(t, "live", c.ids(1), []string{"live"})
			c.ackAll()
			s.untilWaiting(user, 0)
			if transport == "poll" {
				return
			}
			s.backend("POST", "/v1/users/"+escape(user)+"/disconnect", "")
			expectEnd(t, transport, c.end(), "disconnected")
			s.untilOffline(user, "d1")
			c = s.open(t, transport, p)
			c.close()
			s.untilOffline(user, "d1")
		})
	}
	b, ctx := s.backends(t)
	if r, err := b.Publish(ctx, nil); err == nil || r != nil {
		t.Errorf("publish nothing: %v, %v", r, err)
	}
	t.Run("HTTP/1.1", func(t *testing.T) {
		h2 := s.web.Transport.(*http.Transport)
		h1 := &http.Transport{TLSClientConfig: h2.TLSClientConfig.Clone()}
		h1.TLSClientConfig.NextProtos = []string{"http/1.1"}
		s.web.Transport = h1
		defer func() { h1.CloseIdleConnections(); s.web.Transport = h2 }()
		c := s.open(t, "sse", place{user: "u1", device: "d1", heartbeatMS: 1000})
		if p := c.device.(*sseDevice).resp.Proto; p != "HTTP/1.1" {
			t.Errorf("SSE came over %s", p)
		}
		s.publish(msg{"user": "u1"})
		c.push()
		c.ackAll()
		c.close()
		s.untilOffline("u1", "d1")
	})
	s.checkLedger()
}

// Many streams share one HTTP/2 connection; the end of one is not that of others.
func TestTLSManyStreamsOnOneConnection(t *testing.T) {
	t.Parallel()
	s, _ := encrypted(t)
	var all []*conn
	for _, name := range []string{"d1", "d2", "d3", "d4", "d5"} {
		all = append(all, s.open(t, "sse", place{user: "u1", device: name}))
	}
	all[0].close()
	s.untilOffline("u1", "d1")
	again := s.open(t, "sse", place{user: "u1", device: "d2"})
	expectEnd(t, "sse", all[1].end(), "superseded")
	s.publish(msg{"user": "u1", "payload": string(make700K()[:60<<10])})
	for _, c := range append(all[2:], again) {
		c.push()
		c.ackAll()
	}
	s.checkLedger()
}

// A backend without a certificate of the configured authority does not come in; a device needs none.
func TestTLSClientCertificates(t *testing.T) {
	t.Parallel()
	s, a := encrypted(t)
	stranger := newAuthority(t)
	cert, key := stranger.issue(3)
	wrong, err := tls.X509KeyPair([]byte(cert), []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	good := s.web.Transport
	for name, certs := range map[string][]tls.Certificate{"none": nil, "a stranger's": {wrong}} {
		tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: a.pool(), Certificates: certs}}
		s.web.Transport = tr
		for _, path := range []string{"/v1/users/u1/devices", "/healthz"} {
			if r, err := s.try("GET", s.backendURL(path), ""); err == nil {
				t.Errorf("with %s certificate: %d %s", name, r.status, r.body)
			}
		}
		b, ctx := s.backends(t)
		if _, err := b.Publish(ctx, nil); err == nil {
			t.Errorf("with %s certificate gRPC answered", name)
		}
		if r, err := s.try("GET", s.deviceURL("/healthz"), ""); err != nil || r.status != 200 {
			t.Errorf("a device with %s certificate: %+v, %v", name, r, err)
		}
		tr.CloseIdleConnections()
	}
	s.web.Transport = good
	s.checkLedger()
}

// Certificate files are read again when they change; streams that are open stay.
func TestTLSCertificatesAreReloaded(t *testing.T) {
	t.Parallel()
	s, a := encrypted(t)
	c := s.open(t, "sse", place{user: "u1", device: "d1"})
	cert, key := a.issue(77)
	writeFile(t, s.cfg.TLS.Devices.CertFile, cert)
	writeFile(t, s.cfg.TLS.Devices.KeyFile, key)
	for _, addr := range []string{s.addr.Devices, s.addr.DevicesGRPC, s.addr.Backends, s.addr.BackendsGRPC} {
		until(t, "the new certificate", func() string {
			x, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: a.pool(), NextProtos: []string{"h2"}})
			if err != nil {
				return err.Error()
			}
			defer x.Close()
			return same("serial", x.ConnectionState().PeerCertificates[0].SerialNumber.Int64(), 77)
		})
	}
	s.publish(msg{"user": "u1"})
	c.push()
	writeFile(t, s.cfg.TLS.Devices.KeyFile, "broken")
	until(t, "the broken key", func() string { return same("broken", s.metric("ramen_auth_broken_sources") > 0, true) })
	if r := s.do("GET", s.deviceURL("/healthz"), ""); r.status != 200 {
		t.Errorf("with a broken key on disk: %d", r.status)
	}
	s.checkLedger()
}
