// Package authority is a small certificate authority in a folder: its own certificate, and those that it signs for servers that are clients too.
//
// The authority's key lies beside its certificate, readable for its owner alone. There is no list of what was revoked, and no renewal by
// itself. There are no goroutines.
package authority

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// The files in the folder, beside NAME.pem and NAME-key.pem of each member.
const (
	CertFile = "ca.pem"
	KeyFile  = "ca-key.pem"
)

// early is for how long before now a certificate holds, for clocks that are apart.
const early = time.Hour

// Authority is one in a folder.
type Authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// Open opens the authority in dir, or makes one there that holds for life.
func Open(dir, name string, life time.Duration) (a *Authority, made bool, err error) {
	cert, err := os.ReadFile(filepath.Join(dir, CertFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		a, err = create(dir, name, life)
		return a, true, err
	case err != nil:
		return nil, false, fmt.Errorf("authority: %w", err)
	}
	key, err := os.ReadFile(filepath.Join(dir, KeyFile))
	if err != nil {
		return nil, false, fmt.Errorf("authority: %w", err)
	}
	a = &Authority{dir: dir}
	if a.cert, err = parseCert(cert); err == nil {
		a.key, err = parseKey(key)
	}
	if err == nil && !a.key.PublicKey.Equal(a.cert.PublicKey) {
		err = fmt.Errorf("%s is not the key of %s", KeyFile, CertFile)
	}
	if err == nil && time.Now().After(a.cert.NotAfter) {
		err = fmt.Errorf("%s has ended, on %s", CertFile, a.cert.NotAfter.Format(time.DateOnly))
	}
	if err != nil {
		return nil, false, fmt.Errorf("authority: read %s: %w", dir, err)
	}
	return a, false, nil
}

func create(dir, name string, life time.Duration) (*Authority, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("authority: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("authority: %w", err)
	}
	t := template(name, life)
	t.IsCA, t.BasicConstraintsValid, t.MaxPathLenZero = true, true, true
	t.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	a := &Authority{dir: dir, key: key}
	if a.cert, err = sign(t, t, key, key); err != nil {
		return nil, err
	}
	return a, write(dir, strings.TrimSuffix(CertFile, ".pem"), a.cert, key)
}

// Issue makes a certificate of that name for its owner and hosts, names and addresses, to be shown by a server and by a client, and writes its files.
// It holds for life, and no longer than the authority.
func (a *Authority) Issue(name string, hosts []string, life time.Duration) (certFile, keyFile string, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", fmt.Errorf("authority: %w", err)
	}
	t := template(name, life)
	if t.NotAfter.After(a.cert.NotAfter) {
		t.NotAfter = a.cert.NotAfter
	}
	t.KeyUsage = x509.KeyUsageDigitalSignature
	t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	t.DNSNames = []string{name}
	for _, h := range hosts {
		switch ip := net.ParseIP(h); {
		case ip != nil:
			t.IPAddresses = append(t.IPAddresses, ip)
		case h != name:
			t.DNSNames = append(t.DNSNames, h)
		}
	}
	cert, err := sign(t, a.cert, key, a.key)
	if err != nil {
		return "", "", err
	}
	return filepath.Join(a.dir, name+".pem"), filepath.Join(a.dir, name+"-key.pem"), write(a.dir, name, cert, key)
}

func template(name string, life time.Duration) *x509.Certificate {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		panic("authority: " + err.Error()) // rand.Reader never fails
	}
	now := time.Now()
	return &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-early), NotAfter: now.Add(life)}
}

func sign(t, parent *x509.Certificate, key, signer *ecdsa.PrivateKey) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, t, parent, key.Public(), signer)
	if err != nil {
		return nil, fmt.Errorf("authority: sign the certificate of %s: %w", t.Subject.CommonName, err)
	}
	return x509.ParseCertificate(der)
}

// write writes both files, the key first: who follows the certificate finds its key.
func write(dir, name string, cert *x509.Certificate, key *ecdsa.PrivateKey) error {
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("authority: %w", err)
	}
	for _, f := range []struct {
		name, kind string
		der        []byte
		mode       fs.FileMode
	}{{name + "-key.pem", "PRIVATE KEY", secret, 0o600}, {name + ".pem", "CERTIFICATE", cert.Raw, 0o644}} {
		if err := replace(filepath.Join(dir, f.name), pem.EncodeToMemory(&pem.Block{Type: f.kind, Bytes: f.der}), f.mode); err != nil {
			return fmt.Errorf("authority: %w", err)
		}
	}
	return nil
}

// replace writes a file beside its place, and moves it there.
func replace(path string, text []byte, mode fs.FileMode) error {
	next := path + ".next"
	if err := os.WriteFile(next, text, mode); err != nil {
		return err
	}
	if err := os.Chmod(next, mode); err != nil { // where it was left from before
		return err
	}
	return os.Rename(next, path)
}

func parseCert(text []byte) (*x509.Certificate, error) {
	b, _ := pem.Decode(text)
	if b == nil || b.Type != "CERTIFICATE" {
		return nil, fmt.Errorf("%s is no certificate", CertFile)
	}
	return x509.ParseCertificate(b.Bytes)
}

func parseKey(text []byte) (*ecdsa.PrivateKey, error) {
	b, _ := pem.Decode(text)
	if b == nil || b.Type != "PRIVATE KEY" {
		return nil, fmt.Errorf("%s is no private key", KeyFile)
	}
	key, err := x509.ParsePKCS8PrivateKey(b.Bytes)
	if err != nil {
		return nil, err
	}
	if k, is := key.(*ecdsa.PrivateKey); is {
		return k, nil
	}
	return nil, fmt.Errorf("%s is no key on an elliptic curve", KeyFile)
}
