package auth

import (
	"errors"
	"math"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"ramen/protocol"
)

// Claims is what a verified token says.
type Claims struct {
	User   protocol.UserID
	Device protocol.DeviceID // empty: the token pins no device
	// Expires is the token's exp plus the configured leeway: from then on Verify refuses it, and a stream ends.
	Expires time.Time
}

// payload is the part of a token's payload that matters here. RFC 7519 4.1; names are compared exactly, and a name that
// stands twice makes the token void (RFC 7519 4), so that no two readers can see different users in it.
type payload struct {
	Sub    text        `json:"sub"`
	Device text        `json:"device"`
	Iss    text        `json:"iss"`
	Aud    audience    `json:"aud"`
	Exp    numericDate `json:"exp"`
	Nbf    numericDate `json:"nbf"`
}

// lifetime is when a token is good, in ns since 1970 and with the leeway in it.
type lifetime struct{ from, to int64 }

// parsePayload reads a payload whose signature is good.
func parsePayload(b64 string) (*payload, error) {
	raw, err := strict64.DecodeString(b64)
	if err != nil {
		return nil, refusef("token payload is not valid unpadded base64url")
	}
	p := new(payload)
	if err := json.Unmarshal(raw, p); err != nil {
		if w, ok := errors.AsType[*wrongClaim](err); ok {
			return nil, refusef("token's %s is a %s; it should be %s", w.name, w.is, w.should)
		}
		return nil, refusef("token payload is not a JSON object, or has a name twice")
	}
	return p, nil
}

// claims checks p against c, but for the time, and answers what it says.
func (p *payload) claims(c *TokensConfig) (Claims, lifetime, error) {
	var none Claims
	if err := p.checkIssuer(c); err != nil {
		return none, lifetime{}, err
	}
	if !p.Exp.set {
		return none, lifetime{}, refusef("token has no exp; it should say when it expires, in seconds since 1970")
	}
	if !p.Sub.set {
		return none, lifetime{}, refusef("token has no sub; it should be the user")
	}
	if err := protocol.CheckUser(p.Sub.value); err != nil {
		return none, lifetime{}, refusef("token's sub is not a user id: %s", reasonOf(err))
	}
	if p.Device.set {
		if err := protocol.CheckDevice(p.Device.value); err != nil {
			return none, lifetime{}, refusef("token's device is not a device id: %s", reasonOf(err))
		}
	}
	life := lifetime{from: math.MinInt64, to: p.Exp.ns + int64(c.Leeway)}
	if p.Nbf.set {
		life.from = p.Nbf.ns - int64(c.Leeway)
	}
	return Claims{
		User: protocol.UserID(p.Sub.value), Device: protocol.DeviceID(p.Device.value), Expires: time.Unix(0, life.to),
	}, life, nil
}

// checkIssuer checks whom the token is from and for.
func (p *payload) checkIssuer(c *TokensConfig) error {
	if c.Issuer != "" && p.Iss.value != c.Issuer {
		if !p.Iss.set {
			return refusef("token has no iss; it should be %q", c.Issuer)
		}
		return refusef("token's iss is %.128q; it should be %q", p.Iss.value, c.Issuer)
	}
	if len(c.Audience) == 0 {
		return nil
	}
	for _, a := range p.Aud {
		if slices.Contains(c.Audience, a) {
			return nil
		}
	}
	if len(p.Aud) == 0 {
		return refusef("token has no aud; it should be one of %q", c.Audience)
	}
	return refusef("token's aud is %.128q; it should be one of %q", p.Aud[0], c.Audience)
}

// reasonOf is the message of a *protocol.Error without its code.
func reasonOf(err error) string {
	if e, ok := errors.AsType[*protocol.Error](err); ok {
		return e.Message
	}
	return err.Error()
}

// check says whether now is within l.
func (l lifetime) check(now time.Time, leeway time.Duration) error {
	ns := now.UnixNano()
	if ns >= l.to {
		exp := time.Unix(0, l.to).Add(-leeway)
		return refusef("token expired at %s, %s ago; get a new one", exp.UTC().Format(time.RFC3339), now.Sub(exp).Round(time.Second))
	}
	if ns < l.from {
		nbf := time.Unix(0, l.from).Add(leeway)
		return refusef("token is not valid before %s (its nbf)", nbf.UTC().Format(time.RFC3339))
	}
	return nil
}

// wrongClaim is a claim of the wrong type.
type wrongClaim struct{ name, is, should string }

func (w *wrongClaim) Error() string { return "auth: " + w.name + " is a " + w.is }

func wrong(d *jsontext.Decoder, should string) error {
	return &wrongClaim{name: string(d.StackPointer().LastToken()), is: kindName(d.PeekKind()), should: should}
}

func kindName(k jsontext.Kind) string {
	switch k {
	case 'n':
		return "null"
	case 't', 'f':
		return "boolean"
	case '"':
		return "string"
	case '0':
		return "number"
	case '{':
		return "object"
	case '[':
		return "list"
	}
	return "broken value"
}

// text is a string that may be absent. null is none.
type text struct {
	value string
	set   bool
}

// UnmarshalJSONFrom reads a string.
func (t *text) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	if d.PeekKind() != '"' {
		return wrong(d, "a string")
	}
	tok, err := d.ReadToken()
	if err != nil {
		return err
	}
	t.value, t.set = tok.String(), true
	return nil
}

// audience is a string or a list of strings. RFC 7519 4.1.3.
type audience []string

// UnmarshalJSONFrom reads one or several strings.
func (a *audience) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	var one text
	switch d.PeekKind() {
	case '"':
		err := one.UnmarshalJSONFrom(d)
		*a = append(*a, one.value)
		return err
	case '[':
		return a.readList(d)
	}
	return wrong(d, "a string or a list of strings")
}

func (a *audience) readList(d *jsontext.Decoder) error {
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	for d.PeekKind() != ']' {
		var one text
		if err := one.UnmarshalJSONFrom(d); err != nil {
			if w, ok := errors.AsType[*wrongClaim](err); ok {
				w.name, w.should = "aud", "a string or a list of strings"
			}
			return err
		}
		*a = append(*a, one.value)
	}
	_, err := d.ReadToken()
	return err
}

// numericDate is seconds since 1970, perhaps with a fraction. RFC 7519 2.
type numericDate struct {
	ns  int64
	set bool
}

const (
	lastDate = 253_402_300_799 // s: the end of the year 9999, which issuers write for "never"
	maxDate  = 9_200_000_000   // s, in 2261: dates after it are taken for it, so that ns and a leeway fit in an int64
)

// UnmarshalJSONFrom reads a number.
func (n *numericDate) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	if d.PeekKind() != '0' {
		return wrong(d, "a number: seconds since 1970")
	}
	tok, err := d.ReadToken()
	if err != nil {
		return err
	}
	f, err := tok.Float()
	if err != nil || math.Abs(f) > lastDate { // a token that meant ms would be good for ever
		return &wrongClaim{string(d.StackPointer().LastToken()), "number beyond the year 9999", "in seconds since 1970"}
	}
	n.ns, n.set = int64(max(min(f, maxDate), -maxDate)*1e3)*1e6, true
	return nil
}
