package linkgrpc

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"ramen/internal/testcert"
	"ramen/link"
	"ramen/link/linktest"
	"ramen/protocol"
)

// silent is a gateway that answers nothing of interest.
type silent struct{ link.Gateway }

func (silent) Devices(context.Context, link.Route, protocol.UserID) ([]link.Device, error) {
	return []link.Device{{ID: "d"}}, nil
}

// devices is a call over l.
func devices(t *testing.T, l *Link) {
	t.Helper()
	if d, err := l.Devices(t.Context(), link.Route{}, "u"); err != nil || len(d) != 1 {
		t.Errorf("a call over the link: %v, %v", d, err)
	}
}

// refused waits until the client's attempts were refused, and says by which words.
func refused(t *testing.T, c *Client, log *logged, l *Link) string {
	t.Helper()
	return log.wait(t, "cause=") + " " + stands(l)
}

func stands(l *Link) string {
	if l.standing.Load() != nil {
		return "(the link stands)"
	}
	return ""
}

// logged keeps what is logged.
type logged struct {
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{}
}

func newLogged() *logged { return &logged{changed: make(chan struct{})} }

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.changed)
	l.changed = make(chan struct{})
	return l.text.Write(b)
}

func (l *logged) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// wait waits until text was logged, and answers all that was.
func (l *logged) wait(t *testing.T, text string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), linktest.Patience)
	defer cancel()
	for {
		l.mu.Lock()
		all, changed := l.text.String(), l.changed
		l.mu.Unlock()
		if strings.Contains(all, text) {
			return all
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("%q was not logged: %s", text, all)
		}
	}
}

// TestWhoIsAdmitted: what a frontend and a gateway show each other, and what comes of it.
func TestWhoIsAdmitted(t *testing.T) {
	authority, other := testcert.SelfSigned("authority"), testcert.SelfSigned("other")
	show := func(c, ca *testcert.Certificate) *Identity {
		i, err := NewIdentity(c.CertPEM, c.KeyPEM, ca.CertPEM)
		if err != nil {
			t.Fatal(err)
		}
		return i
	}
	secret := func(lines string) *Secret {
		s, err := NewSecret([]byte(lines))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	f1, g1, g2 := authority.Issue("f1", "f1"), authority.Issue("g1", "g1"), authority.Issue("g2", "g2")
	stranger := other.Issue("f1", "f1")
	for _, c := range []struct {
		name              string
		frontend, gateway Security
		refused           string // in the log; empty: the link stands
	}{
		{"certificates of one authority", Security{TLS: show(f1, authority)}, Security{TLS: show(g1, authority)}, ""},
		{"a certificate of another gateway", Security{TLS: show(f1, authority)}, Security{TLS: show(g2, authority)}, "valid for g2, not g1"},
		{"a certificate of another frontend", Security{TLS: show(g2, authority)}, Security{TLS: show(g1, authority)}, "the certificate is not that of"},
		{"a frontend of another authority", Security{TLS: show(stranger, authority)}, Security{TLS: show(g1, authority)}, "cause="}, // what TLS says of it may be lost with the connection
		{"a gateway of another authority", Security{TLS: show(f1, other)}, Security{TLS: show(g1, authority)}, "unknown authority"},
		{"no certificate", Security{}, Security{TLS: show(g1, authority)}, "cause="},
		{"the secret", Security{Secret: secret("0123456789abcdef")}, Security{Secret: secret("0123456789abcdef")}, ""},
		{"the secret before", Security{Secret: secret("0123456789abcdef")}, Security{Secret: secret("fedcba9876543210\n0123456789abcdef\n")}, ""},
		{"another secret", Security{Secret: secret("0123456789abcdeX")}, Security{Secret: secret("0123456789abcdef")}, "the secret is missing, or not this cluster's"},
		{"no secret", Security{}, Security{Secret: secret("0123456789abcdef")}, "the secret is missing, or not this cluster's"},
		{"both", Security{TLS: show(f1, authority), Secret: secret("0123456789abcdef")}, Security{TLS: show(g1, authority), Secret: secret("0123456789abcdef")}, ""},
		{"a certificate without the secret", Security{TLS: show(f1, authority)}, Security{TLS: show(g1, authority), Secret: secret("0123456789abcdef")}, "the secret is missing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, address := listen(t, silent{}, func(cfg *ServerConfig) { cfg.Security = c.gateway })
			log := newLogged()
			client := connect(t, func(cfg *ClientConfig) { cfg.Security, cfg.Log = c.frontend, log.logger() })
			l := client.To("g1", address)
			if c.refused == "" {
				devices(t, up(t, l))
				return
			}
			if said := refused(t, client, log, l); !strings.Contains(said, c.refused) || strings.Contains(said, "(the link stands)") {
				t.Errorf("the link is refused by %s; want %q", said, c.refused)
			}
			if client.metrics.up.Load() != 0 {
				t.Error("a link counts as up")
			}
		})
	}
}

