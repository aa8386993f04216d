package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"fmt"

	"github.com/golang-jwt/jwt/v5"
)

// algorithm is one of the ways in which a token may be signed. RFC 7518 3.1, RFC 8037.
type algorithm struct {
	name   string
	method jwt.SigningMethod
	// secret is how many bytes an HMAC secret must have at least: the size of the hash, RFC 7518 3.2. 0: not HMAC.
	secret int
}

var algorithms = [...]algorithm{
	{"HS256", jwt.SigningMethodHS256, 32},
	{"HS384", jwt.SigningMethodHS384, 48},
	{"HS512", jwt.SigningMethodHS512, 64},
	{"RS256", jwt.SigningMethodRS256, 0},
	{"ES256", jwt.SigningMethodES256, 0},
	{"EdDSA", jwt.SigningMethodEdDSA, 0},
}

const (
	minSecret = 32   // bytes, of HS256: no algorithm takes less
	minRSA    = 2048 // bits, RFC 7518 3.3
	maxRSA    = 8192 // bits: beyond it a signature takes milliseconds to check
)

// algorithmNamed is the algorithm with exactly that name, or nil.
func algorithmNamed(name string) *algorithm {
	for i := range algorithms {
		if algorithms[i].name == name {
			return &algorithms[i]
		}
	}
	return nil
}

func algorithmNames() []string {
	names := make([]string, len(algorithms))
	for i := range algorithms {
		names[i] = algorithms[i].name
	}
	return names
}

// algorithmsOf lists what may be used with a key, by its type alone: this is what makes it impossible to pass off a
// public key as an HMAC secret. Keys are []byte, *rsa.PublicKey, *ecdsa.PublicKey and ed25519.PublicKey.
func algorithmsOf(key any) ([]*algorithm, error) {
	switch k := key.(type) {
	case []byte:
		return secretAlgorithms(len(k))
	case *rsa.PublicKey:
		if n := k.N.BitLen(); n < minRSA || n > maxRSA {
			return nil, fmt.Errorf("RSA key has %d bits; it should have from %d to %d", n, minRSA, maxRSA)
		}
		return []*algorithm{algorithmNamed("RS256")}, nil
	case *ecdsa.PublicKey:
		if k.Curve != elliptic.P256() {
			return nil, fmt.Errorf("EC key is on curve %s; ES256 needs P-256", k.Curve.Params().Name)
		}
		return []*algorithm{algorithmNamed("ES256")}, nil
	case ed25519.PublicKey:
		if len(k) != ed25519.PublicKeySize {
			return nil, fmt.Errorf("Ed25519 key has %d bytes; it should have %d", len(k), ed25519.PublicKeySize)
		}
		return []*algorithm{algorithmNamed("EdDSA")}, nil
	}
	return nil, fmt.Errorf("key is a %T; it should be an RSA, EC (P-256) or Ed25519 key", key)
}

// secretAlgorithms lists the HMAC algorithms whose hash is no longer than a secret of n bytes.
func secretAlgorithms(n int) ([]*algorithm, error) {
	if n < minSecret {
		return nil, fmt.Errorf("secret has %d bytes; it should be random and have at least 32 for HS256, 48 for HS384, 64 for HS512", n)
	}
	var fit []*algorithm
	for i := range algorithms {
		if a := &algorithms[i]; a.secret > 0 && a.secret <= n {
			fit = append(fit, a)
		}
	}
	return fit, nil
}

// publicOf is the public half of a private key, and any other key itself.
func publicOf(key any) any {
	if p, ok := key.(interface{ Public() crypto.PublicKey }); ok {
		return p.Public()
	}
	return key
}
