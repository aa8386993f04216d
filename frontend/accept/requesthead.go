package accept

import "strings"

// RequestHead is what matters of the head of a request for a stream.
type RequestHead struct {
	Path          string
	Query         string // raw
	Host          string
	Origin        string
	Authorization string
	LastEventID   string
	FetchSite     string // Sec-Fetch-Site
	Cookies       string
	Upgrade       Upgrade
}

// Upgrade is what a request says of an upgrade to WebSocket, a value of each header. RFC 6455 4.1.
type Upgrade struct{ Connection, Upgrade, Version, Key, Protocols, Extensions string }

// prefixes are the beginnings of requests that open a stream: "GET path?".
type prefixes []string

func prefixesOf(paths []string) prefixes {
	p := make(prefixes, len(paths))
	for i, path := range paths {
		p[i] = get + path + "?"
	}
	return p
}

const (
	get     = "GET "
	version = " HTTP/1.1"
)

// match reports whether b begins like a request for a stream, as far as it goes.
func (p prefixes) match(b []byte) bool {
	for _, prefix := range p {
		if k := min(len(b), len(prefix)); string(b[:k]) == prefix[:k] {
			return true
		}
	}
	return false
}

// cut is the path of a request line, and what is behind its question mark.
func (p prefixes) cut(line string) (path, rest string, ok bool) {
	for _, prefix := range p {
		if rest, ok := strings.CutPrefix(line, prefix); ok {
			return prefix[len(get) : len(prefix)-1], rest, true
		}
	}
	return "", "", false
}

// read reads the head of a request for a stream, which ends with an empty line. It knows the form in which nearly all come,
// and answers false to all others, right or wrong: what one reader takes for one request and another for two is how requests are
// smuggled, so that only net/http judges what is unusual. RFC 9112 2.2, 3, 5.
func (h *RequestHead) read(p prefixes, head string) bool {
	line, rest, _ := strings.Cut(head, "\r\n")
	path, line, ok := p.cut(line)
	if !ok {
		return false
	}
	line, ok = strings.CutSuffix(line, version)
	if !ok || !allOf(line, &queryBytes) {
		return false
	}
	h.Path, h.Query = path, line
	seen := uint32(0)
	for rest != "\r\n" {
		var found bool
		if line, rest, found = strings.Cut(rest, "\r\n"); !found || !h.field(line, &seen) {
			return false
		}
	}
	return seen&1 != 0 // Host there is always: RFC 9112 3.2
}

// headField is a field of a head, and where its value goes.
type headField struct {
	name string
	set  func(h *RequestHead, v string)
}

// fields are those that are looked at, each of which may come once. Host is the first.
var fields = [...]headField{
	{"Host", func(h *RequestHead, v string) { h.Host = v }},
	{"Authorization", func(h *RequestHead, v string) { h.Authorization = v }},
	{"Last-Event-ID", func(h *RequestHead, v string) { h.LastEventID = v }},
	{"Origin", func(h *RequestHead, v string) { h.Origin = v }},
	{"Sec-Fetch-Site", func(h *RequestHead, v string) { h.FetchSite = v }},
	{"Cookie", func(h *RequestHead, v string) { h.Cookies = v }},
	{"Connection", func(h *RequestHead, v string) { h.Upgrade.Connection = v }},
	{"Upgrade", func(h *RequestHead, v string) { h.Upgrade.Upgrade = v }},
	{"Sec-WebSocket-Version", func(h *RequestHead, v string) { h.Upgrade.Version = v }},
	{"Sec-WebSocket-Key", func(h *RequestHead, v string) { h.Upgrade.Key = v }},
	{"Sec-WebSocket-Protocol", func(h *RequestHead, v string) { h.Upgrade.Protocols = v }},
	{"Sec-WebSocket-Extensions", func(h *RequestHead, v string) { h.Upgrade.Extensions = v }},
}

// framing are fields that say that something follows the head, or how: they are net/http's.
var framing = [...]string{"Content-Length", "Transfer-Encoding", "Expect", "Trailer"}

// field takes one line of the head; false where it is unusual.
func (h *RequestHead) field(line string, seen *uint32) bool {
	name, value, found := strings.Cut(line, ":")
	if !found || name == "" || !allOf(name, &nameBytes) {
		return false
	}
	value = strings.Trim(value, " \t")
	if !allOf(value, &valueBytes) {
		return false
	}
	for i := range fields {
		if f := &fields[i]; len(f.name) == len(name) && strings.EqualFold(f.name, name) {
			if *seen&(1<<i) != 0 || value == "" || i == 0 && !allOf(value, &hostBytes) {
				return false
			}
			*seen |= 1 << i
			f.set(h, value)
			return true
		}
	}
	for _, f := range framing {
		if len(f) == len(name) && strings.EqualFold(f, name) {
			return false
		}
	}
	return true
}

// byteSet is a set of bytes.
type byteSet [256]bool

var (
	queryBytes = ranges("!\"$~")                // but #
	nameBytes  = ranges("09AZaz--__")           // of the tokens of RFC 9110 5.6.2
	valueBytes = ranges(" ~\t\t")               // of visible bytes, spaces and tabs, RFC 9110 5.5
	hostBytes  = ranges("09AZaz..--__::[[]]%%") // names, addresses, ports
)

// ranges is a set made of pairs: from, to.
func ranges(pairs string) (s byteSet) {
	for i := 0; i < len(pairs); i += 2 {
		for b := int(pairs[i]); b <= int(pairs[i+1]); b++ {
			s[b] = true
		}
	}
	return s
}

func allOf(v string, s *byteSet) bool {
	for i := range len(v) {
		if !s[v[i]] {
			return false
		}
	}
	return true
}
