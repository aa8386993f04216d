package frontend

import (
	"log/slog"
	"net/http"

	"ramen/frontend/origin"
	"ramen/protocol"
)

// origins says which pages may read answers. SPEC 3.
type origins struct {
	origin.Policy
	loopback bool
}

func newOrigins(cfg *Config) origins {
	return origins{origin.New(cfg.Origins, cfg.LoopbackOrigins), cfg.LoopbackOrigins}
}

// allowsSocket reports whether a page of an origin may open a WebSocket on host: browsers do not hold these to CORS, so the server
// has to. Programs send no origin, and the gateway's own pages are its own.
func (o *origins) allowsSocket(from, host string) bool {
	if from == "" || o.Allows(from) {
		return true
	}
	// In development a page of any name could be the gateway's own, once it lets that name point here (DNS rebinding).
	return origin.Own(from, host) && (!o.loopback || origin.LocalOrigin(from))
}

// The ways in which pages are refused: the closed set of the label reason.
const (
	pageCORS      = "cors"      // served without the headers that let a page read it
	pageWebSocket = "websocket" // 403
	pageHost      = "host"      // 403: the page's own name may be anybody's
)

var pageReasons = [...]string{pageCORS, pageWebSocket, pageHost}

// countRefusedPage counts a page that was refused, and logs it for those who look for the reason.
func (s *Server) countRefusedPage(reason, from, host, path string) {
	s.metrics.pages[reason].Inc()
	if s.debug() {
		s.log.LogAttrs(s.ctx, slog.LevelDebug, "frontend: page refused; add its origin to frontend.origins to admit it",
			slog.String("reason", reason), slog.String("origin", from), slog.String("host", host), slog.String("path", path))
	}
}

// refusedSocket counts a page that may not open a WebSocket.
func (s *Server) refusedSocket(r *http.Request) {
	s.countRefusedPage(pageWebSocket, r.Header.Get("Origin"), r.Host, r.URL.Path)
}

// countUnreadable counts a page that will not be able to read its answer.
func (s *Server) countUnreadable(from, host, path string) {
	if from != "" && !s.origins.Allows(from) && !origin.Own(from, host) {
		s.countRefusedPage(pageCORS, from, host, path)
	}
}

// untrustedHost reports a Host that may not be this server's: where there is no authentication, a page on a name that its owner lets
// point here would be every user (DNS rebinding). Its requests are of its own origin, and those by GET have no Origin. gRPC is left
// out: browsers cannot speak it in cleartext, and over TLS the certificate is for none of their names.
func (s *Server) untrustedHost(host string) bool {
	return s.Requests.Tokens == nil && host != "" && !origin.Local(host)
}

var errUntrustedHost = protocol.Errorf(protocol.CodePermissionDenied,
	"authentication is off, and the Host is a name that others could let point here: use localhost or an address, or turn authentication on")

// The headers of CORS. No credentials: tokens are no cookies.
const (
	allowOrigin   = "Access-Control-Allow-Origin"
	allowHeaders  = "Authorization, Content-Type, Last-Event-ID"
	exposeHeaders = "Retry-After"
	preflightAge  = "600" // s
)

// appendHeaders appends the header fields without which a page of origin cannot read an answer.
func (o *origins) appendHeaders(b []byte, origin string) []byte {
	if !o.Allows(origin) {
		return b
	}
	b = append(b, allowOrigin+": "...)
	b = append(b, origin...)
	return append(b, "\r\nAccess-Control-Expose-Headers: "+exposeHeaders+"\r\n"...)
}

// answer gives an answer the headers that a page of origin needs.
func (o *origins) answer(h http.Header, origin string) {
	h.Add("Vary", "Origin")
	if o.Allows(origin) {
		h.Set(allowOrigin, origin)
		h.Set("Access-Control-Expose-Headers", exposeHeaders)
	}
}

// preflight answers OPTIONS: what may be asked, and by whom.
func (o *origins) preflight(w http.ResponseWriter, r *http.Request, methods string) {
	h := w.Header()
	h.Set("Allow", methods)
	if o.Allows(r.Header.Get("Origin")) {
		h.Set("Access-Control-Allow-Methods", methods)
		h.Set("Access-Control-Allow-Headers", allowHeaders)
		h.Set("Access-Control-Max-Age", preflightAge)
	}
	w.WriteHeader(http.StatusNoContent)
}
