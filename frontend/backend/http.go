package backend

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"ramen/frontend/auth"
	"ramen/frontend/httpconn"
	"ramen/protocol"
)

// Handler serves the whole of the backends' HTTP port: /v1/ but for /v1/cluster by itself, everything else by rest (health, metrics,
// the cluster, the console), or with 404 where rest is nil. The rule of origins holds for all of it. SPEC 3, 8.
func (s *Server) Handler(rest http.Handler) http.Handler {
	if rest == nil {
		rest = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { writeError(w, unknownPath(r)) })
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		e := endpoint{call: callOther, serve: unknown}
		err := s.checkPage(r)
		if err == nil {
			// The escaped path, by hand: a user may have any printable character in it, a slash or two dots too, which
			// http.ServeMux would clean away.
			path, ours := strings.CutPrefix(r.URL.EscapedPath(), "/v1/")
			if !ours || path == "cluster" || strings.HasPrefix(path, "cluster/") {
				rest.ServeHTTP(w, r)
				return
			}
			e = s.endpoint(path)
			err = e.admit(s, w, r)
		}
		if err == nil {
			err = e.serve(s, w, r, e.user, e.id)
		}
		if err != nil {
			writeError(w, err)
		}
		s.metrics.request(sideHTTP, e.call, began, err)
	})
}

// Readers serves h to who may read: with authentication, to keys with that scope.
func (s *Server) Readers(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := s.allow(auth.Credential(r.Header["Authorization"]), auth.ScopeRead); err != nil {
			writeError(w, err)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// endpoint is one call of SPEC 8 and what its path names.
type endpoint struct {
	call     call
	method   string // empty: there is no such path
	scope    auth.Scope
	serve    func(s *Server, w http.ResponseWriter, r *http.Request, user, id string) *protocol.Error
	user, id string
}

// endpoint finds what the escaped path behind /v1/ stands for.
func (s *Server) endpoint(path string) endpoint {
	if path == "publish" {
		return endpoint{call: callPublish, method: http.MethodPost, scope: auth.ScopePublish, serve: (*Server).servePublish}
	}
	parts := strings.Split(path, "/")
	if len(parts) < 3 || len(parts) > 4 || parts[0] != "users" {
		return endpoint{call: callOther, serve: unknown}
	}
	var e endpoint
	switch {
	case len(parts) == 3 && parts[2] == "devices":
		e = endpoint{call: callDevices, method: http.MethodGet, scope: auth.ScopeRead, serve: (*Server).serveDevices}
	case len(parts) == 3 && parts[2] == "messages":
		e = endpoint{call: callMessages, method: http.MethodGet, scope: auth.ScopeRead, serve: (*Server).serveMessages}
	case len(parts) == 4 && parts[2] == "messages":
		e = endpoint{call: callRecall, method: http.MethodDelete, scope: auth.ScopePublish, serve: (*Server).serveRecall}
		e.id = unescape(parts[3])
	case len(parts) == 3 && parts[2] == "disconnect":
		e = endpoint{call: callDisconnect, method: http.MethodPost, scope: auth.ScopePublish, serve: (*Server).serveDisconnect}
	default:
		return endpoint{call: callOther, serve: unknown}
	}
	e.user = unescape(parts[1])
	return e
}

// unescape reads a segment that net/http has found well escaped already.
func unescape(segment string) string {
	s, err := url.PathUnescape(segment)
	if err != nil {
		return segment
	}
	return s
}

// admit checks the method and the key.
func (e *endpoint) admit(s *Server, w http.ResponseWriter, r *http.Request) *protocol.Error {
	if e.method != "" && r.Method != e.method {
		w.Header().Set("Allow", e.method)
		return methodNotAllowed(r.Method, e.method)
	}
	if e.method == "" {
		return nil
	}
	return s.allow(auth.Credential(r.Header["Authorization"]), e.scope)
}

func unknown(_ *Server, _ http.ResponseWriter, r *http.Request, _, _ string) *protocol.Error {
	return unknownPath(r)
}

func unknownPath(r *http.Request) *protocol.Error {
	return protocol.Errorf(protocol.CodeNotFound, "unknown path %q: the calls are POST /v1/publish, GET /v1/users/{user}/devices, "+
		"GET /v1/users/{user}/messages, DELETE /v1/users/{user}/messages/{id} and POST /v1/users/{user}/disconnect", clip(r.URL.Path))
}

func methodNotAllowed(is, right string) *protocol.Error {
	return protocol.Invalidf("the method is %q: use %s", clip(is), right)
}

// clip bounds what an error repeats of a request.
func clip(s string) string {
	const most = 128
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}

// writeError writes e in the shape of SPEC 4. A handler that has set Allow refuses the method.
func writeError(w http.ResponseWriter, e *protocol.Error) {
	status := e.Code.HTTPStatus()
	if status == http.StatusBadRequest && w.Header().Get("Allow") != "" {
		status = http.StatusMethodNotAllowed
	}
	httpconn.WriteError(w, status, e)
}
