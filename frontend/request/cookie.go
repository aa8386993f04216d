package request

import (
	"strings"

	"ramen/protocol"
)

// cookie is the token that a page's browser has sent in the configured cookie; empty where there is none. SPEC 4.6.
func (r *Reader) cookie(h *Head) (string, error) {
	if r.Cookie == "" || r.Pages == nil {
		return "", nil
	}
	token, n := cookieNamed(h.Cookies, r.Cookie)
	switch {
	case token == "" && n < 2:
		return "", nil
	case !r.Pages.AllowsCookie(&h.Page):
		return "", protocol.Errorf(protocol.CodeUnauthenticated, "the cookie does not count in requests of this page: "+
			"its origin has to be named in frontend.origins, or be the server's own and told by Origin or Sec-Fetch-Site; or send Authorization: Bearer TOKEN")
	case n > 1: // one of them may be of a sibling domain's: who sets it would choose whose messages the page shows
		return "", protocol.Errorf(protocol.CodeUnauthenticated, "the cookie with the token came more than once: set it for one domain and path, best with the prefix __Host-")
	}
	return token, nil
}

// cookieNamed is the value of the first cookie of that name, and how many there are. It allocates nothing. RFC 6265 5.4.
func cookieNamed(cookies, name string) (value string, n int) {
	for cookies != "" {
		var pair string
		pair, cookies, _ = strings.Cut(cookies, ";")
		key, v, ok := strings.Cut(strings.Trim(pair, " \t"), "=")
		if !ok || key != name {
			continue
		}
		if n++; n == 1 {
			value = unquote(v)
		}
	}
	return value, n
}

// unquote takes the quotes off that a cookie's value may stand in. RFC 6265 4.1.1.
func unquote(v string) string {
	if len(v) >= 2 && v[0] == '"' && v[len(v)-1] == '"' {
		return v[1 : len(v)-1]
	}
	return v
}
