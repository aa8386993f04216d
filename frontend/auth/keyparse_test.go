package auth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"ramen/internal/testcert"
	"ramen/protocol"
)

// jwk is the JSON Web Key of k's verifying half.
func (k testKey) jwk(t testing.TB, id string, extra ...string) string {
	t.Helper()
	key := jose.JSONWebKey{KeyID: id}
	if k.secret != "" {
		key.Key = []byte(k.secret)
	} else {
		keys, err := parsePEM(k.public)
		if err != nil {
			t.Fatal(err)
		}
		key.Key = keys[0].key
	}
	raw, err := key.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	m := map[string]any{}
	if err := json.Unmarshal(raw, &m); err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(extra); i += 2 {
		m[extra[i]] = extra[i+1]
	}
	raw, _ = json.Marshal(m)
	return string(raw)
}

func jwks(keys ...string) []byte { return []byte(`{"keys":[` + strings.Join(keys, ",") + `]}`) }

func jwksTokens(t *testing.T, keys ...string) (*Tokens, error) {
	cfg := Default().Tokens
	cfg.JWKSFile = write(t, filepath.Join(t.TempDir(), "jwks.json"), jwks(keys...))
	return NewTokens(cfg, nil)
}

func TestJWKSKeysAreChosenByKid(t *testing.T) {
	var all []string
	for alg, k := range testKeys() {
		all = append(all, k.jwk(t, "id-"+alg))
	}
	// What is not for us is passed over.
	all = append(all, `{"kty":"EC","crv":"P-521","x":"AA","y":"AA"}`, `{"kty":"new"}`, `{"kty":"OKP","crv":"X25519","x":"AA"}`,
		`{"kty":"RSA","use":"enc","n":"AA","e":"AQAB"}`, `{"kty":"oct","k":"AA","key_ops":["encrypt"]}`, `{"kty":"RSA","alg":"RSA-OAEP"}`)
	tokens, err := jwksTokens(t, all...)
	if err != nil {
		t.Fatal(err)
	}
	for alg, k := range testKeys() {
		for _, id := range []string{"", "id-" + alg} {
			k.signing.ID = id
			if _, err := tokens.Verify(mint(t, k.signing, grant())); err != nil {
				t.Errorf("%s with kid %q: %v", alg, id, err)
			}
		}
		k.signing.ID = "other"
		_, err := tokens.Verify(mint(t, k.signing, grant()))
		refused(t, err, protocol.CodeUnauthenticated, `token's kid "other" is that of no key for `+alg)
	}
	// The kid of a key of another type chooses nothing.
	k := keyFor(t, "HS256").signing
	k.ID = "id-RS256"
	_, err = tokens.Verify(mint(t, k, grant()))
	refused(t, err, protocol.CodeUnauthenticated, "that of no key for HS256")
}

func TestKeyWithoutKidFitsEveryKid(t *testing.T) {
	tokens, err := jwksTokens(t, keyFor(t, "ES256").jwk(t, ""))
	if err != nil {
		t.Fatal(err)
	}
	k := keyFor(t, "ES256").signing
	k.ID = "any"
	if _, err := tokens.Verify(mint(t, k, grant())); err != nil {
		t.Fatal(err)
	}
}

func TestKeysOfOneKidAreAllTried(t *testing.T) {
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := jwksTokens(t, pemKey("ES256", other).jwk(t, "k"), keyFor(t, "ES256").jwk(t, "k"))
	if err != nil {
		t.Fatal(err)
	}
	k := keyFor(t, "ES256").signing
	k.ID = "k"
	if _, err := tokens.Verify(mint(t, k, grant())); err != nil {
		t.Fatal(err)
	}
}

