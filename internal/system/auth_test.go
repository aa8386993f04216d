package system

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"ramen/internal/app"
	"ramen/protocol"
)

const secret = "a secret of thirty-two bytes, at least"

// keysConfig is a server with authentication, whose three keys may publish, read, and both.
func keysConfig(t *testing.T) app.Config {
	cfg := testConfig(t, memory)
	cfg.Dev = false
	cfg.Auth.Tokens.Secret = secret
	cfg.Auth.Tokens.Audience = []string{"ramen"}
	cfg.Auth.Tokens.Issuer = "accounts"
	cfg.Auth.Tokens.Leeway = 0
	cfg.Auth.Keys.File = filepath.Join(t.TempDir(), "keys.yaml")
	cfg.Auth.ReloadInterval = 100 * time.Millisecond
	writeKeys(t, cfg.Auth.Keys.File, map[string]string{"publisher": "publish", "reader": "read", "both": "publish, read"})
	return cfg
}

// writeKeys makes each name a key with the scopes.
func writeKeys(t *testing.T, path string, scopes map[string]string) {
	t.Helper()
	text := ""
	for key, of := range scopes {
		sum := sha256.Sum256([]byte(key))
		text += fmt.Sprintf("- name: %s\n  sha256: %s\n  scopes: [%s]\n", key, hex.EncodeToString(sum[:]), of)
	}
	writeFile(t, path, text)
}

