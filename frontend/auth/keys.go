package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"ramen/protocol"
)

// Scope is what a backend's key allows. SPEC 8.
type Scope uint8

// The scopes. A key may have several.
const (
	ScopePublish Scope = 1 << iota // publish, recall, disconnect
	ScopeRead                      // the lists of devices and messages, and what a cluster is made of
	ScopeOperate                   // moves of shards and changes of members, in a cluster
)

// scopes are all of them, in the order of their names in files and messages.
var scopes = [...]struct {
	scope Scope
	name  string
}{{ScopePublish, "publish"}, {ScopeRead, "read"}, {ScopeOperate, "operate"}}

// ScopeNames is the names of all scopes, as messages say them.
const ScopeNames = "publish, read and operate"

// String is the name of s in files and messages.
func (s Scope) String() string {
	var names []string
	for _, x := range scopes {
		if s&x.scope != 0 {
			names = append(names, x.name)
		}
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// ParseScope finds the scope of that name.
func ParseScope(name string) (Scope, bool) {
	for _, x := range scopes {
		if x.name == name {
			return x.scope, true
		}
	}
	return 0, false
}

// keyPrefix makes a key recognizable where one was left lying about.
const keyPrefix = "rk_"

// maxKeyText bounds what is hashed, in bytes.
const maxKeyText = 512

// NewKey draws a key: 256 random bits, so that a plain hash of it is safe to keep.
func NewKey() string {
	var b [32]byte
	rand.Read(b[:]) // it never fails
	return keyPrefix + base64.RawURLEncoding.EncodeToString(b[:])
}

// HashKey is what a file has of a key: its SHA-256 in hex.
func HashKey(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

// KeyLine is the line of a key file that lets key in.
func KeyLine(name, key string, s Scope) string {
	return fmt.Sprintf("- {name: %q, sha256: %s, scopes: [%s]}", name, HashKey(key), s)
}

// Keys checks the keys of backends. It is safe for concurrent use, and follows its file.
type Keys struct {
	metrics *metrics
	entries atomic.Pointer[[]keyEntry]
}

// keyEntry is one backend's key.
type keyEntry struct {
	name string
	hash [sha256.Size]byte
	all  Scope
}

// NewKeys reads the file that cfg names, and follows it with w. With a nil w the keys stay as they are.
func NewKeys(cfg KeysConfig, w *Watcher) (*Keys, error) {
	if !cfg.Configured() {
		return nil, errors.New(`auth: no file of API keys; set keys.file, and make an entry with "ramen token --backend"`)
	}
	k := &Keys{metrics: w.meters()}
	err := w.follow(whatKeys, []string{cfg.File}, func(data [][]byte) error {
		entries, err := parseKeys(data[0])
		if err != nil {
			return fmt.Errorf("auth: read keys.file %s: %w", cfg.File, err)
		}
		k.entries.Store(&entries)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return k, nil
}

// Check says whether the value of an Authorization header allows s. The error is a *protocol.Error: unauthenticated
// without a good key, permission_denied without the scope.
func (k *Keys) Check(authorization string, s Scope) error {
	_, err := k.Name(authorization, s)
	return err
}

// Name is Check, and says whose key it is, for logs. It has the name where only the scope is missing, too.
func (k *Keys) Name(authorization string, s Scope) (string, error) {
	name, err := k.find(authorization, s)
	k.metrics.key(err)
	return name, err
}

func (k *Keys) find(authorization string, s Scope) (string, error) {
	key, err := bearer(authorization)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(key))
	var found *keyEntry
	entries := *k.entries.Load()
	for i := range entries { // all of them, so that the time tells nothing
		if subtle.ConstantTimeCompare(entries[i].hash[:], sum[:]) == 1 {
			found = &entries[i]
		}
	}
	if found == nil {
		return "", refusef("this key is not known; it should be one whose hash is in the server's file of keys")
	}
	if found.all&s != s {
		return found.name, protocol.Errorf(protocol.CodePermissionDenied, "key %q has the scopes: %s; this call needs: %s", found.name, found.all, s)
	}
	return found.name, nil
}

// bearer is the key in the value of an Authorization header.
func bearer(authorization string) (string, error) {
	if authorization == "" {
		return "", refusef("API key is missing; send Authorization: Bearer KEY")
	}
	key, ok := Bearer(authorization)
	if !ok {
		return "", refusef("Authorization has another scheme; it should be: Bearer KEY")
	}
	if key == "" || len(key) > maxKeyText {
		return "", refusef("the key has %d bytes; it should have from 1 to %d", len(key), maxKeyText)
	}
	return key, nil
}
