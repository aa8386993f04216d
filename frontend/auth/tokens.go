package auth

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"
)

// Tokens verifies the tokens of devices. It is safe for concurrent use, and its keys follow their file.
type Tokens struct {
	// immutable
	cfg     TokensConfig
	log     *slog.Logger
	metrics *metrics

	ring   atomic.Pointer[keyring]
	header atomic.Pointer[knownHeader] // that of the last good token: an issuer's tokens mostly have the same
}

type knownHeader struct {
	text string
	header
}

// NewTokens reads the keys that cfg names, and follows their file with w. With a nil w they stay as they are.
func NewTokens(cfg TokensConfig, w *Watcher) (*Tokens, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	t := &Tokens{cfg: cfg, log: w.logger(), metrics: w.meters()}
	source, file, parse := "tokens.secret", "", parseSecret
	switch {
	case cfg.Secret != "":
		if err := t.load(source, []byte(cfg.Secret), parse); err != nil {
			return nil, err
		}
		return t, nil
	case cfg.SecretFile != "":
		source, file = "tokens.secret_file", cfg.SecretFile
	case cfg.PublicKeyFile != "":
		source, file, parse = "tokens.public_key_file", cfg.PublicKeyFile, parsePEM
	case cfg.JWKSFile != "":
		source, file, parse = "tokens.jwks_file", cfg.JWKSFile, parseJWKS
	default:
		return nil, errors.New("auth: no key to verify tokens with; set one of tokens.secret, tokens.secret_file, tokens.public_key_file and tokens.jwks_file")
	}
	err := w.follow(whatTokens, []string{file}, func(data [][]byte) error {
		return t.load(source+" "+file, data[0], parse)
	})
	if err != nil {
		return nil, err
	}
	return t, nil
}

// load puts the keys in data in force.
func (t *Tokens) load(source string, data []byte, parse func([]byte) ([]sourceKey, error)) error {
	keys, err := parse(data)
	if err != nil {
		return fmt.Errorf("auth: read %s: %w", source, err)
	}
	ring, err := newKeyring(keys, t.cfg.Algorithms, t.cfg.Cache)
	if err != nil {
		return fmt.Errorf("auth: read %s: %w", source, err)
	}
	t.ring.Store(ring)
	t.tellLeft(source, ring)
	return nil
}

// toldKeys bounds how many keys that are left out are logged by themselves: a set may have thousands.
const toldKeys = 8

// tellLeft says which keys of a set are left out.
func (t *Tokens) tellLeft(source string, ring *keyring) {
	t.metrics.keysLeft(ring.left)
	for i, k := range ring.left {
		if i == toldKeys {
			t.log.Warn("more keys of the key set were skipped", "source", source, "keys", len(ring.left)-i)
			break
		}
		t.log.Warn("a key of the key set was skipped; tokens signed with it are refused, the other keys are in use",
			"source", source, "key", keyName(k.id, k.number), "reason", k.unfit.reason, "cause", k.unfit.why)
	}
	if len(ring.missing) > 0 {
		t.log.Warn("the key set has no key for some of tokens.algorithms; tokens signed with those are refused",
			"source", source, "missing", strings.Join(ring.missing, ", "), "algorithms", ring.names)
	}
}

// Verify says whose token it is. The error is a *protocol.Error, unauthenticated, that says what was wrong.
func (t *Tokens) Verify(token string) (Claims, error) {
	c, err := t.verify(token)
	t.metrics.token(err)
	return c, err
}

func (t *Tokens) verify(token string) (Claims, error) {
	parts, err := split(token)
	if err != nil {
		return Claims{}, err
	}
	h, err := t.readHeader(parts.header)
	if err != nil {
		return Claims{}, err
	}
	ring := t.ring.Load()
	var f fingerprint
	cached := ring.remembers(h.Alg)
	if cached {
		f = fingerprintOf(token)
		if r, ok := ring.verified.get(&f); ok {
			return r.at(time.Now(), t.cfg.Leeway)
		}
	}
	r, err := t.verifyNew(ring, h, parts)
	if err != nil {
		return Claims{}, err
	}
	if cached {
		ring.verified.put(&f, r)
	}
	return r.at(time.Now(), t.cfg.Leeway)
}

// verifyNew verifies a token that is not remembered: first its signature, so that a stranger learns nothing of what is
// expected inside.
func (t *Tokens) verifyNew(ring *keyring, h *header, parts jws) (remembered, error) {
	var r remembered
	if err := ring.check(h, parts); err != nil {
		return r, err
	}
	p, err := parsePayload(parts.payload)
	if err != nil {
		return r, err
	}
	if k := t.header.Load(); k == nil || &k.header != h {
		t.header.Store(&knownHeader{text: strings.Clone(parts.header), header: *h})
	}
	r.claims, r.life, err = p.claims(&t.cfg)
	return r, err
}

// readHeader parses a header, or takes the last one if it is the same.
func (t *Tokens) readHeader(text string) (*header, error) {
	if k := t.header.Load(); k != nil && k.text == text {
		return &k.header, nil
	}
	return parseHeader(text)
}
