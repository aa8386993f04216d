package auth

import (
	"crypto/tls"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ramen/internal/testcert"
)

// trusting is a client that trusts a.
func trusting(a *testcert.Certificate) *tls.Config {
	return &tls.Config{RootCAs: a.Pool(), ServerName: "localhost"}
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
func pairFiles(t *testing.T, p *testcert.Certificate, ca []byte) CertsConfig {
	dir := t.TempDir()
	cfg := CertsConfig{CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem")}
	write(t, cfg.CertFile, p.CertPEM)
	write(t, cfg.KeyFile, p.KeyPEM)
	if ca != nil {
		cfg.ClientCAFile = write(t, filepath.Join(dir, "ca.CertPEM"), ca)
	}
	return cfg
}

func TestNewestCertificateIsShown(t *testing.T) {
	a := testcert.SelfSigned("authority")
	one, two := a.Issue("one"), a.Issue("two")
	cfg := pairFiles(t, one, nil)
	w, log := testWatcher(t)
	certs, err := NewCerts(cfg, w)
	if err != nil {
		t.Fatal(err)
	}
	addr := serve(t, certs.Server("h2", "http/1.1"))
	shown := func() string {
		t.Helper()
		client := trusting(a)
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
	write(t, cfg.CertFile, two.CertPEM) // half of a pair
	if err := w.Check(); err == nil || !strings.Contains(err.Error(), "private key does not match public key") {
		t.Fatal(err)
	}
	if got := shown(); got != "one" {
		t.Fatalf("shown is %s", got)
	}
	write(t, cfg.KeyFile, two.KeyPEM)
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
	a := testcert.SelfSigned("authority")
	certs, err := NewCerts(pairFiles(t, a.Issue("one"), nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	client := trusting(a)
	client.MinVersion, client.MaxVersion = tls.VersionTLS11, tls.VersionTLS11
	if s, err := dial(serve(t, certs.Server()), client); err == nil {
		t.Fatalf("version %x is taken", s.Version)
	}
}

func TestClientsNeedACertificateOfTheAuthority(t *testing.T) {
	a, b := testcert.SelfSigned("authority"), testcert.SelfSigned("authority")
	cfg := pairFiles(t, a.Issue("server"), a.CertPEM)
	w, _ := testWatcher(t)
	certs, err := NewCerts(cfg, w)
	if err != nil {
		t.Fatal(err)
	}
	addr := serve(t, certs.Server())
	with := func(p *testcert.Certificate) *tls.Config {
		pair := p.TLS()
		client := trusting(a)
		// Also where the server asks for another authority.
		client.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
		client.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		return client
	}
	ofA, ofB := with(a.Issue("client")), with(b.Issue("client"))
	if _, err := dial(addr, trusting(a)); err == nil {
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
	write(t, cfg.ClientCAFile, b.CertPEM)
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
	a := testcert.SelfSigned("authority")
	good := a.Issue("one")
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
		{func(c *CertsConfig) { c.ClientCAFile = c.KeyFile }, "it has no certificate"},
		{func(c *CertsConfig) { c.KeyFile = filepath.Dir(c.KeyFile) }, "is not a regular file"},
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
