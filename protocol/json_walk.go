package protocol

import (
	"bytes"
	"errors"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// jsonWalk reads one JSON text of a publisher or a device, field by field, without reflection. What it hands out as bytes aliases the text. Its
// first error, an *Error that names the field, the byte and what would be right, stays: after it nothing more is read.
type jsonWalk struct {
	d     *jsontext.Decoder
	what  string // the text, in errors
	frame bool   // of a device: errors are *FrameError
	at    int64  // where the value or name that was read last begins
	err   error
}

// The text as a whole is checked to be UTF-8 before it is walked; an escape that is half a surrogate pair is then only
// ours to refuse in our own fields, and CompactJSON's in a payload. Likewise names that repeat in a payload's objects:
// RFC 8259 4 lets them, and what a device makes of it is not ours to say.
var walkOptions = []jsontext.Options{jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)}

func newJSONWalk(text []byte) *jsonWalk {
	w := &jsonWalk{d: jsontext.NewDecoder(bytes.NewBuffer(text), walkOptions...), what: "body"}
	w.checkUTF8(text)
	return w
}

// newJSONFrameWalk reads a device's text frame. No name may stand twice in it, and an escape that is half a surrogate pair reads as
// U+FFFD, as in other readers of JSON.
func newJSONFrameWalk(text []byte) *jsonWalk {
	w := &jsonWalk{d: jsontext.NewDecoder(bytes.NewBuffer(text), jsontext.AllowInvalidUTF8(true)), what: "frame", frame: true}
	w.checkUTF8(text)
	return w
}

func (w *jsonWalk) checkUTF8(text []byte) {
	if !utf8.Valid(text) {
		w.fail(Invalidf("%s is not UTF-8 at byte %d", w.what, invalidUTF8(text)))
	}
}

func (w *jsonWalk) fail(err error) {
	if w.err == nil {
		w.err = err
	}
}

// open enters an object ('{') or an array ('[').
func (w *jsonWalk) open(kind jsontext.Kind) {
	if w.err != nil {
		return
	}
	if got := w.d.PeekKind(); got != kind && got > 0 {
		w.wrong(w.value(), kindName(kind))
		return
	}
	if _, err := w.d.ReadToken(); err != nil {
		w.syntax(err)
	}
}

// field is the name of the object's next field, whose value is to be read before the next call; false at its end.
func (w *jsonWalk) field() ([]byte, bool) {
	if !w.more('}') {
		return nil, false
	}
	name := w.unquote(w.value())
	return name, w.err == nil
}

// member is field for objects in which a null is as good as absent: it passes over those. SPEC 8.4.3.
func (w *jsonWalk) member() ([]byte, bool) {
	for {
		name, ok := w.field()
		if !ok || !w.null() {
			return name, ok && w.err == nil
		}
	}
}

// more reports whether another element comes before the end of the object ('}') or array (']').
func (w *jsonWalk) more(end jsontext.Kind) bool {
	if w.err != nil {
		return false
	}
	if w.d.PeekKind() != end {
		return true
	}
	if _, err := w.d.ReadToken(); err != nil {
		w.syntax(err)
	}
	return false
}

// value is the next value as it stands in the text.
func (w *jsonWalk) value() []byte {
	if w.err != nil {
		return nil
	}
	v, err := w.d.ReadValue()
	if err != nil {
		w.syntax(err)
	}
	w.at = w.d.InputOffset() - int64(len(v))
	return v
}

// text is the next value, which must be a string.
func (w *jsonWalk) text() []byte {
	v := w.value()
	if w.err != nil {
		return nil
	}
	if v[0] != '"' {
		w.wrong(v, "a string")
		return nil
	}
	return w.unquote(v)
}

// integer is the next value, which must be a number without a fraction; beyond int64 it is the nearest.
func (w *jsonWalk) integer() int64 {
	v := w.value()
	if w.err != nil {
		return 0
	}
	if jsontext.Value(v).Kind() != '0' {
		w.wrong(v, "a whole number")
		return 0
	}
	negative, n, _, ok := wholeNumber(v)
	switch {
	case !ok:
		w.fail(Invalidf("%s at byte %d is %s: it must be a whole number", w.path(), w.at, clip(string(v))))
		return 0
	case negative && n > math.MaxInt64:
		return math.MinInt64
	case negative:
		return -int64(n)
	}
	return int64(min(n, math.MaxInt64))
}

