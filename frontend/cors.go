package frontend

import (
	"log/slog"
	"net/http"

	"ramen/frontend/origin"
	"ramen/protocol"
)

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
	return s.Requests.Tokens == nil && origin.UntrustedHost(host)
}

var errUntrustedHost = protocol.Errorf(protocol.CodePermissionDenied,
	"authentication is off, and the Host is a name that others could let point here: use localhost or an address, or turn authentication on")
