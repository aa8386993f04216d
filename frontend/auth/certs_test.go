package auth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// authority issues certificates.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	pem  []byte
}

type issued struct{ cert, key []byte }

func newAuthority(t testing.TB) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{key: key, cert: cert, pem: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

func (a *authority) issue(t testing.TB, name string) issued {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return issued{
		cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		key:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
	}
}

// client trusts a.
func (a *authority) client() *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return &tls.Config{RootCAs: pool, ServerName: "localhost"}
}

// serve answers each connection with one byte, until the test ends.
func serve(t *testing.T, cfg *tls.Config) string {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", cfg)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.SetDeadline(time.Now().Add(10 * time.Second))
			c.Write([]byte("x"))
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr().String()
}

// dial reads the byte, and answers what was negotiated.
func dial(addr string, cfg *tls.Config) (tls.ConnectionState, error) {
	d := &net.Dialer{Timeout: 10 * time.Second}
	c, err := tls.DialWithDialer(d, "tcp", addr, cfg)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		return tls.ConnectionState{}, err
	}
	return c.ConnectionState(), nil
}

// pairFiles writes a pair, and a client authority if there is one.
func pairFiles(t *testing.T, p issued, ca []byte) CertsConfig {
	dir := t.TempDir()
	cfg := CertsConfig{CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem")}
	write(t, cfg.CertFile, p.cert)
	write(t, cfg.KeyFile, p.key)
	if ca != nil {
		cfg.ClientCAFile = write(t, filepath.Join(dir, "ca.pem"), ca)
	}
	return cfg
}

func TestNewestCertificateIsShown(t *testing.T) {
	a := newAuthority(t)
	one, two := a.issue(t, "one"), a.issue(t, "two")
	cfg := pairFiles(t, one, nil)
	w, log := testWatcher(t)
	certs, err := NewCerts(cfg, w)
	if err != nil {
		t.Fatal(err)
	}
	addr := serve(t, certs.Server("h2", "http/1.1"))
	shown := func() string {
		t.Helper()
		client := a.client()
		client.NextProtos = []string{"h2"}
		s, err := dial(addr, client)
		if err != nil {
			t.Fatal(err)
		}
		if s.NegotiatedProtocol != "h2" || s.Version < tls.VersionTLS12 {
			t.Fatalf("negotiated %q, version %x", s.NegotiatedProtocol, s.Version)
		}
		return s.PeerCertificates[0].Subject.CommonName
	}
	if got := shown(); got != "one" {
		t.Fatalf("shown is %s", got)
	}
	write(t, cfg.CertFile, two.cert) // half of a pair
	if err := w.Check(); err == nil || !strings.Contains(err.Error(), "private key does not match public key") {
		t.Fatal(err)
	}
	if got := shown(); got != "one" {
		t.Fatalf("shown is %s", got)
	}
	write(t, cfg.KeyFile, two.key)
	if err := w.Check(); err != nil {
		t.Fatal(err)
	}
	if got := shown(); got != "two" {
		t.Fatalf("shown is %s", got)
	}
	if log.count("level=ERROR") > 1 || strings.Contains(log.String(), "BEGIN") {
		t.Fatalf("log:\n%s", log)
	}
}

func TestOldTLSIsRefused(t *testing.T) {
	a := newAuthority(t)
	certs, err := NewCerts(pairFiles(t, a.issue(t, "one"), nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	client := a.client()
	client.MinVersion, client.MaxVersion = tls.VersionTLS11, tls.VersionTLS11
	if s, err := dial(serve(t, certs.Server()), client); err == nil {
		t.Fatalf("version %x is taken", s.Version)
	}
}

func TestClientsNeedACertificateOfTheAuthority(t *testing.T) {
	a, b := newAuthority(t), newAuthority(t)
	cfg := pairFiles(t, a.issue(t, "server"), a.pem)
	w, _ := testWatcher(t)
	certs, err := NewCerts(cfg, w)
	if err != nil {
		t.Fatal(err)
	}
	addr := serve(t, certs.Server())
	with := func(p issued) *tls.Config {
		pair, err := tls.X509KeyPair(p.cert, p.key)
		if err != nil {
			t.Fatal(err)
		}
		client := a.client()
		// Also where the server asks for another authority.
		client.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
		client.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		return client
	}
	ofA, ofB := with(a.issue(t, "client")), with(b.issue(t, "client"))
	if _, err := dial(addr, a.client()); err == nil {
		t.Fatal("a client without a certificate comes in")
	}
	if _, err := dial(addr, ofB); err == nil {
		t.Fatal("a client of another authority comes in")
	}
	for i := range 2 {
		s, err := dial(addr, ofA)
		if err != nil {
			t.Fatal(err)
		}
		if s.DidResume != (i == 1) {
			t.Fatalf("connection %d: resumed %v", i, s.DidResume)
		}
	}
	// No session outlives its authority.
	write(t, cfg.ClientCAFile, b.pem)
	if err := w.Check(); err != nil {
		t.Fatal(err)
	}
	if _, err := dial(addr, ofA); err == nil {
		t.Fatal("a client of the old authority comes in")
	}
	if _, err := dial(addr, ofB); err != nil {
		t.Fatal(err)
	}
}

func TestCertificatesThatCannotBeReadAreNamed(t *testing.T) {
	a := newAuthority(t)
	good := a.issue(t, "one")
	for _, c := range []struct {
		change func(*CertsConfig)
		want   string
	}{
		{func(c *CertsConfig) { c.KeyFile = "" }, "cert_file is set without key_file"},
		{func(c *CertsConfig) { c.CertFile = "" }, "key_file is set without cert_file"},
		{func(c *CertsConfig) { *c = CertsConfig{ClientCAFile: "x"} }, "client_ca_file is set without cert_file"},
		{func(c *CertsConfig) { *c = CertsConfig{} }, "set cert_file and key_file"},
		{func(c *CertsConfig) { os.Remove(c.CertFile) }, "no such file"},
		{func(c *CertsConfig) { c.CertFile = c.KeyFile }, "auth: read cert_file"},
		{func(c *CertsConfig) { c.ClientCAFile = c.KeyFile }, "there is no certificate in it"},
		{func(c *CertsConfig) { c.KeyFile = filepath.Dir(c.KeyFile) }, "is no regular file"},
	} {
		cfg := pairFiles(t, good, nil)
		c.change(&cfg)
		if _, err := NewCerts(cfg, nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
	if (CertsConfig{}).Configured() || !pairFiles(t, good, nil).Configured() {
		t.Fatal("Configured is wrong")
	}
}
