package frontend

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"ramen/frontend/accept"
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
		socketPath:    {func(w http.ResponseWriter, r *http.Request) { s.sockets.ServeHTTP(w, r, headFrom(r)) }, get},
		"/ramen/poll": {func(w http.ResponseWriter, r *http.Request) { s.polls.Serve(w, r, headFrom(r)) }, get},
		"/ramen/ack":  {s.ack, []string{http.MethodGet, http.MethodPost}},
		"/healthz":    {s.healthz, read},
		"/readyz":     {s.readyz, read},
	}
}

// receive serves GET /ramen/receive.
func (s *Server) receive(w http.ResponseWriter, r *http.Request) {
	if hijacker, ok := w.(http.Hijacker); ok && r.ProtoMajor == 1 {
		s.events.ServeHTTP1(w, r, accept.FromHijacker(s.loop, hijacker), headFrom(r))
		return
	}
	s.events.ServeHTTP2(w, r, headFrom(r))
}

// ServeHTTP implements http.Handler: SPEC 4 and 5.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	from := r.Header.Get("Origin")
	if s.untrustedHost(r.Host) {
		s.countRefusedPage(pageHost, from, r.Host, r.URL.Path)
		s.Refusals.WriteError(w, errUntrustedHost)
		return
	}
	s.origins.Answer(w.Header(), from)
	if r.URL.Path != socketPath {
		s.countUnreadable(from, r.Host, r.URL.Path)
	}
	if r.ContentLength != 0 && r.ProtoMajor == 1 { // nothing here reads a body, but net/http reads it before it goes on
		http.NewResponseController(w).SetReadDeadline(time.Now().Add(s.cfg.ReadHeaderTimeout))
	}
	e, ok := s.paths[r.URL.Path]
	if !ok {
		s.Refusals.WriteError(w, protocol.Errorf(protocol.CodeNotFound, "unknown path: devices use /ramen/receive, /ramen/ws, /ramen/poll and /ramen/ack"))
		return
	}
	if slices.Contains(e.methods, r.Method) {
		e.serve(w, r)
		return
	}
	allowed := strings.Join(e.methods, ", ") + ", OPTIONS"
	if r.Method == http.MethodOptions {
		s.origins.Preflight(w, r, allowed)
		return
	}
	w.Header().Set("Allow", allowed)
	s.Refusals.WriteErrorAs(w, http.StatusMethodNotAllowed, protocol.Invalidf("method not allowed: use %s", allowed))
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
	case s.Streams.Draining():
		return errors.New("draining")
	case s.Admission.Full():
		return errors.New("the limit of streams is reached (frontend.max_streams)")
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
