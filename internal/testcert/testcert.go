// Package testcert makes certificates for servers and clients of tests and load tests.
//
// A certificate that cannot be made is a bug of this package: it panics. There are no goroutines.
package testcert

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// life is how long a certificate holds from now on: longer than every run. It holds for an hour before now, too, for clocks apart.
const life = 30 * 24 * time.Hour

// Certificate is a certificate with its key (P-256, as most servers have).
type Certificate struct {
	X509    *x509.Certificate
	CertPEM []byte
	KeyPEM  []byte // PKCS 8

	key *ecdsa.PrivateKey
}

// Loopback is what a certificate is for that is made for no hosts in particular.
var Loopback = []string{"localhost", "127.0.0.1", "::1"}

// SelfSigned makes a certificate for hosts, names and addresses, that is its own authority.
func SelfSigned(name string, hosts ...string) *Certificate {
	t := template(name, hosts)
	t.IsCA, t.BasicConstraintsValid = true, true
	t.KeyUsage = x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign
	return sign(t, nil)
}

// Issue makes a certificate of the authority c for hosts, to be shown by a server or by a client.
func (c *Certificate) Issue(name string, hosts ...string) *Certificate {
	t := template(name, hosts)
	t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	return sign(t, c)
}

// TLS is what a server shows, or a client.
func (c *Certificate) TLS() tls.Certificate {
	return tls.Certificate{Certificate: [][]byte{c.X509.Raw}, PrivateKey: c.key, Leaf: c.X509}
}

// Pool trusts c, and what it has issued.
func (c *Certificate) Pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(c.X509)
	return p
}

// WriteFiles writes cert.pem and key.pem into dir.
func (c *Certificate) WriteFiles(dir string) (certFile, keyFile string, err error) {
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	if err = os.WriteFile(certFile, c.CertPEM, 0o600); err == nil {
		err = os.WriteFile(keyFile, c.KeyPEM, 0o600)
	}
	if err != nil {
		return "", "", fmt.Errorf("testcert: write a certificate: %w", err)
	}
	return certFile, keyFile, nil
}

func template(name string, hosts []string) *x509.Certificate {
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	check(err)
	now := time.Now()
	t := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(life)}
	if len(hosts) == 0 {
		hosts = Loopback
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, h)
		}
	}
	return t
}

// sign makes the certificate of t by authority, or by itself where that is nil.
func sign(t *x509.Certificate, authority *Certificate) *Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(err)
	parent, signer := t, key
	if authority != nil {
		parent, signer = authority.X509, authority.key
	}
	der, err := x509.CreateCertificate(rand.Reader, t, parent, key.Public(), signer)
	check(err)
	cert, err := x509.ParseCertificate(der)
	check(err)
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	check(err)
	return &Certificate{
		X509: cert, key: key,
		CertPEM: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		KeyPEM:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}),
	}
}

func check(err error) {
	if err != nil {
		panic(fmt.Sprintf("testcert: %v", err))
	}
}
