package auth

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// badJWKs are keys that no token can be verified with, by the reason for which they are left out.
func badJWKs(t *testing.T) map[string][]string {
	t.Helper()
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	short, err := (&jose.JSONWebKey{Key: &weak.PublicKey, KeyID: "weak"}).MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]string{
		leftMalformed: {
			`null`, `1`, `"key"`, `[]`, `{}`, `{"kty":5}`, `{"kty":"RSA","kid":7,"n":"AQAB","e":"AQAB"}`,
			`{"kty":"RSA","kid":"m","n":"!","e":"AQAB"}`, `{"kty":"RSA","kid":"m","e":"AQAB"}`,
			`{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}`, `{"kty":"OKP","crv":"Ed25519","x":""}`,
			`{"kty":"RSA","n":"AQAB","e":"AQAB","x5c":["?"]}`, `{"kty":"oct"}`,
		},
		leftUnknown: {
			`{"kty":"new"}`, `{"kty":"AKP","alg":"ML-DSA-44","pub":"AA"}`, `{"kty":"EC","crv":"secp256k1","x":"AA","y":"AA"}`,
			`{"kty":"OKP","crv":"Ed448","x":"AA"}`, `{"kty":"RSA","alg":"PS999","n":"AQAB","e":"AQAB"}`,
		},
		leftUnusable: {
			`{"kty":"oct","k":"AAAA"}`, string(short), keyFor(t, "RS256").jwk(t, "contradicts", "alg", "ES256"),
		},
	}
}

// TestFix06OneBadKeyLeavesTheSetInForce: wherever it stands in the set, the good keys count, the log names the bad one, and a metric
// counts it. RFC 7517 5.
func TestFix06OneBadKeyLeavesTheSetInForce(t *testing.T) {
	good := keyFor(t, "ES256")
	for reason, keys := range badJWKs(t) {
		for _, bad := range keys {
			for _, set := range [][]byte{jwks(bad, good.jwk(t, "k")), jwks(good.jwk(t, "k"), bad)} {
				tokens, log, left := followed(t, set, nil)
				k := good.signing
				k.ID = "k"
				if _, err := tokens.Verify(mint(t, k, grant())); err != nil {
					t.Errorf("%s: %v", bad, err)
				}
				if n := gauge(t, left.WithLabelValues(reason)); n != 1 {
					t.Errorf("%s: %v keys are %s", bad, n, reason)
				}
				if !strings.Contains(log.String(), "level=WARN") || !strings.Contains(log.String(), "reason="+reason) {
					t.Errorf("%s: the log says %s", bad, log)
				}
			}
			if _, err := jwksTokens(t, bad); err == nil {
				t.Errorf("a set of %s alone is taken", bad)
			}
		}
	}
}

// TestFix06RotationPutsTheGoodKeysInForce: the set that comes with a bad key replaces the one before.
func TestFix06RotationPutsTheGoodKeysInForce(t *testing.T) {
	before, after := keyFor(t, "RS256"), keyFor(t, "ES256")
	cfg := Default().Tokens
	cfg.JWKSFile = write(t, filepath.Join(t.TempDir(), "jwks.json"), jwks(before.jwk(t, "old")))
	w := NewWatcher(time.Hour, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	defer w.Close()
	tokens, err := NewTokens(cfg, w)
	if err != nil {
		t.Fatal(err)
	}
	write(t, cfg.JWKSFile, jwks(`{"kty":"RSA","kid":"bad","n":"!","e":"AQAB"}`, after.jwk(t, "new")))
	if err := w.Check(); err != nil {
		t.Error(err)
	}
	k := after.signing
	k.ID = "new"
	if _, err := tokens.Verify(mint(t, k, grant())); err != nil {
		t.Error(err)
	}
	write(t, cfg.JWKSFile, jwks(after.jwk(t, "new")))
	if err := w.Check(); err != nil {
		t.Error(err)
	}
	if n := gauge(t, w.metrics.left.WithLabelValues(leftMalformed)); n != 0 {
		t.Errorf("%v keys are left out of a good set", n)
	}
}

// TestFix06SetMayLackAnAlgorithm: of the algorithms that the operator names one is enough, since the issuer changes its set.
func TestFix06SetMayLackAnAlgorithm(t *testing.T) {
	good := keyFor(t, "ES256")
	tokens, log, _ := followed(t, jwks(`{"kty":"RSA","n":"!","e":"AQAB"}`, good.jwk(t, "k")), []string{"RS256", "ES256"})
	if _, err := tokens.Verify(mint(t, good.signing, grant())); err != nil {
		t.Error(err)
	}
	if !strings.Contains(log.String(), "missing=RS256") {
		t.Errorf("the log says %s", log)
	}
}

// TestFix06KeysBeyondTheMostAreLeftOut, and a set of nothing but bad keys is not logged without bound.
func TestFix06KeysBeyondTheMostAreLeftOut(t *testing.T) {
	var all []string
	for i := range maxKeys + 3*toldKeys {
		raw, _ := json.Marshal(map[string]string{"kty": "oct", "kid": fmt.Sprint(i), "k": strings.Repeat("A", 43)})
		all = append(all, string(raw))
	}
	_, log, left := followed(t, jwks(all...), nil)
	if n := gauge(t, left.WithLabelValues(leftOver)); n != 3*toldKeys {
		t.Errorf("%v keys are left out", n)
	}
	if n := strings.Count(log.String(), "\n"); n != toldKeys+1 {
		t.Errorf("%d lines are logged", n)
	}
}

// followed makes Tokens of a set, and says what was logged and counted.
func followed(t *testing.T, set []byte, algorithms []string) (*Tokens, *bytes.Buffer, *prometheus.GaugeVec) {
	t.Helper()
	log := new(bytes.Buffer)
	w := NewWatcher(time.Hour, slog.New(slog.NewTextHandler(log, nil)), prometheus.NewRegistry())
	cfg := Default().Tokens
	cfg.JWKSFile, cfg.Algorithms = write(t, filepath.Join(t.TempDir(), "jwks.json"), set), algorithms
	tokens, err := NewTokens(cfg, w)
	w.Close()
	if err != nil {
		t.Fatalf("%s: %v", set, err)
	}
	return tokens, log, w.metrics.left
}

func gauge(t *testing.T, g prometheus.Gauge) float64 {
	t.Helper()
	var m dto.Metric
	if err := g.Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.Gauge.GetValue()
}
