package auth

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"ramen/protocol"
)

// Grant is what a token is to say.
type Grant struct {
	User     protocol.UserID
	Device   protocol.DeviceID // empty: any device of the user
	TTL      time.Duration     // from now; at least 1 s
	Audience []string          // empty: no aud
	Issuer   string            // empty: no iss
}

// SigningKey signs tokens. It is made by SecretKey and PrivateKey.
type SigningKey struct {
	algorithm *algorithm
	key       any
	ID        string // kid of the tokens; empty: none
}

// SecretKey is a key that signs with secret (text as in tokens.secret, base64: understood) by HS256, HS384 or HS512;
// by HS256 where name is empty.
func SecretKey(secret []byte, name string) (SigningKey, error) {
	keys, err := parseSecret(secret)
	if err != nil {
		return SigningKey{}, fmt.Errorf("auth: read secret: %w", err)
	}
	raw := keys[0].key.([]byte)
	a := algorithmNamed(name)
	switch {
	case name == "":
		a = algorithmNamed("HS256")
	case a == nil || a.secret == 0:
		return SigningKey{}, fmt.Errorf("auth: %q cannot be used with a secret; it should be HS256, HS384 or HS512", name)
	}
	if len(raw) < a.secret {
		return SigningKey{}, fmt.Errorf("auth: secret has %d bytes; %s needs at least %d", len(raw), a.name, a.secret)
	}
	return SigningKey{algorithm: a, key: raw}, nil
}

// PrivateKey is the first private key in PEM text: RSA for RS256, EC on P-256 for ES256, Ed25519 for EdDSA.
func PrivateKey(text []byte) (SigningKey, error) {
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return SigningKey{}, errors.New("auth: the PEM file has no private key; it should have -----BEGIN PRIVATE KEY-----")
		}
		if !strings.HasSuffix(block.Type, "PRIVATE KEY") {
			continue // EC PARAMETERS, certificates
		}
		key, err := parsePrivate(block)
		if err != nil {
			return SigningKey{}, fmt.Errorf("auth: read private key: %w", err)
		}
		fit, err := algorithmsOf(publicOf(key))
		if err != nil {
			return SigningKey{}, fmt.Errorf("auth: read private key: %w", err)
		}
		return SigningKey{algorithm: fit[0], key: key}, nil
	}
}

func parsePrivate(block *pem.Block) (any, error) {
	switch block.Type {
	case "RSA PRIVATE KEY":
		return x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		return x509.ParseECPrivateKey(block.Bytes)
	case "PRIVATE KEY":
		key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			return nil, err
		}
		switch key.(type) {
		case *rsa.PrivateKey, *ecdsa.PrivateKey, ed25519.PrivateKey:
			return key, nil
		}
		return nil, fmt.Errorf("it is a %T; it should be an RSA, EC (P-256) or Ed25519 key", key)
	}
	return nil, fmt.Errorf("it is a %s; it should be a key that is not encrypted", block.Type)
}

// SigningKey is the key with which tokens for a server with c can be signed: its secret. A server that has public keys
// alone cannot say.
func (c TokensConfig) SigningKey() (SigningKey, error) {
	secret := []byte(c.Secret)
	switch {
	case c.SecretFile != "":
		data, err := os.ReadFile(c.SecretFile)
		if err != nil {
			return SigningKey{}, fmt.Errorf("auth: read tokens.secret_file: %w", err)
		}
		secret = data
	case c.Secret == "":
		return SigningKey{}, errors.New("auth: no secret to sign with; set tokens.secret or tokens.secret_file, or give the issuer's private key")
	}
	name := ""
	if i := slices.IndexFunc(c.Algorithms, func(a string) bool { return strings.HasPrefix(a, "HS") }); i >= 0 {
		name = c.Algorithms[i]
	}
	return SecretKey(secret, name)
}

// Mint makes a token that says g, signed with k.
func Mint(k SigningKey, g Grant) (string, error) {
	if k.algorithm == nil {
		return "", errors.New("auth: mint token: no key to sign with")
	}
	if err := protocol.CheckUser(string(g.User)); err != nil {
		return "", fmt.Errorf("auth: mint token: %w", err)
	}
	if g.Device != "" {
		if err := protocol.CheckDevice(string(g.Device)); err != nil {
			return "", fmt.Errorf("auth: mint token: %w", err)
		}
	}
	if g.TTL < time.Second {
		return "", fmt.Errorf("auth: mint token: TTL is %v; it should be at least 1s", g.TTL)
	}
	now := time.Now()
	claims := jwt.MapClaims{"sub": string(g.User), "iat": now.Unix(), "exp": now.Add(g.TTL).Unix()}
	if g.Device != "" {
		claims["device"] = string(g.Device)
	}
	if g.Issuer != "" {
		claims["iss"] = g.Issuer
	}
	switch len(g.Audience) {
	case 0:
	case 1:
		claims["aud"] = g.Audience[0]
	default:
		claims["aud"] = g.Audience
	}
	t := jwt.NewWithClaims(k.algorithm.method, claims)
	if k.ID != "" {
		t.Header["kid"] = k.ID
	}
	text, err := t.SignedString(k.key)
	if err != nil {
		return "", fmt.Errorf("auth: mint token: %w", err)
	}
	return text, nil
}
