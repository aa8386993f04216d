package auth

import (
	"encoding/base64"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// maxToken bounds what is looked at at all, in bytes. A header line of HTTP is of the same order.
const maxToken = 8 << 10

// strict64 refuses padding and stray bits, so that a token has one text. RFC 7515 2.
var strict64 = base64.RawURLEncoding.Strict()

// jws is a token cut into its parts. RFC 7515 3.1.
type jws struct {
	header    string // base64url
	payload   string // base64url
	signature string // base64url
	signed    string // what the signature is over: header "." payload
}

// split cuts a token without decoding anything.
func split(token string) (jws, error) {
	if token == "" {
		return jws{}, refusef("token is missing; send Authorization: Bearer TOKEN, or the parameter token")
	}
	if len(token) > maxToken {
		return jws{}, refusef("token has %d bytes; it should have at most %d", len(token), maxToken)
	}
	if n := strings.Count(token, "."); n != 2 {
		return jws{}, refusef("token has %d parts; a signed JWT has 3, separated by dots", n+1)
	}
	end := strings.LastIndexByte(token, '.')
	dot := strings.IndexByte(token, '.')
	return jws{header: token[:dot], payload: token[dot+1 : end], signature: token[end+1:], signed: token[:end]}, nil
}

// header is the part of a token's header that matters here. RFC 7515 4.1.
type header struct {
	Alg  string         `json:"alg"`
	Kid  string         `json:"kid"`
	Crit jsontext.Value `json:"crit"`
}

// parseHeader reads the base64url text of a header.
func parseHeader(text string) (*header, error) {
	raw, err := strict64.DecodeString(text)
	if err != nil {
		return nil, refusef("token header is not valid unpadded base64url")
	}
	h := new(header)
	if err := json.Unmarshal(raw, h); err != nil {
		return nil, refusef("token header is not a JSON object with alg and kid as strings")
	}
	if h.Crit != nil { // RFC 7515 4.1.11: what is critical and not understood must be refused; we know no extension
		return nil, refusef("token header has crit, but this server supports no extensions")
	}
	return h, nil
}
