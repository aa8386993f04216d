package accept

import (
	"bufio"
	"bytes"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/net/http/httpguts"

	"ramen/frontend/sock"
)

// Request is a request for a stream that came whole and in the usual form. It is its own connection's source and the response to
// it, and valid during Frontend.Open.
type Request struct {
	earlyResponse
	Head   RequestHead
	Remote netip.Addr
	Behind string // what the device sent behind the head
}

// requests are pooled: a connect that leaves less behind leaves fewer holes among what stays.
var requests = sync.Pool{New: func() any { return new(Request) }}

// serveRaw serves a raw request. False where it is not in the usual form, and nothing was done.
func (a *Acceptor) serveRaw(raw *rawRequest) bool {
	r := requests.Get().(*Request)
	defer func() {
		*r = Request{} // it holds the whole head
		requests.Put(r)
	}()
	if !r.Head.read(a.prefixes, raw.head[:raw.end]) {
		return false
	}
	r.Remote, r.Behind = raw.conn.Remote.Addr(), raw.head[raw.end:]
	r.source, r.frontend, r.head = &raw.conn, a.cfg.Frontend, &r.Head
	if !a.cfg.Frontend.Open(r) {
		return false
	}
	r.finish()
	return true
}

// serveEarly serves a first request whose head is whole without net/http's server. False where it is left to that after all: it
// answers what is not understood here. behind is what the device sent behind its request.
func (a *Acceptor) serveEarly(c net.Conn, head, behind []byte) bool {
	r, err := readHTTP(head)
	if err != nil || r.ProtoMajor != 1 || r.ProtoMinor != 1 || r.ContentLength != 0 || len(head) > a.cfg.MaxHeadBytes || !plainHead(r) {
		return false
	}
	r.RemoteAddr = c.RemoteAddr().String()
	w := &earlyResponse{source: FromConn(a.cfg.Loop, c), behind: behind}
	a.cfg.Frontend.ServeHTTP(w, r.WithContext(a.cfg.Context))
	w.finish()
	return true
}

func readHTTP(head []byte) (*http.Request, error) {
	return http.ReadRequest(bufio.NewReaderSize(bytes.NewReader(head), 16))
}

// plainHead reports whether net/http would serve r: what else it looks at than ReadRequest does.
func plainHead(r *http.Request) bool {
	if r.Host == "" || !httpguts.ValidHostHeader(r.Host) || r.Header["Expect"] != nil {
		return false
	}
	for name, values := range r.Header {
		if !httpguts.ValidHeaderFieldName(name) || slices.ContainsFunc(values, func(v string) bool { return !httpguts.ValidHeaderFieldValue(v) }) {
			return false
		}
	}
	return true
}

// earlyResponse answers a first request. The connection ends with the answer, unless a stream took it.
type earlyResponse struct {
	source ConnSource // nil: attached or hijacked
	behind []byte     // what the device sent behind its request, for who hijacks

	// Of a Request; nil for one of net/http's.
	frontend Frontend
	head     *RequestHead

	header http.Header
	status int
	body   []byte
}

// Attach implements ConnSource.
func (w *earlyResponse) Attach(h sock.Handler) (sock.Conn, error) {
	source := w.source
	w.source = nil
	return source.Attach(h)
}

// Header implements http.ResponseWriter.
func (w *earlyResponse) Header() http.Header {
	switch {
	case w.header != nil:
	case w.head != nil:
		w.header = w.frontend.ResponseHeader(w.head)
	default:
		w.header = make(http.Header, 4)
	}
	return w.header
}

// WriteHeader implements http.ResponseWriter.
func (w *earlyResponse) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}

// Write implements http.ResponseWriter. Answers that are no streams are short.
func (w *earlyResponse) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	w.body = append(w.body, b...)
	return len(b), nil
}

var noInput = bufio.NewReadWriter(bufio.NewReaderSize(nil, 16), nil) // nobody reads from it: nothing is buffered

// Hijack implements http.Hijacker.
func (w *earlyResponse) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	source, ok := w.source.(*netSource)
	if !ok { // attached, or a bare descriptor, which is attached only
		return nil, nil, http.ErrHijacked
	}
	c := source.c
	w.source = nil
	if len(w.behind) == 0 {
		return c, noInput, nil
	}
	r := bufio.NewReaderSize(bytes.NewReader(bytes.Clone(w.behind)), max(16, len(w.behind)))
	r.Peek(len(w.behind))
	return c, bufio.NewReadWriter(r, nil), nil
}

// finish sends the answer and ends the connection in order, unless it was taken.
func (w *earlyResponse) finish() {
	if w.source == nil {
		return
	}
	w.WriteHeader(http.StatusOK)
	h := w.Header()
	h.Set("Connection", "close")
	h.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	h.Set("Content-Length", strconv.Itoa(len(w.body)))
	var b bytes.Buffer
	b.WriteString("HTTP/1.1 " + strconv.Itoa(w.status) + " " + http.StatusText(w.status) + "\r\n")
	h.Write(&b)
	b.WriteString("\r\n")
	b.Write(w.body)
	conn, err := w.Attach(LastBytes{})
	if err != nil {
		return
	}
	conn.Write(b.Bytes())
	conn.Shutdown()
}

// LastBytes is the handler of a connection that only has to take its last bytes.
type LastBytes struct{}

// Read implements sock.Handler.
func (LastBytes) Read([]byte) {}

// Written implements sock.Handler.
func (LastBytes) Written(int) {}

// Closed implements sock.Handler.
func (LastBytes) Closed(error) {}
