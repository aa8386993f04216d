package frontend

import (
	"net/http"
	"strings"
	"sync"

	"ramen/frontend/auth"
	"ramen/frontend/ws"
)

// wish is a request for a stream as it came over HTTP: what of its head matters.
type wish struct {
	query         string // raw
	authorization string
	lastEvent     string // Last-Event-ID
	origin        string
	host          string
	offer         ws.Offer
	chunks        bool // events are answered in chunked coding
}

// wishOf is what r says.
func wishOf(r *http.Request) *wish {
	return &wish{
		query: r.URL.RawQuery, authorization: auth.Credential(r.Header["Authorization"]), lastEvent: r.Header.Get("Last-Event-ID"),
		origin: r.Header.Get("Origin"), host: r.Host,
	}
}

const (
	eventsPath = "/ramen/receive"
	socketPath = "/ramen/ws"
	httpLine   = " HTTP/1.1\r\n"
)

// wishes are pooled: see hellos.
var wishes = sync.Pool{New: func() any { return new(wish) }}

// read reads the head of a request for a stream, which ends with an empty line. It knows the form in which nearly all come,
// and answers false to all others, right or wrong: what one reader takes for one request and another for two is how requests are
// smuggled, so that only net/http judges what is unusual. RFC 9112 2.2, 3, 5.
func (w *wish) read(head string) (path string, ok bool) {
	line, rest, _ := strings.Cut(head, "\r\n")
	switch {
	case strings.HasPrefix(line, "GET "+eventsPath+"?"):
		path = eventsPath
	case strings.HasPrefix(line, "GET "+socketPath+"?"):
		path = socketPath
	default:
		return "", false
	}
	line, ok = strings.CutSuffix(line[len("GET ")+len(path)+1:], httpLine[:len(httpLine)-2])
	if !ok || !allOf(line, &queryBytes) {
		return "", false
	}
	w.query, w.chunks = line, true
	seen := uint32(0)
	for rest != "\r\n" {
		var found bool
		if line, rest, found = strings.Cut(rest, "\r\n"); !found || !w.field(line, &seen) {
			return "", false
		}
	}
	return path, seen&1 != 0 // Host there is always: RFC 9112 3.2
}

// fields are those that are looked at, each of which may come once. Host is the first.
var fields = [...]struct {
	name string
	set  func(w *wish, v string)
}{
	{"Host", func(w *wish, v string) { w.host = v }},
	{"Authorization", func(w *wish, v string) { w.authorization = v }},
	{"Last-Event-ID", func(w *wish, v string) { w.lastEvent = v }},
	{"Origin", func(w *wish, v string) { w.origin = v }},
	{"Connection", func(w *wish, v string) { w.offer.Connection = v }},
	{"Upgrade", func(w *wish, v string) { w.offer.Upgrade = v }},
	{"Sec-WebSocket-Version", func(w *wish, v string) { w.offer.Version = v }},
	{"Sec-WebSocket-Key", func(w *wish, v string) { w.offer.Key = v }},
	{"Sec-WebSocket-Protocol", func(w *wish, v string) { w.offer.Protocols = v }},
	{"Sec-WebSocket-Extensions", func(w *wish, v string) { w.offer.Extensions = v }},
}

// framing are fields that say that something follows the head, or how: they are net/http's.
var framing = [...]string{"Content-Length", "Transfer-Encoding", "Expect", "Trailer"}

// field takes one line of the head; false where it is unusual.
func (w *wish) field(line string, seen *uint32) bool {
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
			f.set(w, value)
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
