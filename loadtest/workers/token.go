package workers

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"time"
)

// mint signs the devices' tokens (RFC 7515, HS256), as a login would.
type mint struct {
	secret           []byte
	issuer, audience string
}

// tokenLife outlasts every run.
const tokenLife = 24 * time.Hour

var tokenHead = base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256","typ":"JWT"}`))

func newMint(t *Target) *mint { return &mint{[]byte(t.Secret), t.Issuer, t.Audience} }

func (m *mint) token(user, device string) (string, error) {
	claims, err := json.Marshal(struct {
		Subject  string `json:"sub"`
		Device   string `json:"device"`
		Expires  int64  `json:"exp"`
		Issuer   string `json:"iss,omitempty"`
		Audience string `json:"aud,omitempty"`
	}{user, device, time.Now().Add(tokenLife).Unix(), m.issuer, m.audience})
	if err != nil {
		return "", err
	}
	text := tokenHead + "." + base64.RawURLEncoding.EncodeToString(claims)
	sign := hmac.New(sha256.New, m.secret)
	sign.Write([]byte(text))
	return text + "." + base64.RawURLEncoding.EncodeToString(sign.Sum(nil)), nil
}
