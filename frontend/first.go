package frontend

import (
	"bufio"
	"bytes"
	"net"
	"net/http"
	"slices"
	"strconv"
	"time"

	"golang.org/x/net/http/httpguts"
)

// serveFirst serves a first request, whose head is whole, without net/http. False where it is left to net/http after all:
// what is not understood here is for it to answer. behind is what the device sent behind its request.
func (s *Server) serveFirst(c net.Conn, head, behind []byte) bool {
	r, err := http.ReadRequest(bufio.NewReaderSize(bytes.NewReader(head), 16))
	if err != nil || r.ProtoMajor != 1 || r.ProtoMinor != 1 || r.ContentLength != 0 || len(head) > s.cfg.MaxHeaderBytes || !plainHead(r) {
		return false
	}
	r.RemoteAddr = c.RemoteAddr().String()
	w := &firstWriter{s: s, c: c, behind: behind, header: make(http.Header, 4)}
	s.ServeHTTP(w, r.WithContext(s.ctx))
	w.close()
	return true
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
	c      net.Conn // nil: taken over
	behind []byte
	header http.Header
	status int
	body   []byte
}

// Header implements http.ResponseWriter.
func (w *firstWriter) Header() http.Header { return w.header }

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
	c := w.c
	if c == nil {
		return nil, nil, http.ErrHijacked
	}
	w.c = nil
	if len(w.behind) == 0 {
		return c, noInput, nil
	}
	r := bufio.NewReaderSize(bytes.NewReader(bytes.Clone(w.behind)), max(16, len(w.behind)))
	r.Peek(len(w.behind))
	return c, bufio.NewReadWriter(r, nil), nil
}

// close sends the answer and ends the connection in order.
func (w *firstWriter) close() {
	if w.c == nil {
		return
	}
	w.WriteHeader(http.StatusOK)
	w.header.Set("Connection", "close")
	w.header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	w.header.Set("Content-Length", strconv.Itoa(len(w.body)))
	var b bytes.Buffer
	b.WriteString("HTTP/1.1 " + strconv.Itoa(w.status) + " " + http.StatusText(w.status) + "\r\n")
	w.header.Write(&b)
	b.WriteString("\r\n")
	b.Write(w.body)
	conn, err := w.s.loop.Add(w.c, farewellOnly{})
	if err != nil {
		w.c.Close()
		return
	}
	conn.Write(b.Bytes())
	conn.Shutdown()
}
