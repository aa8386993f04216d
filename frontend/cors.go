package frontend

import (
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// origins says which pages may read answers. PROTOCOL 3.
type origins struct {
	listed   []string // lower case
	any      bool
	loopback bool
}

func newOrigins(cfg *Config) origins {
	o := origins{any: slices.Contains(cfg.Origins, "*"), loopback: cfg.LoopbackOrigins}
	for _, origin := range cfg.Origins {
		o.listed = append(o.listed, strings.ToLower(origin))
	}
	return o
}

// allows reports whether pages of origin are answered. None at all is no page's.
func (o *origins) allows(origin string) bool {
	if origin == "" {
		return false
	}
	if o.any || slices.Contains(o.listed, strings.ToLower(origin)) {
		return true
	}
	return o.loopback && loopbackOrigin(origin)
}

func loopbackOrigin(origin string) bool {
	if origin == "null" { // a file, or a sandboxed frame
		return true
	}
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" {
		return false
	}
	host := strings.ToLower(u.Hostname())
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

// allowsSocket reports whether a page of r's origin may open a WebSocket: browsers do not hold these to CORS, so the server has
// to. Programs send no origin, and the gateway's own pages are its own.
func (o *origins) allowsSocket(r *http.Request) bool {
	return o.allowsSocketOf(r.Header.Get("Origin"), r.Host)
}

func (o *origins) allowsSocketOf(origin, host string) bool {
	if origin == "" || o.allows(origin) {
		return true
	}
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" || !strings.EqualFold(u.Host, host) {
		return false
	}
	if !o.loopback {
		return true
	}
	// In development a page of any name could be the gateway's own, once it lets that name point here (DNS rebinding).
	_, err = netip.ParseAddr(u.Hostname())
	return err == nil
}

// The headers of CORS. No credentials: tokens are no cookies.
const (
	allowOrigin   = "Access-Control-Allow-Origin"
	allowHeaders  = "Authorization, Content-Type, Last-Event-ID"
	exposeHeaders = "Retry-After"
	preflightAge  = "600" // s
)

// answer gives an answer the headers that a page of origin needs.
func (o *origins) answer(h http.Header, origin string) {
	h.Add("Vary", "Origin")
	if o.allows(origin) {
		h.Set(allowOrigin, origin)
		h.Set("Access-Control-Expose-Headers", exposeHeaders)
	}
}

// preflight answers OPTIONS: what may be asked, and by whom.
func (o *origins) preflight(w http.ResponseWriter, r *http.Request, methods string) {
	h := w.Header()
	h.Set("Allow", methods)
	if o.allows(r.Header.Get("Origin")) {
		h.Set("Access-Control-Allow-Methods", methods)
		h.Set("Access-Control-Allow-Headers", allowHeaders)
		h.Set("Access-Control-Max-Age", preflightAge)
	}
	w.WriteHeader(http.StatusNoContent)
}
