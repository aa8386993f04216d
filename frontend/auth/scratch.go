package auth

import (
	"bytes"
	"io"
	"sync"
	"unsafe"

	"github.com/go-json-experiment/json/jsontext"
)

// scratch is what a part of a token is decoded with.
type scratch struct {
	raw []byte
	in  bytes.Buffer // over raw: the decoder reads one without a copy
	dec jsontext.Decoder
}

var scratches = sync.Pool{New: func() any { return &scratch{raw: make([]byte, 0, 512)} }}

// decode is the bytes of a base64url text, good until the next call.
func (b *scratch) decode(text string) ([]byte, bool) {
	var err error
	b.raw, err = strict64.AppendDecode(b.raw[:0], unsafe.Slice(unsafe.StringData(text), len(text))) // without a copy
	return b.raw, err == nil
}

// read takes the claims that matter here from a JSON object, which is all of raw. The names are those of payload's fields.
func (p *payload) read(raw []byte, b *scratch) error {
	b.in = *bytes.NewBuffer(raw)
	d := &b.dec
	d.Reset(&b.in)
	if k := d.PeekKind(); k != '{' {
		return errNoObject
	}
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	for d.PeekKind() != '}' {
		name, err := d.ReadValue()
		if err == nil {
			err = p.readClaim(name, d)
		}
		if err != nil {
			return err
		}
	}
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	if _, err := d.ReadToken(); err != io.EOF {
		return errNoObject
	}
	return nil
}

// readClaim reads the value behind name, which is JSON. Names that are escaped are read as what they mean.
func (p *payload) readClaim(name jsontext.Value, d *jsontext.Decoder) error {
	if bytes.IndexByte(name, '\\') >= 0 {
		plain, err := jsontext.AppendUnquote(nil, name)
		if err != nil {
			return err
		}
		name = append(append(append(jsontext.Value{}, '"'), plain...), '"')
	}
	switch string(name) {
	case `"sub"`:
		return p.Sub.UnmarshalJSONFrom(d)
	case `"device"`:
		return p.Device.UnmarshalJSONFrom(d)
	case `"iss"`:
		return p.Iss.UnmarshalJSONFrom(d)
	case `"aud"`:
		return p.Aud.UnmarshalJSONFrom(d)
	case `"exp"`:
		return p.Exp.UnmarshalJSONFrom(d)
	case `"nbf"`:
		return p.Nbf.UnmarshalJSONFrom(d)
	}
	return d.SkipValue()
}
