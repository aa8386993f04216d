package protocol

import (
	"encoding/base64"
	"strconv"
)

// JSONObject appends the fields of one JSON object to B, in the order of the calls. Those with nothing in them are
// absent, but numbers and booleans that are asked for are there. SPEC 8.4.2.
type JSONObject struct {
	B    []byte
	some bool
}

// OpenJSONObject begins an object at the end of b.
func OpenJSONObject(b []byte) JSONObject { return JSONObject{B: append(b, '{')} }

// Close ends the object, and is the bytes.
func (o *JSONObject) Close() []byte { return append(o.B, '}') }

// Name appends a field's name; the caller appends its value to B.
func (o *JSONObject) Name(name string) {
	if o.some {
		o.B = append(o.B, ',')
	}
	o.some = true
	o.B = append(o.B, '"')
	o.B = append(o.B, name...)
	o.B = append(o.B, '"', ':')
}

// Text appends a string, unless it is empty.
func (o *JSONObject) Text(name, s string) {
	if s != "" {
		o.Name(name)
		o.B = appendJSONString(o.B, s)
	}
}

// Texts appends an object of strings, its keys in order, unless it is empty.
func (o *JSONObject) Texts(name string, m map[string]string) {
	if len(m) > 0 {
		o.Name(name)
		o.B = appendJSONMap(o.B, m)
	}
}

// Int appends a number.
func (o *JSONObject) Int(name string, n int64) {
	o.Name(name)
	o.B = strconv.AppendInt(o.B, n, 10)
}

// Bool appends a boolean.
func (o *JSONObject) Bool(name string, v bool) {
	o.Name(name)
	o.B = strconv.AppendBool(o.B, v)
}

// Payload appends a payload as payload, where it is JSON, or as payload_b64; neither where it is empty.
func (o *JSONObject) Payload(payload []byte, contentType string) {
	switch {
	case len(payload) == 0:
	case contentType == "" || contentType == ContentTypeJSON:
		o.Name("payload")
		o.B = append(o.B, payload...)
	default:
		o.Name("payload_b64")
		o.B = append(o.B, '"')
		o.B = append(base64.StdEncoding.AppendEncode(o.B, payload), '"')
	}
}
