package auth

import (
	"encoding/base64"
	"reflect"
	"testing"

	"github.com/go-json-experiment/json"
)

// Claims are read as package json would read them into a payload, and refused where it would refuse them.
func FuzzPayload(f *testing.F) {
	for _, text := range []string{
		`{"sub":"u","device":"d","iss":"i","aud":["a","b"],"exp":1.5e9,"nbf":-1}`, `{"aud":"a","x":{"sub":[1,{"sub":2}]}}`,
		`{"sub":"u","sub":"v"}`, `{"s\u0075b":"u"}`, `{"s\u0075b":"u","sub":"v"}`, `{"Sub":"u"}`, `{"sub":null}`, `{"sub":1}`, `{"exp":"1"}`, `{"exp":1e300}`,
		`{"aud":[1]}`, `{"aud":["a"`, `{}`, ` {} `, `{}{}`, `{},`, `[]`, `"sub"`, `null`, ``, `{"sub":"\ud800"}`, "{\"sub\":\"\xff\"}", `{"a":1,}`, `{"sub":"u"} x`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := parsePayload(base64.RawURLEncoding.EncodeToString(raw))
		var ref payload
		refErr := json.Unmarshal(raw, &ref)
		if err != nil && refErr == nil && reflect.DeepEqual(ref, payload{}) {
			return // null, which has no exp
		}
		if (err == nil) != (refErr == nil) {
			t.Fatalf("%q: %v, and package json says %v", raw, err, refErr)
		}
		if err == nil && !reflect.DeepEqual(*p, ref) {
			t.Fatalf("%q: %+v, and package json says %+v", raw, *p, ref)
		}
	})
}

// A token costs its claims alone: HMAC and decoder are used again. The race detector has pools forget, hence the 11; anew they would be 12 without it.
func TestTokenCostsFewAllocations(t *testing.T) {
	k := keyFor(t, "HS256")
	tokens := open(t, k.config(t))
	token := mint(t, k.signing, grant())
	if n := testing.AllocsPerRun(100, func() { tokens.Verify(token) }); n > 11 {
		t.Errorf("%v allocations", n)
	}
}
