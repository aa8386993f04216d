package origin

import "net/http"

// The headers of CORS, and their values.
const (
	allowOrigin      = "Access-Control-Allow-Origin"
	allowCredentials = "Access-Control-Allow-Credentials"
	allowHeaders     = "Authorization, Content-Type, Last-Event-ID"
	exposeHeaders    = "Retry-After"
	preflightAge     = "600" // s
)

// AppendHeaders appends the headers that a page of origin needs to read an answer, each with its line's end.
func (p *Policy) AppendHeaders(b []byte, origin string) []byte {
	if !p.Allows(origin) {
		return b
	}
	b = append(b, allowOrigin+": "...)
	b = append(b, origin...)
	if p.AllowsCredentials(origin) {
		b = append(b, "\r\n"+allowCredentials+": true"...)
	}
	return append(b, "\r\nAccess-Control-Expose-Headers: "+exposeHeaders+"\r\n"...)
}

// Answer gives an answer the headers that a page of origin needs to read it.
func (p *Policy) Answer(h http.Header, origin string) {
	h.Add("Vary", "Origin")
	if p.Allows(origin) {
		h.Set(allowOrigin, origin)
		if p.AllowsCredentials(origin) {
			h.Set(allowCredentials, "true")
		}
		h.Set("Access-Control-Expose-Headers", exposeHeaders)
	}
}

// Preflight answers OPTIONS: what may be asked, and by whom.
func (p *Policy) Preflight(w http.ResponseWriter, r *http.Request, methods string) {
	h := w.Header()
	h.Set("Allow", methods)
	if p.Allows(r.Header.Get("Origin")) {
		h.Set("Access-Control-Allow-Methods", methods)
		h.Set("Access-Control-Allow-Headers", allowHeaders)
		h.Set("Access-Control-Max-Age", preflightAge)
	}
	w.WriteHeader(http.StatusNoContent)
}