// TestPlaintextIsForLoopback: nothing is said over a network that others may read, unless that is wanted.
func TestPlaintextIsForLoopback(t *testing.T) {
	for address, loopback := range map[string]bool{"127.0.0.1:1": true, "[::1]:1": true, "localhost:1": true, "10.0.0.7:1": false, "gateway.example:1": false, "0.0.0.0:1": false, "nonsense": false} {
		for _, allowed := range []bool{false, true} {
			s := Security{Plaintext: allowed}
			if _, err := s.client(target{"g1", address}); (err == nil) != (loopback || allowed) {
				t.Errorf("connect to %s, allowed %v: %v", address, allowed, err)
			}
		}
	}
	server, err := NewServer(ServerConfig{Config: testConfig(), Name: "g1", Log: slog.New(slog.DiscardHandler)}, silent{})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	everywhere := mustListen(t, "0.0.0.0:0")
	if err := server.Serve(everywhere); err == nil || !strings.Contains(err.Error(), "links have no TLS") {
		t.Errorf("serve at %s: %v", everywhere.Addr(), err)
	}
	if err := everywhere.Close(); err == nil {
		t.Error("the refused listener is open")
	}
}

// TestFilesAreFollowed: a new certificate, and new authorities, hold for the next connection; files that make no sense change nothing.
func TestFilesAreFollowed(t *testing.T) {
	dir := t.TempDir()
	paths := func(who string) SecurityConfig {
		return SecurityConfig{CertFile: filepath.Join(dir, who+".crt"), KeyFile: filepath.Join(dir, who+".key"), CAFile: filepath.Join(dir, who+".ca"), SecretFile: filepath.Join(dir, who+".secret")}
	}
	write := func(who, secret string, authority *testcert.Certificate) {
		p, c := paths(who), authority.Issue(who, who)
		for path, data := range map[string][]byte{p.CertFile: c.CertPEM, p.KeyFile: c.KeyPEM, p.CAFile: authority.CertPEM, p.SecretFile: []byte(secret)} {
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	first, second := testcert.SelfSigned("first"), testcert.SelfSigned("second")
	write("f1", "first-first-first", first)
	write("g1", "first-first-first", first)
	log := newLogged()
	gateway, frontend := paths("g1"), paths("f1")
	gs, err := gateway.Open(log.logger())
	if err != nil {
		t.Fatal(err)
	}
	fs, err := frontend.Open(log.logger())
	if err != nil {
		t.Fatal(err)
	}
	_, address := listen(t, silent{}, func(cfg *ServerConfig) { cfg.Security = gs })
	again := func() *Link {
		return connect(t, func(cfg *ClientConfig) { cfg.Security, cfg.Log = fs, log.logger() }).To("g1", address)
	}
	devices(t, up(t, again()))

	write("g1", "second-second-second", second)
	log.wait(t, "link is up")
	l := again()
	log.wait(t, "unknown authority")
	write("f1", "second-second-second", second)
	devices(t, up(t, l)) // the next attempt shows and trusts the new ones

	if err := os.WriteFile(gateway.CertFile, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	devices(t, up(t, again()))
	log.wait(t, "the old ones stay in use")

	broken := gateway
	if _, err := broken.Open(log.logger()); err == nil {
		t.Error("a server starts with a certificate that is nonsense")
	}
	broken.KeyFile = ""
	if _, err := broken.Open(log.logger()); err == nil || !strings.Contains(err.Error(), "or none of them") {
		t.Errorf("a certificate without a key: %v", err)
	}
	if _, err := NewSecret([]byte("short")); err == nil {
		t.Error("a short secret is taken")
	}
}
