package auth

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Config says how devices and backends prove who they are.
type Config struct {
	Tokens         TokensConfig  `yaml:"tokens" doc:"Tokens of devices (JWT). Set exactly one of secret, secret_file, public_key_file and jwks_file."`
	Keys           KeysConfig    `yaml:"keys" doc:"API keys of backends."`
	ReloadInterval time.Duration `yaml:"reload_interval" doc:"How often key and certificate files are checked for changes, in addition to the file system's notifications. From 100ms to 1h."`
}

// TokensConfig says which tokens of devices are taken.
type TokensConfig struct {
	Secret        string        `yaml:"secret" secret:"true" doc:"Secret shared with the issuer of the tokens (HS256: at least 32 bytes, HS384: 48, HS512: 64). After the prefix base64: it is base64."`
	SecretFile    string        `yaml:"secret_file" doc:"File with the secret. One line end at the end of the file is ignored."`
	PublicKeyFile string        `yaml:"public_key_file" doc:"PEM file with one or more public keys or certificates of the issuer (RS256, ES256, EdDSA)."`
	JWKSFile      string        `yaml:"jwks_file" doc:"File with the JSON Web Key Set of the issuer. Tokens choose a key by kid. A key that is malformed or of an unsupported kind is skipped with a warning."`
	Algorithms    []string      `yaml:"algorithms" doc:"Algorithms that are accepted, out of HS256, HS384, HS512, RS256, ES256 and EdDSA. Empty: all that fit the keys."`
	Audience      []string      `yaml:"audience" doc:"A token must have one of these in aud. Empty: aud is not checked."`
	Issuer        string        `yaml:"issuer" doc:"A token must have this iss. Empty: iss is not checked."`
	Leeway        time.Duration `yaml:"leeway" doc:"Clock difference to the issuer that is tolerated: a token is valid for this long after its exp and before its nbf. At most 10m. 0: none."`
	Cache         int           `yaml:"cache" doc:"How many verified tokens are remembered (about 200 bytes each), so that reconnects and acks do not verify a signature again. 0: none. Tokens signed with a secret are not remembered, since verifying them costs as little."`
	Cookie        string        `yaml:"cookie" doc:"Name of a cookie that may have the token of a page, such as __Host-ramen, so that it is in no URL: URLs end up in logs and histories (RFC 9700 4.3.2). Accepted from pages whose origin is named in frontend.origins and from the gateway's own, never by * or null; a token in the header or the query wins. The login must set it HttpOnly, Secure and SameSite=Strict (None where page and gateway are of different sites). Empty: cookies are ignored."`
}

// KeysConfig says where the keys of backends are.
type KeysConfig struct {
	File string `yaml:"file" doc:"YAML file with a list of entries, each with name, sha256 (of the key, in hex) and scopes (publish, read, operate). The command \"ramen token --backend\" makes entries."`
}

const (
	maxLeeway         = 10 * time.Minute
	maxCache          = 1 << 20
	minReloadInterval = 100 * time.Millisecond
	maxReloadInterval = time.Hour
)

// Default is a configuration without keys.
func Default() Config {
	return Config{
		Tokens:         TokensConfig{Cache: 20_000},
		ReloadInterval: 10 * time.Second,
	}
}

// Configured reports whether both devices and backends can be told apart from strangers.
func (c Config) Configured() bool { return c.Tokens.Configured() && c.Keys.Configured() }

// Validate says what is wrong with c, and what would be right. A configuration without keys is fine to it.
func (c Config) Validate() error {
	if c.ReloadInterval < minReloadInterval || c.ReloadInterval > maxReloadInterval {
		return fmt.Errorf("auth: reload_interval is %v; it should be from %v to %v", c.ReloadInterval, minReloadInterval, maxReloadInterval)
	}
	return c.Tokens.Validate()
}

// Configured reports whether there is a source of keys.
func (c TokensConfig) Configured() bool { return len(c.sources()) > 0 }

// Validate says what is wrong with c, and what would be right.
func (c TokensConfig) Validate() error {
	if s := c.sources(); len(s) > 1 {
		return fmt.Errorf("auth: tokens has several sources of keys: %s; set only one of them", strings.Join(s, ", "))
	}
	for _, a := range c.Algorithms {
		if algorithmNamed(a) == nil {
			return fmt.Errorf("auth: tokens.algorithms has %q; use some of %s", a, strings.Join(algorithmNames(), ", "))
		}
	}
	if slices.Contains(c.Audience, "") {
		return errors.New("auth: tokens.audience has an empty name; leave the list empty to accept every audience")
	}
	if c.Cookie != "" && !c.Configured() {
		return errors.New("auth: tokens.cookie is set, but no source of keys that verify the token in it; set secret_file, public_key_file or jwks_file")
	}
	if !validCookieName(c.Cookie) {
		return fmt.Errorf("auth: tokens.cookie is %q; it should be letters, digits and any of %s, such as __Host-ramen", c.Cookie, cookieNameMarks)
	}
	if c.Leeway < 0 || c.Leeway > maxLeeway {
		return fmt.Errorf("auth: tokens.leeway is %v; it should be from 0 to %v", c.Leeway, maxLeeway)
	}
	if c.Cache < 0 || c.Cache > maxCache {
		return fmt.Errorf("auth: tokens.cache is %d; it should be from 0 to %d", c.Cache, maxCache)
	}
	return nil
}

// cookieNameMarks may stand in a cookie's name beside letters and digits. RFC 6265 4.1.1, RFC 9110 5.6.2.
const cookieNameMarks = "!#$%&'*+-.^_`|~"

// validCookieName reports whether a browser takes a cookie of that name. None at all is fine, too.
func validCookieName(name string) bool {
	return strings.IndexFunc(name, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && !strings.ContainsRune(cookieNameMarks, r)
	}) < 0
}

// sources names the sources of keys that are set.
func (c TokensConfig) sources() []string {
	var set []string
	for _, s := range [...]struct{ name, value string }{
		{"secret", c.Secret}, {"secret_file", c.SecretFile}, {"public_key_file", c.PublicKeyFile}, {"jwks_file", c.JWKSFile},
	} {
		if s.value != "" {
			set = append(set, s.name)
		}
	}
	return set
}

// Configured reports whether there is a file of keys.
func (c KeysConfig) Configured() bool { return c.File != "" }
