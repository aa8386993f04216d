package auth

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// CertsConfig says how a server shows who it is, and whom it talks to.
type CertsConfig struct {
	CertFile     string `yaml:"cert_file" doc:"PEM file with this server's certificate, followed by the intermediate certificates. Empty: no TLS."`
	KeyFile      string `yaml:"key_file" doc:"PEM file with the certificate's private key."`
	ClientCAFile string `yaml:"client_ca_file" doc:"PEM file with the authorities that sign clients' certificates. If set, clients must present such a certificate (mutual TLS)."`
}

// Configured reports whether TLS is wanted.
func (c CertsConfig) Configured() bool { return c.CertFile != "" }

// Validate says what is missing.
func (c CertsConfig) Validate() error {
	switch {
	case c.CertFile == "" && c.KeyFile != "":
		return errors.New("auth: key_file is set without cert_file; set both, or neither")
	case c.CertFile != "" && c.KeyFile == "":
		return errors.New("auth: cert_file is set without key_file; set both, or neither")
	case c.CertFile == "" && c.ClientCAFile != "":
		return errors.New("auth: client_ca_file is set without cert_file and key_file; client certificates need TLS")
	}
	return nil
}

// Certs is the certificate of a server and the authorities of its clients. It follows its files.
type Certs struct {
	current atomic.Pointer[identity]
}

// identity is what one state of the files says. It is immutable.
type identity struct {
	certificate tls.Certificate
	clients     *x509.CertPool // nil: clients need no certificate
}

// NewCerts reads the files that cfg names, and follows them with w. With a nil w they stay as they are.
func NewCerts(cfg CertsConfig, w *Watcher) (*Certs, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if !cfg.Configured() {
		return nil, errors.New("auth: no certificate; set cert_file and key_file")
	}
	c := &Certs{}
	files := []string{cfg.CertFile, cfg.KeyFile}
	if cfg.ClientCAFile != "" {
		files = append(files, cfg.ClientCAFile)
	}
	err := w.follow(whatCerts, files, func(data [][]byte) error {
		id, err := parseIdentity(cfg, data)
		if err != nil {
			return err
		}
		if left := time.Until(id.certificate.Leaf.NotAfter); left < 0 {
			w.logger().Warn("certificate has expired", "file", cfg.CertFile, "at", id.certificate.Leaf.NotAfter)
		}
		w.meters().certificate(cfg.CertFile, id.certificate.Leaf.NotAfter)
		c.current.Store(id)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return c, nil
}

// parseIdentity reads a certificate, its key, and perhaps authorities.
func parseIdentity(cfg CertsConfig, data [][]byte) (*identity, error) {
	pair, err := tls.X509KeyPair(data[0], data[1])
	if err != nil {
		return nil, fmt.Errorf("auth: read cert_file %s and key_file %s: %w", cfg.CertFile, cfg.KeyFile, err)
	}
	if pair.Leaf == nil { // as with GODEBUG=x509keypairleaf=0
		if pair.Leaf, err = x509.ParseCertificate(pair.Certificate[0]); err != nil {
			return nil, fmt.Errorf("auth: read cert_file %s: %w", cfg.CertFile, err)
		}
	}
	id := &identity{certificate: pair}
	if len(data) > 2 {
		id.clients = x509.NewCertPool()
		if !id.clients.AppendCertsFromPEM(data[2]) {
			return nil, fmt.Errorf("auth: read client_ca_file %s: it has no certificate", cfg.ClientCAFile)
		}
	}
	return id, nil
}

// Server is a configuration for tls.NewListener, http.Server and grpc's credentials: TLS 1.2 at least, the newest
// certificate for each handshake. protocols are offered by ALPN, the best first: "h2" and "http/1.1" for HTTP, "h2" for gRPC.
func (c *Certs) Server(protocols ...string) *tls.Config {
	var latest atomic.Pointer[serverConfig]
	build := func() *tls.Config {
		id := c.current.Load()
		if l := latest.Load(); l != nil && l.id == id {
			return l.config // the same one, so that its session tickets stay good
		}
		// A new configuration has new ticket keys: no session outlives the authorities under which it began.
		l := &serverConfig{id: id, config: id.server(protocols)}
		latest.Store(l)
		return l.config
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: protocols,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return build(), nil
		},
	}
}

// serverConfig is the configuration that was built for id.
type serverConfig struct {
	id     *identity
	config *tls.Config
}

func (id *identity) server(protocols []string) *tls.Config {
	c := &tls.Config{
		MinVersion:   tls.VersionTLS12,
		NextProtos:   protocols,
		Certificates: []tls.Certificate{id.certificate},
	}
	if id.clients != nil {
		c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, id.clients
	}
	return c
}