// writeFile replaces a file, as an operator's tools do.
func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// token is a good one, but for what claims say.
func token(t *testing.T, user string, life time.Duration, claims jwt.MapClaims) string {
	t.Helper()
	all := jwt.MapClaims{"sub": user, "exp": time.Now().Add(life).Unix(), "aud": "ramen", "iss": "accounts"}
	for k, v := range claims {
		if all[k] = v; v == nil {
			delete(all, k)
		}
	}
	text, err := jwt.NewWithClaims(jwt.SigningMethodHS256, all).SignedString([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// secured is a server with authentication.
func secured(t *testing.T) *server {
	t.Helper()
	s := serve(t, keysConfig(t))
	s.key = "both"
	return s
}

// Who has no good token is unauthenticated, who asks for more than his is not permitted. SPEC 4.
func TestTokensAreChecked(t *testing.T) {
	t.Parallel()
	s := secured(t)
	good := func(claims jwt.MapClaims) string { return token(t, "u1", time.Hour, claims) }
	none, err := jwt.NewWithClaims(jwt.SigningMethodNone, jwt.MapClaims{"sub": "u1", "exp": time.Now().Add(time.Hour).Unix(), "aud": "ramen", "iss": "accounts"}).SignedString(jwt.UnsafeAllowNoneSignatureType)
	if err != nil {
		t.Fatal(err)
	}
	forged := good(nil)
	forged = forged[:len(forged)-3] + "AAA"
	for _, transport := range transports {
		for name, c := range map[string]struct {
			at     place
			reason string
		}{
			"no token":       {place{device: "d1"}, "unauthenticated"},
			"user alone":     {place{device: "d1", user: "u1"}, "unauthenticated"},
			"not a token":    {place{device: "d1", token: "x"}, "unauthenticated"},
			"a forged one":   {place{device: "d1", token: forged}, "unauthenticated"},
			"one unsigned":   {place{device: "d1", token: none}, "unauthenticated"},
			"expired":        {place{device: "d1", token: good(jwt.MapClaims{"exp": time.Now().Add(-time.Minute).Unix()})}, "unauthenticated"},
			"without exp":    {place{device: "d1", token: good(jwt.MapClaims{"exp": nil})}, "unauthenticated"},
			"without sub":    {place{device: "d1", token: good(jwt.MapClaims{"sub": nil})}, "unauthenticated"},
			"for others":     {place{device: "d1", token: good(jwt.MapClaims{"aud": "x"})}, "unauthenticated"},
			"by others":      {place{device: "d1", token: good(jwt.MapClaims{"iss": "x"})}, "unauthenticated"},
			"not yet":        {place{device: "d1", token: good(jwt.MapClaims{"nbf": time.Now().Add(time.Hour).Unix()})}, "unauthenticated"},
			"another user":   {place{device: "d1", user: "u2", token: good(nil)}, "permission_denied"},
			"another device": {place{device: "d1", token: good(jwt.MapClaims{"device": "d2"})}, "permission_denied"},
			"no device":      {place{token: good(nil)}, "invalid_argument"},
		} {
			e := s.refused(t, transport, c.at)
			if expectRefused(t, transport, e, c.reason); t.Failed() {
				t.Fatalf("that was: %s", name)
			}
		}
		s.open(t, transport, place{device: "d1", token: good(nil)})
		s.open(t, transport, place{device: "d1", user: "u1", token: good(nil)})
		s.open(t, transport, place{token: good(jwt.MapClaims{"device": "pinned"})})
		s.open(t, transport, place{device: "pinned", token: good(jwt.MapClaims{"device": "pinned", "aud": []string{"x", "ramen"}})})
	}
	if d := s.devices("u1"); len(d) != 2 || d["pinned"].Device == "" {
		t.Errorf("the list says %+v", d)
	}
	s.checkLedger()
}

// The header Authorization is the same as the parameter, and wins. Acks need a token too.
func TestTokensInHeaders(t *testing.T) {
	t.Parallel()
	s := secured(t)
	s.publish(msg{"user": "u1"})
	url := s.deviceURL("/ramen/poll?device=d1&wait=0&token=")
	good, other := token(t, "u1", time.Hour, nil), token(t, "u2", time.Hour, nil)
	for _, c := range []struct {
		parameter, header string
		status            int
	}{{"", "Bearer " + good, 200}, {"x", "bearer " + good, 200}, {good, "Bearer x", 401}, {good, "Basic eA==", 200}, {"", "Basic eA==", 401}, {good, "", 200}, {"", "", 401}} {
		var header []string
		if c.header != "" {
			header = []string{"Authorization", c.header}
		}
		if r := s.do("GET", url+c.parameter, "", header...); r.status != c.status {
			t.Errorf("%+v: %d %s", c, r.status, r.body)
		}
	}
	c := s.open(t, "sse", place{device: "d1", token: good})
	c.push()
	ack := s.deviceURL("/ramen/ack?device=d1&seq=" + seqText(c.last.Seq) + "&stream=" + c.hello.Stream + "&token=")
	for tok, status := range map[string]int{"": 401, "x": 401, other: 404} {
		if r := s.do("POST", ack+tok, ""); r.status != status {
			t.Errorf("ack: %d %s, want %d", r.status, r.body, status)
		}
	}
	if r := s.do("POST", ack, "", "Authorization", "Bearer "+good); r.status != 204 {
		t.Errorf("ack: %d %s", r.status, r.body)
	}
	s.untilWaiting("u1", 0)
	s.checkLedger()
}

// When its token expires an open stream ends with unauthenticated.
func TestTokenExpiresOnAnOpenStream(t *testing.T) {
	t.Parallel()
	s := secured(t)
	for _, transport := range streaming {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			c := s.open(t, transport, place{device: transport, token: token(t, "u1", 2*time.Second, nil)})
			expectEnd(t, transport, c.end(), "unauthenticated")
		})
	}
}

// A refresh moves the end; a bad one, and one for somebody else, end the stream.
func TestTokenIsRefreshed(t *testing.T) {
	t.Parallel()
	s := secured(t)
	for _, transport := range twoWay {
		for name, c := range map[string]struct {
			token  string
			reason string
		}{
			"moved":          {token(t, "u1", time.Hour, nil), ""},
			"bad":            {"x.y.z", "unauthenticated"},
			"expired":        {token(t, "u1", -time.Hour, nil), "unauthenticated"},
			"another user":   {token(t, "u2", time.Hour, nil), "permission_denied"},
			"another device": {token(t, "u1", time.Hour, jwt.MapClaims{"device": "else"}), "permission_denied"},
		} {
			t.Run(transport+"/"+name, func(t *testing.T) {
				t.Parallel()
				d := open2s(t, s, transport, name)
				if err := d.send(protocol.DeviceFrame{Kind: protocol.FrameRefresh, Token: c.token}); err != nil {
					t.Fatal(err)
				}
				if c.reason != "" {
					expectEnd(t, transport, d.end(), c.reason)
					return
				}
				// Longer than the first token: another stream with one as short ends meanwhile.
				brief := open2s(t, s, transport, name+"-brief")
				expectEnd(t, transport, brief.end(), "unauthenticated")
				id := s.publish(msg{"user": "u1", "device": d.at.device})
				equal(t, "after the first token's end", d.ids(1), []string{id})
				d.ackAll()
			})
		}
	}
}

// open2s opens a stream whose token lives 2 s.
func open2s(t *testing.T, s *server, transport, device string) *conn {
	t.Helper()
	at := transport + "-" + device
	for i := range at {
		if at[i] == ' ' {
			at = at[:i] + "_" + at[i+1:]
		}
	}
	return s.open(t, transport, place{device: at, token: token(t, "u1", 2*time.Second, nil)})
}

// A refresh brings a new context, which where is judged by.
func TestContextIsRefreshed(t *testing.T) {
	matrixOf(t, twoWay, []string{memory}, nil, func(t *testing.T, s *server, open opener) {
		c := open(place{user: "u1", device: "d1", context: map[string]string{"app_version": "1", "os": "ios"}})
		if err := c.send(protocol.DeviceFrame{Kind: protocol.FrameRefresh, Context: &protocol.DeviceContext{AppVersion: "2", Labels: map[string]string{"a": "b"}}}); err != nil {
			t.Fatal(err)
		}
		until(t, "the new context", func() string { return same("app_version", s.devices("u1")["d1"].Context.AppVersion, "2") })
		if x := s.devices("u1")["d1"].Context; x.OS != "" || x.Labels["a"] != "b" {
			t.Errorf("context is %+v", x)
		}
		s.publish(msg{"user": "u1", "id": "old", "where": map[string]string{"app_version": "1"}})
		s.publish(msg{"user": "u1", "id": "new", "where": map[string]string{"app_version": "2", "label.a": "b"}})
		equal(t, "by the new context", c.ids(1), []string{"new"})
		c.ackAll()
	})
}
