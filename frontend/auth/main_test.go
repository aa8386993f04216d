package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ramen/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testKey is a key of one algorithm, in both halves.
type testKey struct {
	alg     string
	signing SigningKey
	secret  string // of HMAC
	public  []byte // PEM of the others
	private []byte // PEM of the others
}

var testKeys = sync.OnceValue(func() map[string]testKey {
	keys := make(map[string]testKey)
	for alg, n := range map[string]int{"HS256": 32, "HS384": 48, "HS512": 64} {
		secret := strings.Repeat("k", n-1) + alg[4:5]
		signing, err := SecretKey([]byte(secret), alg)
		must(err)
		keys[alg] = testKey{alg: alg, signing: signing, secret: secret}
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	must(err)
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	must(err)
	for alg, key := range map[string]crypto.Signer{"RS256": rsaKey, "ES256": ecKey, "EdDSA": edKey} {
		keys[alg] = pemKey(alg, key)
	}
	return keys
})

func pemKey(alg string, key crypto.Signer) testKey {
	private, err := x509.MarshalPKCS8PrivateKey(key)
	must(err)
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	must(err)
	k := testKey{
		alg:     alg,
		private: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
		public:  pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}),
	}
	k.signing, err = PrivateKey(k.private)
	must(err)
	return k
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func keyFor(t testing.TB, alg string) testKey {
	t.Helper()
	k, ok := testKeys()[alg]
	if !ok {
		t.Fatalf("there is no test key for %s", alg)
	}
	return k
}

// config is the configuration of a server that takes tokens of k.
func (k testKey) config(t testing.TB) TokensConfig {
	t.Helper()
	cfg := Default().Tokens
	if k.secret != "" {
		cfg.Secret = k.secret
	} else {
		cfg.PublicKeyFile = write(t, filepath.Join(t.TempDir(), "key.pem"), k.public)
	}
	return cfg
}

// open makes Tokens that do not follow their file.
func open(t testing.TB, cfg TokensConfig) *Tokens {
	t.Helper()
	tokens, err := NewTokens(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

func grant() Grant {
	return Grant{User: "u1", Device: "d1", TTL: time.Hour}
}

func mint(t testing.TB, k SigningKey, g Grant) string {
	t.Helper()
	token, err := Mint(k, g)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func write(t testing.TB, path string, data []byte) string {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func oneKey(t testing.TB, s Scope) (*Keys, string) {
	t.Helper()
	key := NewKey()
	file := write(t, filepath.Join(t.TempDir(), "keys.yaml"), []byte(KeyLine("orders", key, s)+"\n"))
	keys, err := NewKeys(KeysConfig{File: file}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return keys, key
}

// refused fails unless err is a *protocol.Error of code whose message has text.
func refused(t testing.TB, err error, code protocol.Code, text string) {
	t.Helper()
	e, ok := err.(*protocol.Error)
	if !ok {
		t.Fatalf("got error %v (%T), want a *protocol.Error %s with %q", err, err, code, text)
	}
	if e.Code != code || !strings.Contains(e.Message, text) {
		t.Fatalf("got %v, want %s with %q", e, code, text)
	}
}
