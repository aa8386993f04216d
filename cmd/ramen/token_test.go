package main

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
	"testing"

	"ramen/frontend/auth"
)

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// verify has the server's part look at a token.
func verify(t *testing.T, cfg auth.TokensConfig, token string) auth.Claims {
	t.Helper()
	tokens, err := auth.NewTokens(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	claims, err := tokens.Verify(strings.TrimSpace(token))
	if err != nil {
		t.Fatal(err)
	}
	return claims
}

func TestTokenWithASecret(t *testing.T) {
	secret := write(t, filepath.Join(t.TempDir(), "secret"), strings.Repeat("0123456789", 7)+"\n")
	for _, algorithm := range []string{"", "HS256", "HS384", "HS512"} {
		out := good(t, "", "token", "--user", "alice", "--device", "phone", "--secret-file", secret, "--algorithm", algorithm, "--issuer", "me", "--audience", "you,they")
		claims := verify(t, auth.TokensConfig{SecretFile: secret, Issuer: "me", Audience: []string{"they"}}, out)
		if claims.User != "alice" || claims.Device != "phone" {
			t.Errorf("%s: %+v", algorithm, claims)
		}
	}
	out := good(t, "", "token", "--user", "alice", "--secret", strings.Repeat("x", 32))
	if claims := verify(t, auth.TokensConfig{Secret: strings.Repeat("x", 32)}, out); claims.User != "alice" || claims.Device != "" {
		t.Errorf("%+v", claims)
	}
}

func TestTokenWithAPrivateKey(t *testing.T) {
	_, ed, err1 := ed25519.GenerateKey(rand.Reader)
	ec, err2 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	rs, err3 := rsa.GenerateKey(rand.Reader, 2048)
	for _, err := range []error{err1, err2, err3} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, key := range map[string]crypto.Signer{"EdDSA": ed, "ES256": ec, "RS256": rs} {
		private, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		public, err := x509.MarshalPKIXPublicKey(key.Public())
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		a := write(t, filepath.Join(dir, "private.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
		b := write(t, filepath.Join(dir, "public.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})))
		out := good(t, "", "token", "--user", "alice", "--key-file", a)
		if claims := verify(t, auth.TokensConfig{PublicKeyFile: b, Algorithms: []string{name}}, out); claims.User != "alice" {
			t.Errorf("%s: %+v", name, claims)
		}
	}
}

// TestTokenByTheServersConfiguration needs to be told nothing twice.
func TestTokenByTheServersConfiguration(t *testing.T) {
	dir := t.TempDir()
	secret := write(t, filepath.Join(dir, "secret"), strings.Repeat("s", 48))
	keys := filepath.Join(dir, "keys.yaml")
	good(t, "", "token", "--backend", "any", "--keys-file", keys)
	file := write(t, filepath.Join(dir, "ramen.yaml"), "auth:\n  tokens:\n    secret_file: "+secret+
		"\n    issuer: me\n    audience: [you]\n    algorithms: [HS384]\n  keys:\n    file: "+keys+"\n")
	out := good(t, "", "token", "--user", "alice", "--config", file)
	verify(t, auth.TokensConfig{SecretFile: secret, Issuer: "me", Audience: []string{"you"}, Algorithms: []string{"HS384"}}, out)
}

func TestTokenRefuses(t *testing.T) {
	short := write(t, filepath.Join(t.TempDir(), "short"), "short")
	bad(t, "", []string{"token"}, "--user is missing")
	bad(t, "", []string{"token", "--user", "alice"}, "no key to sign with", "--secret-file")
	bad(t, "", []string{"token", "--user", "al ice", "--secret", "x"}, "--user", "U+0020")
	bad(t, "", []string{"token", "--user", "alice", "--device", "a b", "--secret", "x"}, "--device", "U+0020")
	bad(t, "", []string{"token", "--user", "alice", "--secret-file", short}, "32")
	bad(t, "", []string{"token", "--user", "alice", "--secret-file", "/nowhere"}, "/nowhere")
	bad(t, "", []string{"token", "--user", "alice", "--key-file", short}, "no private key")
	bad(t, "", []string{"token", "--user", "alice", "--secret-file", short, "--key-file", short}, "key-file", "secret-file")
	bad(t, "", []string{"token", "--user", "alice", "--key-file", short, "--algorithm", "HS256"}, "--algorithm")
	bad(t, "", []string{"token", "--backend", "b", "--scopes", "write"}, `"write"`, "publish, read and operate")
	bad(t, "", []string{"token", "--backend", "b", "--user", "alice"}, "backend", "user")
}

// TestAPIKeysAreAddedToTheirFile: the server takes what the command wrote.
func TestAPIKeysAreAddedToTheirFile(t *testing.T) {
	file := write(t, filepath.Join(t.TempDir(), "keys.yaml"), "# keys of backends") // without a line end
	all := make(map[string]auth.Scope)
	for name, scopes := range map[string]string{"dispatch": "publish", "console": "read", "both": "publish, read", "operator": "read, operate"} {
		key := strings.TrimSpace(good(t, "", "token", "--backend", name, "--scopes", scopes, "--keys-file", file))
		all[key] = 0
		if strings.Contains(scopes, "publish") {
			all[key] |= auth.ScopePublish
		}
		if strings.Contains(scopes, "read") {
			all[key] |= auth.ScopeRead
		}
		if strings.Contains(scopes, "operate") {
			all[key] |= auth.ScopeOperate
		}
	}
	keys, err := auth.NewKeys(auth.KeysConfig{File: file}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for key, has := range all {
		for _, scope := range []auth.Scope{auth.ScopePublish, auth.ScopeRead, auth.ScopeOperate} {
			if err := keys.Check("Bearer "+key, scope); (err == nil) != (has&scope != 0) {
				t.Errorf("a key with %v, asked for %v: %v", has, scope, err)
			}
		}
	}
	bad(t, "", []string{"token", "--backend", "dispatch", "--keys-file", file}, "dispatch") // the name is taken
	if _, err := auth.NewKeys(auth.KeysConfig{File: file}, nil); err != nil {
		t.Errorf("a refused key spoils the file: %v", err)
	}

	out, errOut, status := command(t, "", "token", "--backend", "b")
	if status != 0 || strings.Count(out, "\n") != 1 || !strings.Contains(errOut, "sha256") || strings.Contains(errOut, strings.TrimSpace(out)) {
		t.Errorf("exit status %d, %q, %q", status, out, errOut)
	}
}
