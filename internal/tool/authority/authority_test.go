package authority

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestMembersKnowEachOther: two members of one authority make a connection by name, each showing its certificate; one of another authority does not.
func TestMembersKnowEachOther(t *testing.T) {
	dir, elsewhere := t.TempDir(), t.TempDir()
	issue := func(dir, name string) tls.Certificate {
		a, _, err := Open(dir, "test", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		cert, key, err := a.Issue(name, []string{"127.0.0.1", name, "other"}, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			t.Fatal(err)
		}
		return pair
	}
	g1, f1, foreign := issue(dir, "g1"), issue(dir, "f1"), issue(elsewhere, "f1")
	text, err := os.ReadFile(filepath.Join(dir, CertFile))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	try := func(client tls.Certificate, name string) error {
		a, b := net.Pipe()
		defer a.Close()
		defer b.Close()
		served := make(chan error, 1)
		go func() {
			s := tls.Server(b, &tls.Config{Certificates: []tls.Certificate{g1}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert})
			err := s.Handshake()
			if err == nil {
				_, err = io.WriteString(s, "x")
			}
			b.Close()
			served <- err
		}()
		c := tls.Client(a, &tls.Config{Certificates: []tls.Certificate{client}, RootCAs: pool, ServerName: name})
		_, err := io.ReadFull(c, make([]byte, 1))
		a.Close()
		<-served
		return err
	}
	for _, name := range []string{"g1", "127.0.0.1", "other"} {
		if err := try(f1, name); err != nil {
			t.Errorf("as %s: %v", name, err)
		}
	}
	if err := try(f1, "g2"); err == nil {
		t.Error("g1 passes for g2")
	}
	if err := try(foreign, "g1"); err == nil {
		t.Error("a certificate of another authority is taken")
	}
}

// TestKeysAreForTheirOwnerAlone, and what does not fit is told.
func TestKeysAreForTheirOwnerAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "certs")
	a, made, err := Open(dir, "test", time.Hour)
	if err != nil || !made {
		t.Fatal(made, err)
	}
	_, key, err := a.Issue("g1", nil, 48*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{key, filepath.Join(dir, KeyFile)} {
		if i, err := os.Stat(f); err != nil || i.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", f, i.Mode(), err)
		}
	}
	if _, made, err := Open(dir, "test", time.Hour); made || err != nil {
		t.Errorf("again: %v %v", made, err)
	}
	other, _, err := Open(t.TempDir(), "test", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(other.dir, KeyFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, KeyFile), text, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Open(dir, "test", time.Hour); err == nil || !strings.Contains(err.Error(), "is not the key of") {
		t.Errorf("with another's key: %v", err)
	}
}
