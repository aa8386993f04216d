package driver

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// URL names a store: scheme://user:password@host:port,host:port/path?key=value, or scheme:path. However it is printed, the password
// is left out. The zero URL names none.
type URL struct {
	at       url.URL // without the password
	password *string // a pointer, so that a print of what has a URL in it does not follow it; nil: there is none
	written  bool
}

// ParseURL reads a URL. An error does not repeat the text, of which a part may be a password that nobody can tell from the rest.
func ParseURL(text string) (URL, error) {
	scheme, rest, ok := strings.Cut(text, ":")
	if !ok || !isScheme(scheme) {
		return URL{}, errors.New("it has no scheme: a URL of a store begins like pebble: or redis://")
	}
	rest, hosts, err := cutHosts(rest)
	if err != nil {
		return URL{}, err
	}
	at, err := url.Parse(scheme + ":" + rest)
	if err != nil { // which has the text
		return URL{}, errors.New("it cannot be read as scheme://user:password@host:port/path?key=value; in user, password and path write %XX for special characters")
	}
	if at.Fragment != "" {
		return URL{}, errors.New("it has a #; write %23 for it in a password or a path")
	}
	if at.Host != "" {
		at.Host = hosts
	}
	if err := checkQuery(at); err != nil {
		return URL{}, err
	}
	u := URL{at: *at}
	if password, set := at.User.Password(); set {
		u.at.User, u.password = url.User(at.User.Username()), &password
		if at.User.Username() == "" {
			u.at.User = nil
		}
	}
	return u, nil
}

func isScheme(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return !('a' <= r && r <= 'z' || '0' <= r && r <= '9' || r == '+' || r == '-' || r == '.')
	})
}

// cutHosts takes the hosts out of what follows the scheme, since net/url takes no more than one host with a port. In their place it
// leaves one.
func cutHosts(rest string) (without, hosts string, err error) {
	authority, ok := strings.CutPrefix(rest, "//")
	if !ok {
		return rest, "", nil
	}
	tail := ""
	if end := strings.IndexAny(authority, "/?#"); end >= 0 {
		authority, tail = authority[:end], authority[end:]
	}
	at := strings.LastIndexByte(authority, '@') + 1
	if path, _, _ := strings.Cut(tail, "?"); at == 0 && strings.Contains(path, "@") {
		return "", "", errors.New("there is an @ behind a /, ? or #: in a password write %2F, %3F and %23 for these")
	}
	if authority[at:] == "" {
		return rest, "", nil
	}
	return "//" + authority[:at] + "hosts" + tail, authority[at:], nil
}

// checkQuery refuses what net/url would pass over, and parameters that would be printed.
func checkQuery(at *url.URL) error {
	q, err := url.ParseQuery(at.RawQuery)
	if err != nil {
		return errors.New("its parameters cannot be read: write ?key=value&key=value")
	}
	for key, values := range q {
		switch {
		case len(values) > 1:
			return fmt.Errorf("parameter %q is set twice", key)
		case strings.Contains(strings.ToLower(key), "pass"), strings.Contains(strings.ToLower(key), "secret"):
			return errors.New("a password is no parameter: write it behind the user, or into a file that store.password_file names")
		}
	}
	return nil
}

// Written reports whether u was read by UnmarshalText, and so is no default.
func (u URL) Written() bool { return u.written }

// IsZero reports whether u names no store.
func (u URL) IsZero() bool { return u.at.Scheme == "" }

// Scheme is what the driver is found by.
func (u URL) Scheme() string { return u.at.Scheme }

// Location is u for Params.URL: a copy, without the password.
func (u URL) Location() *url.URL {
	at := u.at
	return &at
}

// Password is the one in the URL, and whether there is one.
func (u URL) Password() (string, bool) {
	if u.password == nil {
		return "", false
	}
	return *u.password, true
}

// String is the text without the password.
func (u URL) String() string { return u.at.String() }

// GoString is String.
func (u URL) GoString() string { return strconv.Quote(u.String()) }

// LogValue is String.
func (u URL) LogValue() slog.Value { return slog.StringValue(u.String()) }

// MarshalText is String: what is written reads back as the same URL, but for the password.
func (u URL) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// UnmarshalText is ParseURL; no text is the zero URL.
func (u *URL) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*u = URL{}
		return nil
	}
	read, err := ParseURL(string(text))
	if err == nil {
		*u, u.written = read, true
	}
	return err
}

// Hosts are the host:port of a URL as ParseURL has read it; those without a port get the one given.
func Hosts(u *url.URL, port int) ([]string, error) {
	if u.Host == "" {
		return nil, fmt.Errorf("%s names no host: write %s://host:%d", u, u.Scheme, port)
	}
	hosts := strings.Split(u.Host, ",")
	for i, h := range hosts {
		if bare := strings.TrimSuffix(strings.TrimPrefix(h, "["), "]"); !strings.Contains(bare, ":") || net.ParseIP(bare) != nil && bare != h {
			h = net.JoinHostPort(bare, strconv.Itoa(port))
		}
		host, number, err := net.SplitHostPort(h)
		if n, wrong := strconv.ParseUint(number, 10, 16); err != nil || wrong != nil || n == 0 || host == "" {
			return nil, fmt.Errorf("%s: %q is no host:port; an IPv6 address stands in brackets", u, hosts[i])
		}
		hosts[i] = h
	}
	return hosts, nil
}

// CheckParameters refuses a URL with a parameter that is not known.
func CheckParameters(u *url.URL, known ...string) error {
	for key := range u.Query() {
		switch {
		case slices.Contains(known, key):
		case len(known) == 0:
			return fmt.Errorf("unknown parameter %q: a URL of %s: has none", key, u.Scheme)
		default:
			return fmt.Errorf("unknown parameter %q: there are %s", key, strings.Join(known, ", "))
		}
	}
	return nil
}
