package frontend

import (
	"bufio"
	"bytes"
	"net"
	"net/http"
	"slices"
	"strconv"

	"golang.org/x/net/http/httpguts"

	"ramen/frontend/sock"
	"ramen/protocol"
)

// serveKnock opens a stream for a connection that has sent a request in the form in which nearly all come. False where it is not,
// and nothing was done.
func (s *Server) serveKnock(k *knock) bool {
	a := wishes.Get().(*wish)
	defer func() {
		*a = wish{} // it holds the whole head
		wishes.Put(a)
	}()
	path, ok := a.read(k.head[:k.end])
	if !ok || s.strangeHost(a.host) {
		return false
	}
	w := &firstWriter{s: s, from: k, origin: a.origin}
	if path == eventsPath {
		s.lookAtPage(a.origin, a.host, path)
		permit, refused := s.admission.AdmitFrom(k.c.Remote.Addr())
		defer permit.Close()
		if x, opened, ok := s.openEvents(s.ctx, w, a, refused); ok {
			s.takeEvents(x, w, a, opened, permit.Move())
		}
		w.close()
		return true
	}
	n, unusual := a.offer.Answer(s.cfg.WS)
	if unusual != nil || !s.origins.allowsSocketOf(a.origin, a.host) {
		return false
	}
	n.Early = []byte(k.head[k.end:])
	permit, refused := s.admission.AdmitFrom(k.c.Remote.Addr())
	defer permit.Close()
	if refused != nil && refused.Reason != protocol.ReasonResourceExhausted {
		s.fail(w, refused.Err)
	} else {
		s.serveSocket(s.ctx, w, a, &n, &permit, refused)
	}
	w.close()
	return true
}

// serveFirst serves a first request, whose head is whole, without net/http. False where it is left to net/http after all:
// what is not understood here is for it to answer. behind is what the device sent behind its request.
func (s *Server) serveFirst(c net.Conn, head, behind []byte) bool {
	r, err := readHTTP(head)
	if err != nil || r.ProtoMajor != 1 || r.ProtoMinor != 1 || r.ContentLength != 0 || len(head) > s.cfg.MaxHeaderBytes || !plainHead(r) {
		return false
	}
	r.RemoteAddr = c.RemoteAddr().String()
	w := &firstWriter{s: s, from: &hijacked{s: s, c: c}, behind: behind, header: make(http.Header, 4)}
	s.ServeHTTP(w, r.WithContext(s.ctx))
	w.close()
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

// firstWriter answers a first request. The connection ends with the answer, unless a stream took it over.
type firstWriter struct {
	s      *Server
	from   taker // nil: taken over
	behind []byte
	origin string
	header http.Header
	status int
	body   []byte
}

// take implements taker.
func (k *knock) take(h sock.Handler) (sock.Conn, error) { return k.c.Serve(h) }

// take implements taker.
func (w *firstWriter) take(h sock.Handler) (sock.Conn, error) {
	from := w.from
	w.from = nil
	return from.take(h)
}

// Header implements http.ResponseWriter.
func (w *firstWriter) Header() http.Header {
	if w.header == nil {
		w.header = make(http.Header, 4)
		w.s.origins.answer(w.header, w.origin)
	}
	return w.header
}

// WriteHeader implements http.ResponseWriter.
func (w *firstWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}

// Write implements http.ResponseWriter. Answers that are no streams are short.
func (w *firstWriter) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	w.body = append(w.body, b...)
	return len(b), nil
}

var noInput = bufio.NewReadWriter(bufio.NewReaderSize(nil, 16), nil) // nobody reads from it: nothing is buffered

// Hijack implements http.Hijacker.
func (w *firstWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	from, ok := w.from.(*hijacked)
	if !ok { // taken over, or a bare descriptor, which nobody asks for like this
		return nil, nil, http.ErrHijacked
	}
	c := from.c
	w.from = nil
	if len(w.behind) == 0 {
		return c, noInput, nil
	}
	r := bufio.NewReaderSize(bytes.NewReader(bytes.Clone(w.behind)), max(16, len(w.behind)))
	r.Peek(len(w.behind))
	return c, bufio.NewReadWriter(r, nil), nil
}

// close sends the answer and ends the connection in order.
func (w *firstWriter) close() {
	if w.from == nil {
		return
	}
	w.WriteHeader(http.StatusOK)
	w.Header().Set("Connection", "close")
	w.header.Set("Date", w.s.date.now())
	w.header.Set("Content-Length", strconv.Itoa(len(w.body)))
	var b bytes.Buffer
	b.WriteString("HTTP/1.1 " + strconv.Itoa(w.status) + " " + http.StatusText(w.status) + "\r\n")
	w.header.Write(&b)
	b.WriteString("\r\n")
	b.Write(w.body)
	conn, err := w.take(farewellOnly{})
	if err != nil {
		return
	}
	conn.Write(b.Bytes())
	conn.Shutdown()
}
