package auth

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// base64Prefix marks a secret that is given as standard base64 of its bytes.
const base64Prefix = "base64:"

// parseSecret reads an HMAC secret. One line end at its end, as editors leave it, is not part of it.
func parseSecret(data []byte) ([]sourceKey, error) {
	data = bytes.TrimSuffix(bytes.TrimSuffix(data, []byte("\n")), []byte("\r"))
	if rest, ok := bytes.CutPrefix(data, []byte(base64Prefix)); ok {
		raw, err := base64.StdEncoding.DecodeString(string(rest))
		if err != nil {
			return nil, errors.New("the text after base64: is not valid base64")
		}
		data = raw
	}
	return []sourceKey{{key: bytes.Clone(data)}}, nil
}

// parsePEM reads public keys and certificates. A private key is refused: a server that only verifies should not have it.
func parsePEM(data []byte) ([]sourceKey, error) {
	var keys []sourceKey
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		key, err := parseBlock(block)
		if err != nil {
			return nil, err
		}
		keys = append(keys, sourceKey{key: key})
	}
	if len(keys) == 0 {
		return nil, errors.New("it has no PEM block; it should have -----BEGIN PUBLIC KEY----- or a certificate")
	}
	return keys, nil
}

func parseBlock(block *pem.Block) (any, error) {
	switch {
	case block.Type == "PUBLIC KEY":
		return x509.ParsePKIXPublicKey(block.Bytes)
	case block.Type == "RSA PUBLIC KEY":
		return x509.ParsePKCS1PublicKey(block.Bytes)
	case block.Type == "CERTIFICATE":
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		return cert.PublicKey, nil
	case strings.HasSuffix(block.Type, "PRIVATE KEY"):
		return nil, errors.New("it has a private key; a server needs only the public key: openssl pkey -in KEY -pubout")
	}
	return nil, fmt.Errorf("it has a PEM block %.32q; it should have PUBLIC KEY or CERTIFICATE", block.Type)
}

// parseJWKS reads a JSON Web Key Set. A key that is not understood, or is not sound, is left out and says why: one bad key of an
// issuer must not take the good ones out of force. RFC 7517 5. Keys for other uses than signatures are passed over.
func parseJWKS(data []byte) ([]sourceKey, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(data, &set); err != nil {
		return nil, fmt.Errorf(`it is not a JSON object {"keys":[…]}: %w`, err)
	}
	var keys []sourceKey
	for i, raw := range set.Keys {
		if key := parseJWK(raw); key.key != nil || key.unfit != nil {
			key.ofSet, key.number = true, i+1
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("none of its %d keys can verify tokens; %s", len(set.Keys), wantedKeys)
	}
	return keys, nil
}

const wantedKeys = "it should have oct, RSA, EC (P-256) or OKP (Ed25519) keys"

// jwkHead is what says whether a key is for us.
type jwkHead struct {
	Kty string   `json:"kty"`
	Crv string   `json:"crv"`
	Use string   `json:"use"`
	Ops []string `json:"key_ops"`
	Kid string   `json:"kid"`
	Alg string   `json:"alg"`
}

// parseJWK reads one key; one for another use comes back without one.
func parseJWK(raw []byte) sourceKey {
	var head jwkHead
	if err := json.Unmarshal(raw, &head); err != nil || head.Kty == "" {
		return sourceKey{id: head.Kid, unfit: &unfit{leftMalformed, errors.New("it is not a JSON Web Key: it should be an object with kty")}}
	}
	if !head.verifies() {
		return sourceKey{}
	}
	if err := head.known(); err != nil {
		return sourceKey{id: head.Kid, unfit: &unfit{leftUnknown, err}}
	}
	var jwk jose.JSONWebKey
	if err := jwk.UnmarshalJSON(raw); err != nil || head.Kty != "oct" && !jwk.Valid() {
		// The cause could quote key material.
		return sourceKey{id: head.Kid, unfit: &unfit{leftMalformed, fmt.Errorf("it is not a valid %s key", head.Kty)}}
	}
	return sourceKey{id: head.Kid, algorithm: head.Alg, key: publicOf(jwk.Key)}
}

// verifies reports whether the key is meant for signatures. RFC 7517 4.2, 4.3.
func (h *jwkHead) verifies() bool {
	if h.Use != "" && h.Use != "sig" {
		return false
	}
	return len(h.Ops) == 0 || slices.Contains(h.Ops, "verify") || slices.Contains(h.Ops, "sign")
}

// known says which of type, curve and algorithm is none of ours.
func (h *jwkHead) known() error {
	curves := map[string]string{"oct": "", "RSA": "", "EC": "P-256", "OKP": "Ed25519"}
	curve, ok := curves[h.Kty]
	switch {
	case !ok:
		return fmt.Errorf("its kty is %.32q; %s", h.Kty, wantedKeys)
	case curve != "" && h.Crv != curve:
		return fmt.Errorf("its crv is %.32q; an %s key should be on %s", h.Crv, h.Kty, curve)
	case h.Alg != "" && algorithmNamed(h.Alg) == nil:
		return fmt.Errorf("its alg is %.32q; it should be one of %s", h.Alg, strings.Join(algorithmNames(), ", "))
	}
	return nil
}
