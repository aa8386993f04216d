package protocol

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

// jsonReader reads the text frames of devices strictly: names are compared exactly, and no name may stand twice. Its
// errors are *FrameError.
type jsonReader struct{ d *jsontext.Decoder }

// newJSONReader reads b, which must be UTF-8. An escape of a lone surrogate is JSON all the same, and reads as U+FFFD.
func newJSONReader(b []byte) jsonReader {
	return jsonReader{jsontext.NewDecoder(bytes.NewReader(b), jsontext.AllowInvalidUTF8(true))}
}

// document reads the one object that a frame is.
func (r jsonReader) document(member func(name string) error) error {
	if err := r.object("a frame", member); err != nil {
		return err
	}
	switch _, err := r.d.ReadToken(); {
	case err == io.EOF:
		return nil
	case err != nil:
		return notJSON(err)
	}
	return frameErrorf("a frame has more than one JSON value: send one object per frame")
}

// object reads an object; member reads the value of each name, but null.
func (r jsonReader) object(what string, member func(name string) error) error {
	if err := r.expect(what, '{', "an object"); err != nil {
		return err
	}
	for r.d.PeekKind() == '"' {
		name, err := r.d.ReadToken()
		if err != nil {
			return notJSON(err)
		}
		of := name.String()
		if r.d.PeekKind() == 'n' { // as good as absent. SPEC 8
			if err := r.skip(); err != nil {
				return err
			}
			continue
		}
		if err := member(of); err != nil {
			return err
		}
	}
	if _, err := r.d.ReadToken(); err != nil { // the closing brace, or what is wrong
		return notJSON(err)
	}
	return nil
}

func (r jsonReader) expect(what string, kind jsontext.Kind, want string) error {
	token, err := r.d.ReadToken()
	if err != nil {
		return notJSON(err)
	}
	if token.Kind() != kind {
		return frameErrorf("%s is a JSON %v: it must be %s", what, token.Kind(), want)
	}
	return nil
}

func (r jsonReader) skip() error {
	if err := r.d.SkipValue(); err != nil {
		return notJSON(err)
	}
	return nil
}

func (r jsonReader) text(what string) (string, error) {
	token, err := r.d.ReadToken()
	if err != nil {
		return "", notJSON(err)
	}
	if token.Kind() != '"' {
		return "", frameErrorf("%s is a JSON %v: it must be a string", what, token.Kind())
	}
	return token.String(), nil
}

func (r jsonReader) uint(what string) (uint64, error) {
	v, err := r.d.ReadValue()
	if err != nil {
		return 0, notJSON(err)
	}
	if v.Kind() != '0' {
		return 0, frameErrorf("%s is a JSON %v: it must be a number", what, v.Kind())
	}
	negative, n, over, ok := wholeNumber(v)
	if !ok || over || negative && n != 0 {
		return 0, frameErrorf("%s is %s: it must be a whole number from 0 to 2^64-1", what, clip(string(v)))
	}
	return n, nil
}

// texts reads an object whose values are strings.
func (r jsonReader) texts(what string) (map[string]string, error) {
	m := make(map[string]string)
	err := r.object(what, func(name string) (err error) {
		m[name], err = r.text("a value of " + what)
		return err
	})
	return m, err
}

// frame notes that f is of kind, which it can be only once.
func (r jsonReader) frame(f *DeviceFrame, kind FrameKind, read func() error) error {
	if f.Kind != FrameNone {
		return frameErrorf("a frame has both ack and refresh: send one per frame")
	}
	f.Kind = kind
	return read()
}

func (r jsonReader) ack(f *DeviceFrame) (hasSeq bool, err error) {
	err = r.object("ack", func(name string) (err error) {
		switch name {
		case "seq":
			var v uint64
			v, err = r.uint("ack.seq")
			f.Seq, hasSeq = Seq(v), true
		case "cursor":
			f.Cursor, err = r.text("ack.cursor")
		default:
			err = r.skip()
		}
		return err
	})
	return hasSeq, err
}

func (r jsonReader) refresh(f *DeviceFrame) error {
	return r.object("refresh", func(name string) (err error) {
		switch name {
		case "token":
			f.Token, err = r.text("refresh.token")
		case "context":
			f.Context = new(DeviceContext)
			err = r.context(f.Context)
		default:
			err = r.skip()
		}
		return err
	})
}

func (r jsonReader) context(c *DeviceContext) error {
	return r.object("context", func(name string) (err error) {
		switch name {
		case "app":
			c.App, err = r.text("context.app")
		case "app_version":
			c.AppVersion, err = r.text("context.app_version")
		case "os":
			c.OS, err = r.text("context.os")
		case "os_version":
			c.OSVersion, err = r.text("context.os_version")
		case "model":
			c.Model, err = r.text("context.model")
		case "locale":
			c.Locale, err = r.text("context.locale")
		case "labels":
			c.Labels, err = r.texts("context.labels")
		default:
			err = r.skip()
		}
		return err
	})
}

func frameErrorf(format string, args ...any) error {
	return &FrameError{Message: fmt.Sprintf(format, args...)}
}

// notJSON is the error for what jsontext refuses: bad syntax, text that is no UTF-8, a name that stands twice.
func notJSON(err error) error {
	var syntactic *jsontext.SyntacticError
	if errors.As(err, &syntactic) {
		return frameErrorf("not JSON at byte %d: %v", syntactic.ByteOffset, syntactic.Err)
	}
	return frameErrorf("not JSON: %v", err)
}
