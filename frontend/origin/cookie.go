package origin

import "strings"

// Page is what a request says of the page that made it. Browsers fill it in, and let no script change it.
type Page struct {
	Origin    string // the header; empty: none
	Host      string
	FetchSite string // Sec-Fetch-Site; empty: none. Browsers leave it out where the server's address is not trustworthy (http)
	TLS       bool   // the request came over TLS that ends here
}

// sameOrigin is what a browser says of a request of the server's own pages. Fetch Metadata 2.3.
const sameOrigin = "same-origin"

// AllowsCredentials reports whether pages of origin may send cookies: those that are configured by their name. *, null and
// file:// name nobody: a page of anybody's could have such an origin.
func (p *Policy) AllowsCredentials(origin string) bool {
	return p.Cookies && p.allowsName(origin)
}

// AllowsCookie reports whether a cookie of a request says who it is for. A browser sends its cookies with what any page asks for, so
// the page has to be known: one that AllowsCredentials takes, or one of the server's own. SPEC 4.6.
func (p *Policy) AllowsCookie(g *Page) bool {
	switch {
	case !p.Cookies:
		return false
	case p.AllowsCredentials(g.Origin):
		return true
	case g.FetchSite != "" && g.FetchSite != sameOrigin:
		return false // by the browser's own word: it knows the scheme of the page, which Own does not look at
	case g.Origin == "":
		return g.FetchSite == sameOrigin // a GET of an own page has no Origin, nor has an image on a foreign one
	}
	return Own(g.Origin, g.Host) && (!g.TLS || strings.HasPrefix(g.Origin, "https://"))
}
