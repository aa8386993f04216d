package devices

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"
)

// walker walks over JSON texts of a server, one after another. It is used by one goroutine.
type walker struct {
	d    jsontext.Decoder
	text bytes.Buffer // the decoder reads it in place
}

// What a payload may have: SPEC lets publishers repeat names in it.
var walkOptions = []jsontext.Options{jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)}

// members calls each with every member of the object b, whose values it hands over as they stand. What is malformed ends the walk with false.
func (w *walker) members(b []byte, each func(name, value []byte)) bool {
	w.text = *bytes.NewBuffer(b)
	w.d.Reset(&w.text, walkOptions...)
	if t, err := w.d.ReadToken(); err != nil || t.Kind() != '{' {
		return false
	}
	for w.d.PeekKind() == '"' {
		name, err := w.d.ReadValue()
		if err != nil {
			return false
		}
		name = name[1 : len(name)-1]
		value, err := w.d.ReadValue()
		if err != nil {
			return false
		}
		each(name, value)
	}
	_, err := w.d.ReadToken()
	return err == nil
}
