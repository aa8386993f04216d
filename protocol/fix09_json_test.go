package protocol

import (
	"fmt"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"
)

// A serializer that writes every field writes null for those that are not set. SPEC 8.
func TestFix09NullIsAbsentInPublishes(t *testing.T) {
	const nulls = `"device":null,"id":null,"type":null,"priority":null,"payload_b64":null,"content_type":null,"ttl_ms":null,"collapse_key":null,"headers":null,"where":null`
	for body, want := range map[string]string{
		`{"user":"u","users":null,"messages":null,"payload":{"a":null},` + nulls + `}`: `{"user":"u","payload":{"a":null}}`,
		`{"user":null,"users":["a","b"],` + nulls + `}`:                                `{"users":["a","b"]}`,
		`{"user":"u","payload":null}`:                                                  `{"user":"u","payload":null}`,
		`{"user":"u","payload_b64":null,"payload":1}`:                                  `{"user":"u","payload":1}`,
		`{"user":"u","headers":{"a":null,"b":"c"},"where":{"os":null}}`:                `{"user":"u","headers":{"b":"c"}}`,
	} {
		one, batch, err := DecodePublishJSON(nil, []byte(body), limits())
		if err != nil || batch {
			t.Errorf("%s: %v, batch %v", body, err, batch)
			continue
		}
		wanted, _, err := DecodePublishJSON(nil, []byte(want), limits())
		if err != nil || !samePublish(one[0], wanted[0]) || one[0].refused != nil {
			t.Errorf("%s is read as %+v, not %+v (%v)", body, one[0], wanted[0], err)
		}
		many := `{"user":null,"payload_b64":null,"messages":[` + strings.Replace(body, `"messages":null,`, "", 1) + `],"ttl_ms":null}`
		if got, batch, err := DecodePublishJSON(nil, []byte(many), limits()); err != nil || !batch || !samePublish(got[0], wanted[0]) {
			t.Errorf("%s is read as %+v, %v", many, got, err)
		}
	}
	for _, bad := range []string{
		`{"user":null,"user":"u"}`, `{"user":"u","user":null}`, `{"user":null,"user":null}`, `{"messages":null,"messages":[{"user":"u"}]}`, `{"messages":[{"user":"u"}],"messages":null}`,
		`{"user":"u","headers":{"a":null,"a":"b"}}`, `{"user":"u","headers":{"a":null,"a":null}}`, `{"users":[null]}`, `{"messages":[null]}`, `null`, `{"user":"u","usr":null}`,
		`{"messages":[{"user":"u"}],"payload":null}`, `{"user":"u","type":nul}`,
	} {
		if _, _, err := DecodePublishJSON(nil, []byte(bad), limits()); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
	device, detail, err := DecodeDisconnectJSON([]byte(`{"device":null,"detail":null}`))
	if err != nil || device != "" || detail != "" {
		t.Errorf("a disconnect of nulls: %q %q %v", device, detail, err)
	}
	if _, _, err := DecodeDisconnectJSON([]byte(`{"device":null,"device":"d"}`)); err == nil {
		t.Error("a device that is given twice is taken")
	}
}

func TestFix09NumbersWithoutAFractionAreIntegers(t *testing.T) {
	for text, want := range map[string]int64{
		"20000": 20000, "20000.0": 20000, "2e4": 20000, "2E+4": 20000, "2.0e4": 20000, "20000000e-3": 20000, "0.2e5": 20000, "0": 0, "0.0": 0, "-0": 0, "0e-9": 0, "-1.0": -1,
		"9223372036854775807.0": 1<<63 - 1, "1e30": 1<<63 - 1, "-1e30": -1 << 63, "1e999999999999999999999": 1<<63 - 1, "0e999999999999999999999": 0,
	} {
		got, _, err := DecodePublishJSON(nil, []byte(`{"user":"u","ttl_ms":`+text+`}`), limits())
		if err != nil || got[0].TTLMS != want {
			t.Errorf("%s is read as %+v, %v", text, got, err)
		}
	}
	for _, bad := range []string{"1000.5", "1e-1", "12345e-2", "0.1", "1e-999999999999999999999", "1.", "1e", ".5", "01", "true", `"1000"`, "[]"} {
		if _, _, err := DecodePublishJSON(nil, []byte(`{"user":"u","ttl_ms":`+bad+`}`), limits()); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
}

// wholeNumber says what exact arithmetic says.
func TestFix09WholeNumbersAreExact(t *testing.T) {
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 0))
	most := new(big.Int).SetUint64(1<<64 - 1)
	digits := func(least, more int) string {
		var b strings.Builder
		for range least + rng.IntN(more) {
			b.WriteByte("0000123459"[rng.IntN(10)])
		}
		return b.String()
	}
	for range 100_000 {
		text := strings.TrimLeft(digits(1, 22), "0")
		if text == "" {
			text = "0"
		}
		if rng.IntN(2) == 0 {
			text += "." + digits(1, 6)
		}
		if rng.IntN(2) == 0 {
			text += fmt.Sprintf("e%d", rng.IntN(16)-6)
		}
		exact, _ := new(big.Rat).SetString(text)
		_, n, over, ok := wholeNumber([]byte(text))
		if ok != exact.IsInt() {
			t.Fatalf("seed %d: %s: whole is %v", seed, text, ok)
		}
		if ok && (over != (exact.Num().Cmp(most) > 0) || !over && exact.Num().Cmp(new(big.Int).SetUint64(n)) != 0) {
			t.Fatalf("seed %d: %s is read as %d, over %v", seed, text, n, over)
		}
	}
}

// What is declared as JSON is JSON, however that is written, and is checked. SPEC 9.
func TestFix09ContentTypesOfJSON(t *testing.T) {
	for _, kind := range []string{"application/json", "Application/JSON", "application/json; charset=utf-8", "APPLICATION/JSON;charset=UTF-8", " application/json ;", "application/json;\tx"} {
		if kind != "application/json;\tx" { // a tab is no printable text
			p := Publish{User: "u", ContentType: kind, Payload: []byte(" {\"a\" : 1} ")}
			if err := p.Check(limits()); err != nil || string(p.Payload) != `{"a":1}` || p.ContentType != ContentTypeJSON {
				t.Errorf("%q: %+v, %v", kind, p, err)
			}
		}
		p := Publish{User: "u", ContentType: kind, Payload: []byte(`{"a":`)}
		if p.Check(limits()) == nil {
			t.Errorf("%q: a payload that is no JSON is taken", kind)
		}
		if !IsJSON(kind) {
			t.Errorf("%q is no JSON", kind)
		}
	}
	for _, kind := range []string{"", "text/plain", "application/json5", "application/jsonx; a", "application/ld+json", "application/json charset=utf-8", "x; application/json"} {
		if IsJSON(kind) {
			t.Errorf("%q is JSON", kind)
		}
	}
	one, _, err := DecodePublishJSON(nil, []byte(`{"user":"u","content_type":"application/json; charset=utf-8","payload":{"a":1}}`), limits())
	if err != nil || one[0].Check(limits()) != nil {
		t.Errorf("payload with its content type: %v %v", one, err)
	}
	bad, _, err := DecodePublishJSON(nil, []byte(`{"user":"u","content_type":"application/json","payload_b64":"ew=="}`), limits())
	if err != nil || bad[0].Check(limits()) == nil {
		t.Errorf("payload_b64 that is no JSON: %v %v", bad, err)
	}
}
