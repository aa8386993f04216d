package backend

import (
	"net/http"

	"ramen/frontend/origin"
	"ramen/protocol"
)

// The reasons for which a page is refused: the closed set of the label reason.
const (
	refusedOrigin = "origin" // its Origin is not this server's own
	refusedHost   = "host"   // authentication is off, and the Host is a name
)

var refusedReasons = [...]string{refusedOrigin, refusedHost}

// checkPage refuses what a page of another origin sent, so that none can publish through an operator's browser. SPEC 3.
func (s *Server) checkPage(r *http.Request) *protocol.Error {
	reason, err := RefusePage(r, s.keys == nil)
	if err == nil {
		return nil
	}
	s.metrics.pages[reason].Inc()
	if s.Log != nil {
		s.Log.DebugContext(r.Context(), "backend: request of a web page refused", "reason", reason, "origin", r.Header["Origin"], "host", r.Host, "path", r.URL.Path)
	}
	return err
}

// RefusePage says why what a web page sent is not served on the backends' port; open: there is no authentication.
func RefusePage(r *http.Request, open bool) (reason string, _ *protocol.Error) {
	if open && origin.UntrustedHost(r.Host) {
		return refusedHost, protocol.Errorf(protocol.CodePermissionDenied, "the Host %q is a name, and authentication is off: use localhost or an IP address, since a foreign name could point here, or turn on authentication", clip(r.Host))
	}
	if all := r.Header["Origin"]; !origin.OwnOrNone(all, r.Host) {
		return refusedOrigin, protocol.Errorf(protocol.CodePermissionDenied, "the Origin %q is not this server's own: this port does not serve pages of other origins; backends should send no Origin", clip(all[0]))
	}
	return "", nil
}