func TestAlgOfAKeyNarrowsIt(t *testing.T) {
	k := keyFor(t, "HS512")
	tokens, err := jwksTokens(t, k.jwk(t, "k", "alg", "HS512"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tokens.Verify(mint(t, k.signing, grant())); err != nil {
		t.Fatal(err)
	}
	short := SigningKey{algorithm: algorithmNamed("HS256"), key: []byte(k.secret)}
	_, err = tokens.Verify(mint(t, short, grant()))
	refused(t, err, protocol.CodeUnauthenticated, `alg is "HS256"; it should be one of HS512`)
	if _, err := jwksTokens(t, keyFor(t, "RS256").jwk(t, "k", "alg", "HS256")); err == nil || !strings.Contains(err.Error(), `its alg is "HS256", but a key of its type and size is for RS256`) {
		t.Fatal(err)
	}
}

func TestPrivateJWKIsUsedByItsPublicHalf(t *testing.T) {
	k := keyFor(t, "EdDSA")
	raw, err := (&jose.JSONWebKey{Key: k.signing.key}).MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := jwksTokens(t, string(raw))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tokens.Verify(mint(t, k.signing, grant())); err != nil {
		t.Fatal(err)
	}
}

func TestPEMFileMayHaveSeveralKeys(t *testing.T) {
	cert := testcert.SelfSigned("authority").Issue("issuer")
	certKey, err := PrivateKey(cert.KeyPEM)
	if err != nil {
		t.Fatal(err)
	}
	all := "# keys\n" + string(keyFor(t, "RS256").public) + string(keyFor(t, "ES256").public) + "text\n" + string(keyFor(t, "EdDSA").public) + string(cert.CertPEM)
	cfg := Default().Tokens
	cfg.PublicKeyFile = write(t, filepath.Join(t.TempDir(), "keys.pem"), []byte(all))
	tokens := open(t, cfg)
	for _, k := range []SigningKey{keyFor(t, "RS256").signing, keyFor(t, "ES256").signing, keyFor(t, "EdDSA").signing, certKey} {
		if _, err := tokens.Verify(mint(t, k, grant())); err != nil {
			t.Errorf("%s: %v", k.algorithm.name, err)
		}
	}
}

func TestBadKeysAreRefusedWithARemedy(t *testing.T) {
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public := func(key any) string {
		der, err := x509.MarshalPKIXPublicKey(key)
		if err != nil {
			t.Fatal(err)
		}
		return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	}
	for _, c := range []struct{ name, pem, jwks, want string }{
		{"empty", "x", "", "it has no PEM block"},
		{"private", string(keyFor(t, "RS256").private), "", "it has a private key; a server needs only the public key: openssl pkey"},
		{"other block", "-----BEGIN DH PARAMETERS-----\nAAAA\n-----END DH PARAMETERS-----\n", "", `it has a PEM block "DH PARAMETERS"`},
		{"weak RSA", public(&weak.PublicKey), "", "RSA key has 1024 bits; it should have from 2048 to 8192"},
		{"P-384", public(&p384.PublicKey), "", "EC key is on curve P-384; ES256 needs P-256"},
		{"no JSON", "", "x", "it is not a JSON object"},
		{"no keys", "", `{}`, "none of its 0 keys can verify tokens"},
		{"no key for us", "", `{"keys":[{"kty":"new"}]}`, `none of its keys can verify tokens: key 1: its kty is "new"; it should have`},
		{"short oct", "", `{"keys":[{"kty":"oct","k":"AAAA"}]}`, "secret has 3 bytes"},
		{"broken RSA", "", `{"keys":[{"kty":"RSA","n":"!","e":"AQAB","kid":"r"}]}`, `key "r": it is not a valid RSA key`},
		{"other use", "", `{"keys":[{"kty":"RSA","use":"enc","n":"AA","e":"AQAB"}]}`, "none of its 1 keys can verify tokens"},
		{"many", strings.Repeat(string(keyFor(t, "EdDSA").public), 65), "", "key 65: it has over 64 keys"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := Default().Tokens
			path := filepath.Join(t.TempDir(), "file")
			if c.pem != "" {
				cfg.PublicKeyFile = write(t, path, []byte(c.pem))
			} else {
				cfg.JWKSFile = write(t, path, []byte(c.jwks))
			}
			if _, err := NewTokens(cfg, nil); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
				t.Fatalf("got %v, want %s", err, c.want)
			}
		})
	}
}

func TestBase64SecretMustBeBase64(t *testing.T) {
	cfg := Default().Tokens
	cfg.Secret = "base64:" + strings.Repeat("!", 64)
	if _, err := NewTokens(cfg, nil); err == nil || !strings.Contains(err.Error(), "the text after base64: is not valid base64") {
		t.Fatal(err)
	}
	cfg.Secret = "base64:" + base64.StdEncoding.EncodeToString(make([]byte, 31))
	if _, err := NewTokens(cfg, nil); err == nil || !strings.Contains(err.Error(), "secret has 31 bytes") {
		t.Fatal(err)
	}
}

func TestSigningKeysAreChecked(t *testing.T) {
	ec := keyFor(t, "ES256").signing.key.(*ecdsa.PrivateKey)
	sec1, err := x509.MarshalECPrivateKey(ec)
	if err != nil {
		t.Fatal(err)
	}
	text := "-----BEGIN EC PARAMETERS-----\nAAAA\n-----END EC PARAMETERS-----\n" + string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: sec1}))
	if k, err := PrivateKey([]byte(text)); err != nil || k.algorithm.name != "ES256" {
		t.Fatalf("got %+v, %v", k, err)
	}
	pkcs1 := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(keyFor(t, "RS256").signing.key.(*rsa.PrivateKey))})
	if k, err := PrivateKey(pkcs1); err != nil || k.algorithm.name != "RS256" {
		t.Fatalf("got %+v, %v", k, err)
	}
	for _, text := range []string{"", string(keyFor(t, "RS256").public), "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"} {
		if _, err := PrivateKey([]byte(text)); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
	for _, alg := range []string{"RS256", "none", "HS512"} {
		if _, err := SecretKey(make([]byte, 40), alg); err == nil {
			t.Errorf("40 bytes are taken for %s", alg)
		}
	}
}
