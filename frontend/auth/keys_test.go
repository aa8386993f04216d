package auth

import (
	"path/filepath"
	"strings"
	"testing"

	"ramen/protocol"
)

func TestKeysAllowTheirScopes(t *testing.T) {
	publisher, reader, both := NewKey(), NewKey(), NewKey()
	file := write(t, filepath.Join(t.TempDir(), "keys.yaml"), []byte(strings.Join([]string{
		"# backends", KeyLine("orders", publisher, ScopePublish), KeyLine("support: \"desk\"", reader, ScopeRead),
		"- name: all\n  sha256: " + strings.ToUpper(HashKey(both)) + "\n  scopes: [read, publish]",
	}, "\n")))
	keys, err := NewKeys(KeysConfig{File: file}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		key, name string
		may       Scope
	}{{publisher, "orders", ScopePublish}, {reader, `support: "desk"`, ScopeRead}, {both, "all", ScopePublish | ScopeRead}} {
		for _, s := range []Scope{ScopePublish, ScopeRead} {
			name, err := keys.Name("bearer  "+c.key+" ", s)
			if name != c.name {
				t.Errorf("name is %q, want %q", name, c.name)
			}
			if c.may&s != 0 && err != nil {
				t.Errorf("%s, %s: %v", c.name, s, err)
			}
			if c.may&s == 0 {
				refused(t, err, protocol.CodePermissionDenied, "this call needs: "+s.String())
			}
		}
	}
}

func TestStrangersGetUnauthenticated(t *testing.T) {
	keys, key := oneKey(t, ScopePublish)
	for header, want := range map[string]string{
		"":                                   "API key is missing; send Authorization: Bearer KEY",
		"Basic " + key:                       "Authorization has another scheme; it should be: Bearer KEY",
		key:                                  "Authorization has another scheme",
		"Bearer ":                            "the key has 0 bytes",
		"Bearer " + strings.Repeat("k", 600): "the key has 600 bytes",
		"Bearer " + NewKey():                 "this key is not known",
		"Bearer " + key + "x":                "this key is not known",
		"Bearer " + HashKey(key):             "this key is not known",
	} {
		err := keys.Check(header, ScopePublish)
		refused(t, err, protocol.CodeUnauthenticated, want)
		if strings.Contains(err.Error(), key) {
			t.Errorf("%v has the key in it", err)
		}
	}
}

func TestNewKeysDiffer(t *testing.T) {
	a, b := NewKey(), NewKey()
	if a == b || !strings.HasPrefix(a, "rk_") || len(a) != 46 {
		t.Fatalf("got %s and %s", a, b)
	}
}

func TestKeyFilesAreCheckedByLine(t *testing.T) {
	hash := HashKey("x")
	for _, c := range []struct{ text, want string }{
		{"", "it has no key"},
		{"a: b", "line 1: it should be a list"},
		{"[]", "line 1: it should be a list"},
		{"- a", "line 1: it should have name, sha256 and scopes"},
		{"a: [", "invalid YAML"},
		{"- name: a\n  sha265: x", `line 2: unknown key "sha265"; use name, sha256 and scopes`},
		{"- {name: a, scopes: [publish]}", `line 1: sha256 of "a" should be 64 hex digits`},
		{"- {name: a, scopes: [publish], sha256: rk_secret}", "is the key itself"},
		{"- {name: a, scopes: [publish], sha256: " + hash + "00}", "should be 64 hex digits"},
		{"- {name: a, sha256: " + hash + "}", "it should have a name, and scopes out of publish, read and operate"},
		{"- {scopes: [read], sha256: " + hash + "}", "it should have a name, and scopes"},
		{"- {name: a, scopes: [], sha256: " + hash + "}", "it should have a name, and scopes"},
		{"- {name: a, scopes: [write], sha256: " + hash + "}", `line 1: scopes: unknown scope "write"; use publish, read and operate`},
		{"- {name: a, scopes: {b: c}, sha256: " + hash + "}", "it should be a list out of publish, read and operate"},
		{"- {name: a, scopes: [read], sha256: " + hash + "}\n- {name: b, scopes: [read], sha256: " + hash + "}", `line 2: "b" has the same name or key as "a" above`},
		{strings.Repeat("- a\n", maxBackends+1), "it has 257 keys; it should have at most 256"},
	} {
		file := write(t, filepath.Join(t.TempDir(), "keys.yaml"), []byte(c.text))
		_, err := NewKeys(KeysConfig{File: file}, nil)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), file) || strings.Contains(err.Error(), "rk_secret") {
			t.Errorf("%q: got %v, want %s", c.text, err, c.want)
		}
	}
}

func TestKeysFollowTheirFile(t *testing.T) {
	w, _ := testWatcher(t)
	one, two := NewKey(), NewKey()
	file := write(t, filepath.Join(t.TempDir(), "keys.yaml"), []byte(KeyLine("a", one, ScopeRead)))
	keys, err := NewKeys(KeysConfig{File: file}, w)
	if err != nil {
		t.Fatal(err)
	}
	write(t, file, []byte("- {name: broken"))
	if err := w.Check(); err == nil {
		t.Fatal("a broken file is taken")
	}
	if err := keys.Check("Bearer "+one, ScopeRead); err != nil {
		t.Fatal(err)
	}
	write(t, file, []byte(KeyLine("a", two, ScopeRead)))
	if err := w.Check(); err != nil {
		t.Fatal(err)
	}
	if err := keys.Check("Bearer "+two, ScopeRead); err != nil {
		t.Fatal(err)
	}
	refused(t, keys.Check("Bearer "+one, ScopeRead), protocol.CodeUnauthenticated, "this key is not known")
}

func FuzzKeyFile(f *testing.F) {
	for _, text := range []string{"", "- {name: a, sha256: x, scopes: [read]}", "- &a [*a]", "- ? a\n  : b", "\x00", "---\n---\n- a", "- {name: {}, scopes: [[]]}"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		entries, err := parseKeys(data)
		if err == nil && len(entries) == 0 {
			t.Fatal("no key and no error")
		}
	})
}

func FuzzMaterial(f *testing.F) {
	f.Add(keyFor(f, "ES256").public)
	f.Add(jwks(keyFor(f, "EdDSA").jwk(f, "k")))
	f.Add([]byte(`{"keys":[{"kty":"EC","crv":"P-256"},{"kty":"OKP","crv":"Ed25519","x":""},{"kty":"oct"},null]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, parse := range []func([]byte) ([]sourceKey, error){parseSecret, parsePEM, parseJWKS} {
			if keys, err := parse(data); err == nil {
				newKeyring(keys, nil, 0)
			}
		}
	})
}

func TestFix22HashOfAnEmptyKeyIsRefused(t *testing.T) {
	for _, key := range []string{"", "\n"} {
		text := "# keys\n" + KeyLine("orders", key, ScopeRead) + "\n"
		if _, err := parseKeys([]byte(text)); err == nil || !strings.Contains(err.Error(), `line 2: sha256 of "orders" is the hash of an empty key`) {
			t.Errorf("%q: %v", key, err)
		}
	}
}
