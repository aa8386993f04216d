package auth

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/golang-jwt/jwt/v5"

	"ramen/protocol"
)

// maxKeys bounds how many signatures one token without a kid can have checked.
const maxKeys = 64

// sourceKey is a key as it came out of its file.
type sourceKey struct {
	id        string // kid; empty: it fits every kid
	algorithm string // the only one that it is for; empty: all of its type
	key       any

	// Of a set, where each stands or falls alone:
	ofSet  bool
	number int    // in its file, from 1
	unfit  *unfit // why it is left out
}

// unfit is why a key of a set is left out, with the metric's label for it.
type unfit struct {
	reason string
	why    error
}

// The reasons for which keys are left out: the closed set of the label reason.
const (
	leftMalformed = "malformed" // it is no key, or not a sound one
	leftUnknown   = "unknown"   // a type, curve or algorithm that is not known here
	leftUnusable  = "unusable"  // too short, or not for what it says
	leftOver      = "over"      // beyond maxKeys
)

var leftReasons = [...]string{leftMalformed, leftUnknown, leftUnusable, leftOver}

// keyring is the keys in force at one time. It is immutable, but for its cache.
type keyring struct {
	byAlgorithm map[string]*ringAlgorithm
	names       string // of the algorithms that are taken
	verified    *cache // tokens that were verified with these keys
	left        []sourceKey
	missing     []string // algorithms that the operator wants, and that no key of the set is for
}

// ringAlgorithm is one algorithm and the keys that may be used with it.
type ringAlgorithm struct {
	name   string
	method jwt.SigningMethod
	hmac   bool
	keys   []ringKey
}

type ringKey struct {
	id  string
	key any
}

// newKeyring sorts keys by what they may be used for. only, where it is not empty, are the algorithms that the
// operator wants. Every key must be good for something, but for those of a set, of which one is enough.
func newKeyring(keys []sourceKey, only []string, cached int) (*keyring, error) {
	if len(keys) == 0 {
		return nil, errors.New("it has no key")
	}
	r := &keyring{byAlgorithm: make(map[string]*ringAlgorithm), verified: newCache(cached)}
	good := 0
	for i, k := range keys {
		u := k.unfit
		if u == nil && good == maxKeys {
			u = &unfit{leftOver, fmt.Errorf("it has over %d keys", maxKeys)}
		}
		if u == nil {
			if err := r.add(k, only); err != nil {
				u = &unfit{leftUnusable, err}
			}
		}
		switch {
		case u == nil:
			good++
		case k.ofSet:
			k.unfit = u
			r.left = append(r.left, k)
		default:
			return nil, fmt.Errorf("key %s: %w", keyName(k.id, i+1), u.why)
		}
	}
	if good == 0 {
		first := r.left[0]
		return nil, fmt.Errorf("none of its keys can verify tokens: key %s: %w", keyName(first.id, first.number), first.unfit.why)
	}
	return r, r.name(only, keys[0].ofSet)
}

// name notes which algorithms are taken. All that the operator wants must be among them; of a set, which its issuer may change at
// any time, one.
func (r *keyring) name(only []string, set bool) error {
	names := slices.DeleteFunc(algorithmNames(), func(a string) bool { return r.byAlgorithm[a] == nil })
	if len(names) == 0 {
		return fmt.Errorf("it has no key for %s of tokens.algorithms", strings.Join(only, ", "))
	}
	for _, a := range only {
		switch {
		case slices.Contains(names, a):
		case set:
			r.missing = append(r.missing, a)
		default:
			return fmt.Errorf("it has no key for %s of tokens.algorithms; its keys are for %s", a, strings.Join(names, ", "))
		}
	}
	r.names = strings.Join(names, ", ")
	return nil
}

func (r *keyring) add(k sourceKey, only []string) error {
	fit, err := algorithmsOf(k.key)
	if err != nil {
		return err
	}
	if err := longEnough(k, only); err != nil {
		return err
	}
	if k.algorithm != "" && !slices.ContainsFunc(fit, func(a *algorithm) bool { return a.name == k.algorithm }) {
		return fmt.Errorf("its alg is %.16q, but a key of its type and size is for %s", k.algorithm, strings.Join(namesOf(fit), ", "))
	}
	for _, a := range fit {
		if k.algorithm != "" && k.algorithm != a.name || len(only) > 0 && !slices.Contains(only, a.name) {
			continue
		}
		ra := r.byAlgorithm[a.name]
		if ra == nil {
			ra = &ringAlgorithm{name: a.name, method: a.method, hmac: a.secret > 0}
			r.byAlgorithm[a.name] = ra
		}
		ra.keys = append(ra.keys, ringKey{id: k.id, key: k.key})
	}
	return nil
}

// longEnough refuses a secret that is too short for an algorithm that the operator names.
func longEnough(k sourceKey, only []string) error {
	secret, ok := k.key.([]byte)
	if !ok {
		return nil
	}
	for _, name := range only {
		if a := algorithmNamed(name); a.secret > len(secret) && (k.algorithm == "" || k.algorithm == name) {
			return fmt.Errorf("secret has %d bytes; %s needs at least %d", len(secret), a.name, a.secret)
		}
	}
	return nil
}

// check verifies that a token has a good signature, by a key for the algorithm and kid of h.
func (r *keyring) check(h *header, token jws) error {
	signature, err := strict64.DecodeString(token.signature)
	if err != nil {
		return refusef("token signature is not valid unpadded base64url")
	}
	a := r.byAlgorithm[h.Alg]
	if a == nil {
		return r.refuse(h.Alg)
	}
	tried := 0
	for pass := range 2 {
		for i := range a.keys {
			k := &a.keys[i]
			// A key without an id fits every kid, but those that bear the token's come first. RFC 7515 4.1.4.
			if named := k.id != "" && k.id == h.Kid; named != (pass == 0) || !named && k.id != "" && h.Kid != "" {
				continue
			}
			tried++
			if a.method.Verify(token.signed, signature, k.key) == nil {
				return nil
			}
		}
	}
	if tried == 0 {
		return refusef("token's kid %.64q is that of no key for %s", h.Kid, a.name)
	}
	return refusef("token signature does not fit any key for %s", a.name)
}

// refuse says why alg is not taken.
func (r *keyring) refuse(alg string) *protocol.Error {
	switch {
	case alg == "":
		return refusef("token header has no alg; it should be one of %s", r.names)
	case strings.EqualFold(alg, "none"):
		return refusef("token is not signed (alg %.16q); it should be, with one of %s", alg, r.names)
	}
	return refusef("token's alg is %.16q; it should be one of %s", alg, r.names)
}

// refusef makes an unauthenticated error.
func refusef(format string, args ...any) *protocol.Error {
	return protocol.Errorf(protocol.CodeUnauthenticated, format, args...)
}

// keyName is how a key is named in messages: by its kid, or its place in the file, from 1.
func keyName(id string, number int) string {
	if id != "" {
		return fmt.Sprintf("%.64q", id)
	}
	return fmt.Sprint(number)
}

func namesOf(as []*algorithm) []string {
	names := make([]string, len(as))
	for i, a := range as {
		names[i] = a.name
	}
	return names
}

// remembers reports whether tokens of that algorithm are worth remembering: to check an HMAC costs little more than to
// look the token up (1 to 2 µs; ES256 takes 90), and to remember costs memory a stream.
func (r *keyring) remembers(alg string) bool {
	a := r.byAlgorithm[alg]
	return a != nil && !a.hmac && r.verified.half > 0
}
