package auth

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"ramen/protocol"
)

func TestEveryAlgorithmIsVerified(t *testing.T) {
	for alg := range testKeys() {
		for _, cached := range []int{0, 10} {
			k := keyFor(t, alg)
			cfg := k.config(t)
			cfg.Cache = cached
			tokens := open(t, cfg)
			token := mint(t, k.signing, grant())
			for range 2 { // the second time perhaps from the cache
				c, err := tokens.Verify(token)
				if err != nil || c.User != "u1" || c.Device != "d1" || time.Until(c.Expires) < 59*time.Minute {
					t.Fatalf("%s: got %+v, %v", alg, c, err)
				}
			}
		}
	}
}

// sign makes a token of any header and payload, with a good signature.
func sign(t testing.TB, k SigningKey, header, payload string) string {
	t.Helper()
	return signText(t, k, b64(header)+"."+b64(payload))
}

// signText makes a token of header "." payload as they stand.
func signText(t testing.TB, k SigningKey, signed string) string {
	t.Helper()
	sig, err := k.algorithm.method.Sign(signed, k.key)
	if err != nil {
		t.Fatal(err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(sig)
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

func hs256(t testing.TB, payload string) string {
	return sign(t, keyFor(t, "HS256").signing, `{"alg":"HS256","typ":"JWT"}`, payload)
}

func TestNoAlgorithmPassesForAnother(t *testing.T) {
	payload := fmt.Sprintf(`{"sub":"u1","exp":%d}`, time.Now().Add(time.Hour).Unix())
	pem := keyFor(t, "RS256").public
	for _, server := range []string{"HS256", "HS512", "RS256", "ES256", "EdDSA"} {
		tokens := open(t, keyFor(t, server).config(t))
		for _, alg := range []string{"none", "None", "NONE", "nOnE", ""} {
			header := fmt.Sprintf(`{"alg":%q}`, alg)
			for _, sig := range []string{"", b64("x"), b64(strings.Repeat("\x00", 64))} {
				if _, err := tokens.Verify(b64(header) + "." + b64(payload) + "." + sig); err == nil {
					t.Fatalf("%s: alg %q with signature %q is taken", server, alg, sig)
				}
			}
		}
		for alg, other := range testKeys() {
			if alg == server {
				continue
			}
			// A good signature of another key, under its own name and under the server's.
			for _, name := range []string{alg, server} {
				if _, err := tokens.Verify(sign(t, other.signing, fmt.Sprintf(`{"alg":%q}`, name), payload)); err == nil {
					t.Fatalf("%s takes a token signed with %s that says %s", server, alg, name)
				}
			}
		}
	}
	// The public key as an HMAC secret, as text and as it stands in the file.
	tokens := open(t, keyFor(t, "RS256").config(t))
	for _, secret := range [][]byte{pem, []byte(strings.TrimSpace(string(pem)))} {
		for _, name := range []string{"HS256", "RS256"} {
			k := SigningKey{algorithm: algorithmNamed("HS256"), key: secret}
			_, err := tokens.Verify(sign(t, k, fmt.Sprintf(`{"alg":%q}`, name), payload))
			if err == nil {
				t.Fatalf("a token signed with the public key as a secret passes for %s", name)
			}
		}
	}
	_, err := tokens.Verify(b64(`{"alg":"none"}`) + "." + b64(payload) + ".")
	refused(t, err, protocol.CodeUnauthenticated, `token is not signed (alg "none"); it should be, with one of RS256`)
}

func TestRefusalsSayWhatIsWrong(t *testing.T) {
	k := keyFor(t, "HS256")
	cfg := k.config(t)
	cfg.Audience, cfg.Issuer = []string{"ramen", "push"}, "me"
	tokens := open(t, cfg)
	exp := time.Now().Add(time.Hour).Unix()
	good := fmt.Sprintf(`{"sub":"u1","exp":%d,"iss":"me","aud":["x","push"]}`, exp)
	if _, err := tokens.Verify(hs256(t, good)); err != nil {
		t.Fatal(err)
	}
	with := func(claims string) string {
		return hs256(t, fmt.Sprintf(`{"iss":"me","aud":"ramen",%s}`, claims))
	}
	sound := fmt.Sprintf(`"sub":"u1","exp":%d`, exp)
	parts := strings.Split(hs256(t, good), ".")
	for _, c := range []struct{ name, token, want string }{
		{"empty", "", "token is missing"},
		{"long", strings.Repeat("a", maxToken+1), "token has 8193 bytes; it should have at most 8192"},
		{"two parts", "a.b", "token has 2 parts; a signed JWT has 3"},
		{"five parts", "a.b.c.d.e", "token has 5 parts"},
		{"header padded", parts[0] + "=." + parts[1] + "." + parts[2], "token header is not valid unpadded base64url"},
		{"header no JSON", b64("x") + "." + parts[1] + "." + parts[2], "token header is not a JSON object with alg and kid as strings"},
		{"header twice", b64(`{"alg":"HS256","alg":"none"}`) + "." + parts[1] + "." + parts[2], "token header is not a JSON object with alg and kid as strings"},
		{"other case", b64(`{"ALG":"HS256"}`) + "." + parts[1] + "." + parts[2], "header has no alg"},
		{"crit", sign(t, k.signing, `{"alg":"HS256","crit":["b64"],"b64":false}`, good), "header has crit"},
		{"other alg", b64(`{"alg":"PS256"}`) + "." + parts[1] + "." + parts[2], `alg is "PS256"; it should be one of HS256`},
		{"signature no base64", parts[0] + "." + parts[1] + ".!", "token signature is not valid unpadded base64url"},
		{"signature empty", parts[0] + "." + parts[1] + ".", "signature does not fit any key for HS256"},
		{"payload padded", signText(t, k.signing, parts[0]+"."+parts[1]+"="), "token payload is not valid unpadded base64url"},
		{"other payload", parts[0] + "." + b64(`{"sub":"u2"}`) + "." + parts[2], "signature does not fit any key for HS256"},
		{"payload no JSON", hs256(t, "x"), "token payload is not a JSON object"},
		{"payload a list", hs256(t, "[]"), "token payload is not a JSON object"},
		{"sub twice", with(sound + `,"sub":"u2"`), "token payload is not a JSON object, or has a name twice"},
		{"no exp", with(`"sub":"u1"`), "token has no exp"},
		{"exp text", with(`"sub":"u1","exp":"9999999999"`), "token's exp is a string; it should be a number"},
		{"exp null", with(`"sub":"u1","exp":null`), "token's exp is a null; it should be a number"},
		{"expired", with(`"sub":"u1","exp":1700000000.5`), "token expired at 2023-11-14T22:13:20Z"},
		{"expired long ago", with(`"sub":"u1","exp":-2e11`), "token expired at"},
		{"exp in ms", with(fmt.Sprintf(`"sub":"u1","exp":%d`, exp*1000)), "token's exp is a number beyond the year 9999; it should be in seconds since 1970"},
		{"exp infinite", with(`"sub":"u1","exp":1e400`), "token's exp is a number beyond the year 9999"},
		{"not yet", with(sound + fmt.Sprintf(`,"nbf":%d`, exp)), "token is not valid before"},
		{"no sub", with(fmt.Sprintf(`"exp":%d`, exp)), "token has no sub; it should be the user"},
		{"sub empty", with(fmt.Sprintf(`"sub":"","exp":%d`, exp)), "token's sub is not a user id"},
		{"sub number", with(fmt.Sprintf(`"sub":1,"exp":%d`, exp)), "token's sub is a number; it should be a string"},
		{"sub with a space", with(fmt.Sprintf(`"sub":"a b","exp":%d`, exp)), "token's sub is not a user id"},
		{"device empty", with(sound + `,"device":""`), "token's device is not a device id"},
		{"device list", with(sound + `,"device":["d1"]`), "token's device is a list; it should be a string"},
		{"no iss", hs256(t, `{"aud":"ramen",`+sound+`}`), `token has no iss; it should be "me"`},
		{"other iss", hs256(t, `{"iss":"you","aud":"ramen",`+sound+`}`), `token's iss is "you"; it should be "me"`},
		{"no aud", hs256(t, `{"iss":"me",`+sound+`}`), `token has no aud; it should be one of ["ramen" "push"]`},
		{"other aud", hs256(t, `{"iss":"me","aud":["x","y"],`+sound+`}`), `token's aud is "x"; it should be one of`},
		{"aud number", hs256(t, `{"iss":"me","aud":[1],`+sound+`}`), "token's aud is a number; it should be a string or a list of strings"},
		{"other key", mint(t, mustSecret(t, strings.Repeat("z", 32)), grant()), "signature does not fit any key for HS256"},
	} {
		t.Run(c.name, func(t *testing.T) {
			claims, err := tokens.Verify(c.token)
			refused(t, err, protocol.CodeUnauthenticated, c.want)
			if claims != (Claims{}) {
				t.Fatalf("claims come with the error: %+v", claims)
			}
			for _, secret := range append(strings.Split(c.token, "."), k.secret) {
				if len(secret) > 8 && strings.Contains(err.Error(), secret) {
					t.Fatalf("%v has %s in it", err, secret)
				}
			}
		})
	}
}

func mustSecret(t testing.TB, secret string) SigningKey {
	t.Helper()
	k, err := SecretKey([]byte(secret), "")
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestExpiryIsJudgedAtEveryCall(t *testing.T) {
	for _, alg := range []string{"HS256", "EdDSA"} { // EdDSA comes from the cache
		k := keyFor(t, alg)
		cfg := k.config(t)
		cfg.Leeway = 5 * time.Second
		synctest.Test(t, func(t *testing.T) {
			tokens := open(t, cfg)
			token := mint(t, k.signing, Grant{User: "u", TTL: time.Minute})
			c, err := tokens.Verify(token)
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Until(c.Expires) - time.Nanosecond)
			if _, err := tokens.Verify(token); err != nil {
				t.Fatalf("%s: refused before its time: %v", alg, err)
			}
			time.Sleep(time.Nanosecond)
			_, err = tokens.Verify(token)
			refused(t, err, protocol.CodeUnauthenticated, "5s ago; get a new one")
		})
	}
}

func TestNeverMayBeTheYear9999(t *testing.T) {
	tokens := open(t, keyFor(t, "HS256").config(t))
	if _, err := tokens.Verify(hs256(t, `{"sub":"u","exp":253402300799}`)); err != nil {
		t.Fatal(err)
	}
}

func TestLeewayShiftsNotBefore(t *testing.T) {
	k := keyFor(t, "HS256")
	cfg := k.config(t)
	synctest.Test(t, func(t *testing.T) {
		tokens := open(t, cfg)
		nbf := time.Now().Add(10 * time.Second)
		token := hs256(t, fmt.Sprintf(`{"sub":"u","exp":%d,"nbf":%d}`, nbf.Unix()+100, nbf.Unix()))
		_, err := tokens.Verify(token)
		refused(t, err, protocol.CodeUnauthenticated, "token is not valid before "+nbf.UTC().Format(time.RFC3339))
		time.Sleep(10*time.Second - cfg.Leeway)
		if _, err := tokens.Verify(token); err != nil {
			t.Fatal(err)
		}
	})
}

func TestShortSecretsAreRefused(t *testing.T) {
	for _, c := range []struct {
		bytes int
		algs  []string
		want  string
	}{
		{31, nil, "secret has 31 bytes; it should be random and have at least 32 for HS256, 48 for HS384, 64 for HS512"},
		{47, []string{"HS384"}, "secret has 47 bytes; HS384 needs at least 48"},
		{63, []string{"HS256", "HS512"}, "secret has 63 bytes; HS512 needs at least 64"},
		{64, []string{"RS256"}, "it has no key for RS256"},
		{64, []string{"HS256", "RS256"}, "it has no key for RS256 of tokens.algorithms; its keys are for HS256"},
	} {
		cfg := Default().Tokens
		cfg.Secret, cfg.Algorithms = strings.Repeat("s", c.bytes), c.algs
		_, err := NewTokens(cfg, nil)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), cfg.Secret) {
			t.Errorf("%d bytes, %v: got %v", c.bytes, c.algs, err)
		}
	}
	// One of 40 bytes is for HS256 alone.
	cfg := Default().Tokens
	cfg.Secret = strings.Repeat("s", 40)
	k := SigningKey{algorithm: algorithmNamed("HS512"), key: []byte(cfg.Secret)}
	_, err := open(t, cfg).Verify(mint(t, k, grant()))
	refused(t, err, protocol.CodeUnauthenticated, `alg is "HS512"; it should be one of HS256`)
}

func TestOperatorNarrowsAlgorithms(t *testing.T) {
	cfg := keyFor(t, "HS512").config(t)
	cfg.Algorithms = []string{"HS512"}
	tokens := open(t, cfg)
	if _, err := tokens.Verify(mint(t, keyFor(t, "HS512").signing, grant())); err != nil {
		t.Fatal(err)
	}
	k := SigningKey{algorithm: algorithmNamed("HS256"), key: []byte(cfg.Secret)}
	_, err := tokens.Verify(mint(t, k, grant()))
	refused(t, err, protocol.CodeUnauthenticated, `alg is "HS256"; it should be one of HS512`)
}

func TestConfigSaysWhatToSet(t *testing.T) {
	for _, c := range []struct {
		change func(*Config)
		want   string
	}{
		{func(c *Config) { c.Tokens.Secret, c.Tokens.JWKSFile = "a", "b" }, "several sources of keys: secret, jwks_file; set only one of them"},
		{func(c *Config) { c.Tokens.Algorithms = []string{"none"} }, `tokens.algorithms has "none"; use some of HS256, HS384, HS512, RS256, ES256, EdDSA`},
		{func(c *Config) { c.Tokens.Leeway = -1 }, "tokens.leeway is -1ns; it should be from 0 to 10m0s"},
		{func(c *Config) { c.Tokens.Cache = -1 }, "tokens.cache is -1"},
		{func(c *Config) { c.Tokens.Audience = []string{""} }, "tokens.audience has an empty name"},
		{func(c *Config) { c.ReloadInterval = 0 }, "reload_interval is 0s; it should be from 100ms to 1h0m0s"},
	} {
		cfg := Default()
		c.change(&cfg)
		if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
	cfg := Default()
	if err := cfg.Validate(); err != nil || cfg.Configured() {
		t.Fatalf("the default is configured, or wrong: %v", err)
	}
	cfg.Tokens.Secret, cfg.Keys.File = "x", "y"
	if !cfg.Configured() {
		t.Fatal("it is not configured")
	}
	if _, err := NewTokens(Default().Tokens, nil); err == nil || !strings.Contains(err.Error(), "set one of tokens.secret, ") {
		t.Fatal(err)
	}
	if _, err := NewKeys(KeysConfig{}, nil); err == nil || !strings.Contains(err.Error(), "set keys.file") {
		t.Fatal(err)
	}
}

func TestCacheIsBounded(t *testing.T) {
	c := newCache(10)
	for i := range 1000 {
		f := fingerprint{byte(i), byte(i >> 8)}
		c.put(&f, remembered{claims: Claims{User: protocol.UserID(fmt.Sprint(i))}})
		if c.len() > 10 {
			t.Fatalf("there are %d after %d", c.len(), i)
		}
		if r, ok := c.get(&f); !ok || r.claims.User != protocol.UserID(fmt.Sprint(i)) {
			t.Fatalf("%d is gone", i)
		}
	}
	if f := (fingerprint{}); c.has(&f) {
		t.Fatal("the first is still there")
	}
}

func (c *cache) has(f *fingerprint) bool {
	_, ok := c.get(f)
	return ok
}

func TestMintedTokensSayWhatWasGranted(t *testing.T) {
	k := keyFor(t, "ES256").signing
	k.ID = "k7"
	token := mint(t, k, Grant{User: "u", Device: "d", TTL: time.Hour, Audience: []string{"a", "b"}, Issuer: "i"})
	claims := jwt.MapClaims{}
	parsed, _, err := jwt.NewParser().ParseUnverified(token, claims)
	if err != nil {
		t.Fatal(err)
	}
	aud, _ := claims.GetAudience()
	if parsed.Header["kid"] != "k7" || claims["sub"] != "u" || claims["device"] != "d" || claims["iss"] != "i" || strings.Join(aud, " ") != "a b" || claims["iat"] == nil {
		t.Fatalf("got %v %v", parsed.Header, claims)
	}
	for _, g := range []Grant{{TTL: time.Hour}, {User: "u"}, {User: "a b", TTL: time.Hour}, {User: "u", Device: "\n", TTL: time.Hour}} {
		if token, err := Mint(k, g); err == nil {
			t.Errorf("%+v made %s", g, token)
		}
	}
	if _, err := Mint(SigningKey{}, grant()); err == nil {
		t.Error("no key made a token")
	}
}

func TestServersSecretSignsItsTokens(t *testing.T) {
	cfg := Default().Tokens
	cfg.SecretFile = write(t, t.TempDir()+"/secret", []byte("base64:"+base64.StdEncoding.EncodeToString(make([]byte, 64))+"\r\n"))
	cfg.Algorithms = []string{"HS512"}
	k, err := cfg.SigningKey()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, cfg).Verify(mint(t, k, grant())); err != nil {
		t.Fatal(err)
	}
	if _, err := keyFor(t, "RS256").config(t).SigningKey(); err == nil || !strings.Contains(err.Error(), "private key") {
		t.Fatal(err)
	}
}

// FuzzVerify never panics, and takes nothing that golang-jwt's own parser does not take.
func FuzzVerify(f *testing.F) {
	exp := time.Now().Add(24 * time.Hour).Unix()
	f.Add(`{"alg":"HS256"}`, fmt.Sprintf(`{"sub":"u","exp":%d}`, exp), "")
	f.Add(`{"alg":"none"}`, `{"sub":"u"}`, ".")
	f.Add(`{"alg":"HS256","kid":"x"}`, `{"sub":"u","exp":1e400,"nbf":-1e400,"aud":[]}`, "x")
	f.Add(`{"alg":"HS512","crit":null}`, `{"sub":"u","exp":{}}`, "..")
	f.Add("\xff", `{"aud":[{"a":1}],"device":"`+"\\u0000"+`"}`, "a.b.c")
	tokens := open(f, keyFor(f, "HS256").config(f))
	k := keyFor(f, "HS256")
	parser := jwt.NewParser(jwt.WithValidMethods([]string{"HS256"}), jwt.WithExpirationRequired(), jwt.WithLeeway(5*time.Second))
	f.Fuzz(func(t *testing.T, header, payload, tail string) {
		for _, token := range []string{tail, sign(t, k.signing, header, payload), b64(header) + "." + b64(payload) + "." + tail} {
			c, err := tokens.Verify(token)
			if _, ok := err.(*protocol.Error); err != nil && !ok {
				t.Fatalf("error is a %T: %v", err, err)
			}
			if err != nil {
				continue
			}
			claims := jwt.MapClaims{}
			if _, err := parser.ParseWithClaims(token, claims, func(*jwt.Token) (any, error) { return []byte(k.secret), nil }); err != nil {
				t.Fatalf("golang-jwt refuses %q %q: %v", header, payload, err)
			}
			if claims["sub"] != string(c.User) {
				t.Fatalf("user is %q, golang-jwt has %q", c.User, claims["sub"])
			}
		}
	})
}
