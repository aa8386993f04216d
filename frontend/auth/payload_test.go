package auth

import (
	"fmt"
	"testing"
	"time"

	"ramen/protocol"
)

// No two readers see different users in a token: names are exact, and none stands twice, whatever its spelling. RFC 7519 4.
func TestClaimNamesAreExactAndUnique(t *testing.T) {
	tokens := open(t, keyFor(t, "HS256").config(t))
	exp := time.Now().Add(time.Hour).Unix()
	for _, c := range []struct{ payload, want string }{ // want is the refusal; empty: the user is u
		{`{"sub":"u","exp":%d}`, ""},
		{` {"exp":%d.5,"x":{"sub":[1,{"sub":2}]},"s\u0075b":"u"} `, ""},
		{`{"Sub":"v","SUB":"w","sub":"u","exp":%d}`, ""},
		{`{"Sub":"u","exp":%d}`, "token has no sub"},
		{`{"sub":"u","sub":"u","exp":%d}`, "or has a name twice"},
		{`{"sub":"u","s\u0075b":"v","exp":%d}`, "or has a name twice"},
		{`{"sub":"u","x":1,"x":2,"exp":%d}`, "or has a name twice"},
		{`{"sub":null,"exp":%d}`, "token's sub is a null; it should be a string"},
		{`{"sub":"u","exp":%d}{}`, "token payload is not a JSON object"},
		{`{"sub":"u","exp":%d,}`, "token payload is not a JSON object"},
		{`["sub","u",%d]`, "token payload is not a JSON object"},
		{`%d`, "token payload is not a JSON object"},
		{`null%.0d`, "token has no exp"},
		{`%.0d`, "token payload is not a JSON object"},
		{`{"sub":"\ud800","exp":%d}`, "token payload is not a JSON object"},
		{"{\"sub\":\"\xff\",\"exp\":%d}", "token payload is not a JSON object"},
	} {
		payload := fmt.Sprintf(c.payload, exp)
		if c.payload == `null%.0d` || c.payload == `%.0d` {
			payload = fmt.Sprintf(c.payload, 0)
		}
		claims, err := tokens.Verify(hs256(t, payload))
		if c.want != "" {
			refused(t, err, protocol.CodeUnauthenticated, c.want)
		} else if err != nil || claims.User != "u" {
			t.Errorf("%s: %+v, %v", payload, claims, err)
		}
	}
}

// What is inside a token is judged only once its signature is good: a stranger learns nothing of what is expected there.
func TestSignatureIsJudgedBeforeClaims(t *testing.T) {
	cfg := keyFor(t, "HS256").config(t)
	cfg.Issuer, cfg.Audience = "me", []string{"ramen"}
	tokens := open(t, cfg)
	for _, payload := range []string{`{}`, `{"sub":1}`, `{"sub":"u","sub":"v"}`, `{"sub":"u","exp":1}`, `{"sub":"u","exp":99999999999,"iss":"x"}`, `null`, `[]`} {
		_, err := tokens.Verify(sign(t, mustSecret(t, "another secret, of thirty-two bytes"), `{"alg":"HS256"}`, payload))
		refused(t, err, protocol.CodeUnauthenticated, "token signature does not fit any key for HS256")
	}
}

// A token costs 12 allocations: its claims, what its parts are decoded into, and the HMAC. The race detector has pools forget, hence the 15.
func TestTokenCostsFewAllocations(t *testing.T) {
	k := keyFor(t, "HS256")
	tokens := open(t, k.config(t))
	token := mint(t, k.signing, grant())
	if n := testing.AllocsPerRun(100, func() { tokens.Verify(token) }); n > 15 {
		t.Errorf("%v allocations", n)
	}
}