// unsigned is the next value, which must be a whole number from 0 to 2^64-1.
func (w *jsonWalk) unsigned() uint64 {
	v := w.value()
	if w.err != nil {
		return 0
	}
	if jsontext.Value(v).Kind() != '0' {
		w.wrong(v, "a whole number")
		return 0
	}
	negative, n, over, ok := wholeNumber(v)
	if !ok || over || negative && n != 0 {
		w.fail(Invalidf("%s at byte %d is %s: it must be a whole number from 0 to 2^64-1", w.path(), w.at, clip(string(v))))
		return 0
	}
	return n
}

// null reports whether the next value is null, and passes over it. A field of that value is as good as absent. SPEC 8.4.3.
func (w *jsonWalk) null() bool {
	if w.err != nil || w.d.PeekKind() != 'n' {
		return false
	}
	w.value()
	return w.err == nil
}

// texts is the next value, which must be an object of strings; nil where it is empty. A name whose value is null is absent.
func (w *jsonWalk) texts() map[string]string {
	var m map[string]string
	var nulls map[string]bool // the names whose value was null
	w.open('{')
	for name, ok := w.field(); ok; name, ok = w.field() {
		key := string(name)
		if _, twice := m[key]; twice || nulls[key] {
			w.twice()
		}
		if w.null() {
			if nulls == nil {
				nulls = make(map[string]bool)
			}
			nulls[key] = true
			continue
		}
		if m == nil {
			m = make(map[string]string)
		}
		m[key] = string(w.text())
	}
	return m
}

// end says that the text ends here.
func (w *jsonWalk) end() error {
	if w.err == nil {
		if _, err := w.d.ReadToken(); err == nil {
			w.fail(Invalidf("%s has more data at byte %d, after its JSON value: send one object", w.what, w.d.InputOffset()-1))
		} else if err != io.EOF {
			w.syntax(err)
		}
	}
	if e, ok := w.err.(*Error); ok && w.frame {
		return &FrameError{Message: e.Message}
	}
	return w.err
}

func (w *jsonWalk) unquote(v []byte) []byte {
	if w.err != nil {
		return nil
	}
	if bytes.IndexByte(v, '\\') < 0 {
		return v[1 : len(v)-1]
	}
	s, err := jsontext.AppendUnquote(make([]byte, 0, len(v)), v)
	if err != nil && !w.frame {
		w.fail(Invalidf("%s at byte %d has an escape of half a surrogate pair, which is not a character", w.path(), w.at))
	}
	return s
}

// wrong says that v, which was read last, should have been something else.
func (w *jsonWalk) wrong(v []byte, right string) {
	if w.err == nil {
		w.fail(Invalidf("%s at byte %d is %s: it must be %s", w.path(), w.at, kindName(jsontext.Value(v).Kind()), right))
	}
}

// twice says that the name that was read last stood in its object before.
func (w *jsonWalk) twice() {
	w.fail(Invalidf("%s at byte %d is given twice: give it once", w.path(), w.at))
}

func (w *jsonWalk) syntax(err error) {
	var s *jsontext.SyntacticError
	switch {
	case errors.Is(err, io.EOF):
		w.fail(Invalidf("%s is empty: send a JSON object", w.what))
	case errors.Is(err, io.ErrUnexpectedEOF):
		w.fail(Invalidf("%s is not JSON: it ends too early, at byte %d", w.what, w.d.InputOffset()+int64(len(w.d.UnreadBuffer()))))
	case errors.As(err, &s):
		w.fail(Invalidf("%s is not JSON at byte %d: %v", w.what, s.ByteOffset, s.Err))
	default:
		w.fail(Invalidf("%s is not JSON: %v", w.what, err))
	}
}

// path names where the walk stands, as in messages[3].headers.k; the text itself at the top.
func (w *jsonWalk) path() string {
	var b strings.Builder
	for token := range w.d.StackPointer().Tokens() {
		if _, err := strconv.Atoi(token); err == nil && b.Len() > 0 {
			b.WriteString("[" + token + "]")
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('.')
		}
		b.WriteString(clip(token))
	}
	if b.Len() == 0 {
		return w.what
	}
	return b.String()
}

func kindName(k jsontext.Kind) string {
	switch k {
	case 'n':
		return "null"
	case 't', 'f':
		return "a boolean"
	case '"':
		return "a string"
	case '0':
		return "a number"
	case '{':
		return "an object"
	case '[':
		return "an array"
	}
	return "no JSON"
}
