package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"

	"github.com/spf13/pflag"
)

// tlsFlags is how the clients of the command line trust a server, and show who they are.
type tlsFlags struct {
	ca, cert, key string
	on            bool
}

func (f *tlsFlags) bind(fl *pflag.FlagSet) {
	fl.BoolVar(&f.on, "tls", false, "use TLS on a gRPC port (implied by https://)")
	fl.StringVar(&f.ca, "ca", "", "PEM `file` with the certificate authorities to trust instead of the system's")
	fl.StringVar(&f.cert, "cert", "", "PEM `file` with a client certificate")
	fl.StringVar(&f.key, "key-pem", "", "PEM `file` with the client certificate's private key")
}

// config is nil where nothing was asked for.
func (f *tlsFlags) config() (*tls.Config, error) {
	if !f.on && f.ca == "" && f.cert == "" {
		return nil, nil
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if f.ca != "" {
		text, err := os.ReadFile(f.ca)
		if err != nil {
			return nil, fmt.Errorf("tls: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("tls: no certificate in %s", f.ca)
		}
	}
	if f.cert != "" {
		pair, err := tls.LoadX509KeyPair(f.cert, f.key)
		if err != nil {
			return nil, fmt.Errorf("tls: %w", err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return cfg, nil
}
