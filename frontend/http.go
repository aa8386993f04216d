package frontend

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"ramen/frontend/stream"
	"ramen/protocol"
)

const (
	eventsPath = "/ramen/receive"
	socketPath = "/ramen/ws"
)

// endpoint is one path of port 8080.
type endpoint struct {
	serve   func(w http.ResponseWriter, r *http.Request)
	methods []string
}

func (s *Server) endpoints() map[string]endpoint {
	get := []string{http.MethodGet}
	read := []string{http.MethodGet, http.MethodHead}
	return map[string]endpoint{
		eventsPath:    {s.receive, get},
		socketPath:    {s.upgrade, get},
		"/ramen/poll": {s.poll, get},
		"/ramen/ack":  {s.ack, []string{http.MethodGet, http.MethodPost}},
		"/healthz":    {s.healthz, read},
		"/readyz":     {s.readyz, read},
	}
}

// ServeHTTP implements http.Handler: SPEC 4 and 5.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	from := r.Header.Get("Origin")
	if s.strangeHost(r.Host) {
		s.refusedPage(keptByHost, from, r.Host, r.URL.Path)
		s.fail(w, errStrangeHost)
		return
	}
	s.origins.answer(w.Header(), from)
	if r.URL.Path != socketPath {
		s.lookAtPage(from, r.Host, r.URL.Path)
	}
	if r.ContentLength != 0 && r.ProtoMajor == 1 { // nothing here reads a body, but net/http reads it before it goes on
		http.NewResponseController(w).SetReadDeadline(time.Now().Add(s.cfg.ReadHeaderTimeout))
	}
	e, ok := s.paths[r.URL.Path]
	if !ok {
		s.fail(w, protocol.Errorf(protocol.CodeNotFound, "there is nothing at this path: devices use /ramen/receive, /ramen/ws, /ramen/poll and /ramen/ack"))
		return
	}
	if slices.Contains(e.methods, r.Method) {
		e.serve(w, r)
		return
	}
	allowed := strings.Join(e.methods, ", ") + ", OPTIONS"
	if r.Method == http.MethodOptions {
		s.origins.preflight(w, r, allowed)
		return
	}
	w.Header().Set("Allow", allowed)
	s.failAs(w, http.StatusMethodNotAllowed, protocol.Invalidf("the method is not one of this path: use %s", allowed))
}

func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) { plain(w, http.StatusOK, "ok") }

// readyz says whether a load balancer should send new streams here.
func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	if err := s.Ready(); err != nil {
		plain(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	plain(w, http.StatusOK, "ok")
}

// Ready answers nil while new streams are served, or says why they are not. SPEC 8.
func (s *Server) Ready() error {
	switch {
	case s.streams.Draining():
		return errors.New("draining")
	case s.admission.Full():
		return errors.New("as many streams are open as frontend.max_streams allows")
	case s.ready != nil:
		return s.ready()
	}
	return nil
}

func plain(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write([]byte(text + "\n"))
}

// fail answers an error with its status and body. SPEC 4.
func (s *Server) fail(w http.ResponseWriter, err error) {
	e := protocolError(err)
	s.failAs(w, e.Code.HTTPStatus(), e)
}

func (s *Server) failAs(w http.ResponseWriter, status int, e *protocol.Error) {
	if c := s.metrics.refused[e.Code]; c != nil {
		c.Inc()
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	switch status {
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", "Bearer")
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		h.Set("Retry-After", strconv.Itoa(retryAfter(e)))
	}
	body := append(protocol.AppendErrorJSON(nil, e), '\n')
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	w.Write(body)
}

// retryAfter is e's in whole seconds, 1 at least.
func retryAfter(e *protocol.Error) int {
	return max(1, int((e.RetryAfter+time.Second-1)/time.Second))
}

// protocolError is err as a device may see it: the text of others is the log's.
func protocolError(err error) *protocol.Error {
	var e *protocol.Error
	if errors.As(err, &e) {
		return e
	}
	reason, detail := stream.EndOf(err)
	switch reason {
	case protocol.ReasonUnavailable, protocol.ReasonSuperseded:
		return protocol.Errorf(protocol.CodeUnavailable, "%s", detail)
	}
	return protocol.Errorf(protocol.CodeInternal, "%s", detail)
}
