package protocol

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// The limits of SPEC 1.1, in bytes where nothing else is said.
const (
	MaxName       = 128  // a user, a device, a message's id, type and collapse key
	MaxStreamName = 32   // hello's stream
	MaxContext    = 1024 // a device's context, its labels' keys counted
	MaxLabels     = 16   // labels of a context
	MaxHeaders    = 4096 // a message's headers, keys counted
	MaxWhere      = 4096 // a publish's where, keys counted: far more than any context can match
)

// CheckUser is nil, or an *Error that says what would be right.
func CheckUser(s string) error { return checkName("user", s, true) }

// CheckDevice is nil, or an *Error that says what would be right.
func CheckDevice(s string) error { return checkName("device", s, true) }

// CheckMessageID is nil, or an *Error that says what would be right.
func CheckMessageID(s string) error { return checkName("id", s, true) }

// CheckType is nil, or an *Error that says what would be right. A type may be empty.
func CheckType(s string) error { return checkName("type", s, false) }

// CheckCollapseKey is nil, or an *Error that says what would be right. A collapse key may be empty.
func CheckCollapseKey(s string) error { return checkName("collapse_key", s, false) }

func checkName(what, s string, required bool) error {
	if s == "" && required {
		return Invalidf("%s is missing: it must be 1 to %d bytes of printable UTF-8 without spaces", what, MaxName)
	}
	if len(s) > MaxName {
		return Invalidf("%s has %d bytes: at most %d are allowed", what, len(s), MaxName)
	}
	for i, r := range s {
		if '!' <= r && r <= '~' {
			continue
		}
		if r == utf8.RuneError && strings.HasPrefix(s[i:], "\uFFFD") {
			continue // the character itself, which is printable
		}
		if r == utf8.RuneError {
			return Invalidf("%s is not UTF-8 at byte %d: it must be 1 to %d bytes of printable UTF-8 without spaces", what, i, MaxName)
		}
		if r == ' ' || !unicode.IsPrint(r) {
			return Invalidf("%s has %U at byte %d: it must be 1 to %d bytes of printable UTF-8, without spaces and control characters", what, r, i, MaxName)
		}
	}
	return nil
}

// CheckContext is nil, or an *Error that says what would be right. No context at all is right.
func CheckContext(c *DeviceContext) error {
	if c == nil {
		return nil
	}
	if len(c.Labels) > MaxLabels {
		return Invalidf("context has %d labels: at most %d are allowed", len(c.Labels), MaxLabels)
	}
	size := HeadersSize(c.Labels)
	for _, v := range [...]string{c.App, c.AppVersion, c.OS, c.OSVersion, c.Model, c.Locale} {
		size += len(v)
		if !utf8.ValidString(v) {
			return Invalidf("context has a value that is not UTF-8: %+q", clip(v))
		}
	}
	if size > MaxContext {
		return Invalidf("context has %d bytes, keys of labels counted: at most %d are allowed", size, MaxContext)
	}
	return checkTexts("context's labels", c.Labels)
}

// CheckHeaders is nil, or an *Error that says what would be right.
func CheckHeaders(h map[string]string) error {
	if n := HeadersSize(h); n > MaxHeaders {
		return Invalidf("headers have %d bytes, keys counted: at most %d are allowed", n, MaxHeaders)
	}
	return checkTexts("headers", h)
}

// CheckWhere is nil, or an *Error that says what would be right. SPEC 9.4.3, 10.5.4.
func CheckWhere(w map[string]string) error {
	if n := HeadersSize(w); n > MaxWhere {
		return Invalidf("where has %d bytes, keys counted: at most %d are allowed", n, MaxWhere)
	}
	for k := range w {
		switch k {
		case "app", "app_version", "os", "os_version", "model", "locale":
			continue
		}
		if !strings.HasPrefix(k, labelPrefix) || len(k) == len(labelPrefix) {
			return Invalidf("where has the unknown key %+q: the keys are app, app_version, os, os_version, model, locale and label.NAME", clip(k))
		}
	}
	return checkTexts("where", w)
}

func checkTexts(what string, m map[string]string) error {
	for k, v := range m {
		if !utf8.ValidString(k) || !utf8.ValidString(v) {
			return Invalidf("%s have text that is not UTF-8 at key %+q", what, clip(k))
		}
	}
	return nil
}

// CheckCursor is nil where s has the shape of a cursor, else an *Error that says what would be right. SPEC 2.4.5.
func CheckCursor(s string) error {
	if ValidCursor(s) {
		return nil
	}
	return Invalidf("cursor %+q is not a cursor: use one that a push carried, 1 to %d bytes of A-Z a-z 0-9 . _ -", clip(s), MaxCursor)
}

// clip bounds what an error message repeats of its cause.
func clip(s string) string {
	const most = 64
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}
