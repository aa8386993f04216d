package auth

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxBackends bounds the keys of a file: each call compares with all of them.
const maxBackends = 256

// emptyKeys are what hashing nothing gives, and a line with nothing in it, as echo writes it.
var emptyKeys = [][sha256.Size]byte{sha256.Sum256(nil), sha256.Sum256([]byte("\n"))}

// parseKeys reads a file of keys: a YAML list of name, sha256 and scopes. Errors name the line.
func parseKeys(data []byte) ([]keyEntry, error) {
	var doc yaml.Node
	d := yaml.NewDecoder(bytes.NewReader(data))
	if err := d.Decode(&doc); errors.Is(err, io.EOF) {
		return nil, errors.New("it has no key; it should be a list of name, sha256 and scopes")
	} else if err != nil {
		return nil, fmt.Errorf("invalid YAML: %w", err)
	}
	list := doc.Content[0]
	if list.Kind != yaml.SequenceNode || len(list.Content) == 0 {
		return nil, fmt.Errorf("line %d: it should be a list of name, sha256 and scopes", list.Line)
	}
	if len(list.Content) > maxBackends {
		return nil, fmt.Errorf("it has %d keys; it should have at most %d", len(list.Content), maxBackends)
	}
	var entries []keyEntry
	for _, n := range list.Content {
		e, err := parseKey(n)
		if err != nil {
			return nil, err
		}
		for _, o := range entries {
			if o.name == e.name || o.hash == e.hash {
				return nil, fmt.Errorf("line %d: %q has the same name or key as %q above", n.Line, e.name, o.name)
			}
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// parseKey reads one entry.
func parseKey(n *yaml.Node) (keyEntry, error) {
	var e keyEntry
	if n.Kind != yaml.MappingNode {
		return e, fmt.Errorf("line %d: it should have name, sha256 and scopes", n.Line)
	}
	var hash string
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		var err error
		switch key.Value {
		case "name":
			err = value.Decode(&e.name)
		case "sha256":
			err = value.Decode(&hash)
		case "scopes":
			e.all, err = parseScopes(value)
		default:
			return e, fmt.Errorf("line %d: unknown key %q; use name, sha256 and scopes", key.Line, key.Value)
		}
		if err != nil {
			return e, fmt.Errorf("line %d: %s: %w", key.Line, key.Value, err)
		}
	}
	if e.name == "" || e.all == 0 {
		return e, fmt.Errorf("line %d: it should have a name, and scopes out of "+ScopeNames, n.Line)
	}
	if strings.HasPrefix(hash, keyPrefix) {
		return e, fmt.Errorf("line %d: sha256 of %q is the key itself, not its hash; the key is no longer secret, so make a new one", n.Line, e.name)
	}
	raw, err := hex.DecodeString(hash)
	if err != nil || len(raw) != len(e.hash) {
		return e, fmt.Errorf("line %d: sha256 of %q should be 64 hex digits", n.Line, e.name)
	}
	copy(e.hash[:], raw)
	if slices.Contains(emptyKeys, e.hash) {
		return e, fmt.Errorf("line %d: sha256 of %q is the hash of an empty key (was a variable not set?); make the entry with \"ramen token --backend\"", n.Line, e.name)
	}
	return e, nil
}

// parseScopes reads a list of scopes.
func parseScopes(n *yaml.Node) (Scope, error) {
	var names []string
	if err := n.Decode(&names); err != nil {
		return 0, errors.New("it should be a list out of " + ScopeNames)
	}
	var all Scope
	for _, name := range names {
		s, ok := ParseScope(name)
		if !ok {
			return 0, fmt.Errorf("unknown scope %q; use "+ScopeNames, name)
		}
		all |= s
	}
	return all, nil
}
