package protocol

import (
	"errors"
	"io"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// CompactJSON appends src, which must be one valid UTF-8 JSON value, without the white space between its tokens, and with
// nothing else changed: numbers, escapes, lone surrogates and duplicate names stay as they came (SPEC 5.2.4, 9.5.2, 10.4.7).
// Arrays and objects may nest 10,000 deep (SPEC 10.4.6). An error is an *Error that names the byte; dst is as it was then.
// dst may be src[:0].
func CompactJSON(dst, src []byte) ([]byte, error) {
	if !utf8.Valid(src) { // walkOptions let it pass, with the lone surrogates
		return dst, Invalidf("it is not UTF-8 at byte %d", invalidUTF8(src))
	}
	compact, err := jsontext.AppendFormat(dst, src, compactOptions...)
	if err != nil {
		return dst, compactError(src, err)
	}
	return compact, nil
}

var compactOptions = append([]jsontext.Options{jsontext.PreserveRawStrings(true)}, walkOptions...)

func compactError(src []byte, err error) error {
	var s *jsontext.SyntacticError
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return Invalidf("it ends too early, at byte %d", len(src))
	case errors.As(err, &s):
		return Invalidf("error at byte %d: %v", s.ByteOffset, s.Err)
	}
	return Invalidf("error: %v", err)
}

// invalidUTF8 returns the index of the first byte of b that is not UTF-8, or len(b).
func invalidUTF8(b []byte) int {
	for i := 0; i < len(b); {
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return len(b)
}
