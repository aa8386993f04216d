package console

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // the page
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

//go:embed console.html
var page []byte

// Handler serves the page, whatever the path: where it stands, and for which methods, is the mux's to say.
func Handler() http.Handler {
	policy := policy("script-src "+hashOf(page, "script"), "style-src "+hashOf(page, "style"), "connect-src 'self'")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", policy)
		write(w, r, "text/html; charset=utf-8", page)
	})
}

// headers are those of all that this package serves.
var headers = map[string]string{
	// The version is the server's, and a proxy has no business with either.
	"Cache-Control":          "no-store",
	"X-Content-Type-Options": "nosniff",
	"X-Frame-Options":        "DENY", // for what does not know frame-ancestors
	// Not no-referrer: with it, some browsers name the origin "null" in POST and DELETE, which SPEC 3 refuses.
	"Referrer-Policy":              "same-origin",
	"Cross-Origin-Opener-Policy":   "same-origin",
	"Cross-Origin-Resource-Policy": "same-origin",
}

func write(w http.ResponseWriter, r *http.Request, kind string, body []byte) {
	h := w.Header()
	for name, value := range headers {
		h.Set(name, value)
	}
	h.Set("Content-Type", kind)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method != http.MethodHead {
		w.Write(body) // a browser that went away is told nothing
	}
}

// policy lets a page run its own script and style, and ask whom own names. Nothing else: no markup from strings
// (trusted types), no frames around it, no forms that a browser would send by itself.
func policy(own ...string) string {
	return strings.Join([]string{
		"default-src 'none'",
		strings.Join(own, "; "),
		"img-src data:", // the icon, which is empty
		"base-uri 'none'",
		"form-action 'none'",
		"frame-ancestors 'none'",
		"require-trusted-types-for 'script'",
		"trusted-types 'none'",
	}, "; ")
}

// hashOf is the source of the page's only element of that name, with its attributes. CSP 3, 2.3.1: the digest of the text between the tags.
func hashOf(page []byte, element string) string {
	name, _, _ := strings.Cut(element, " ")
	begin, end := []byte("<"+element+">"), []byte("</"+name+">")
	_, text, found := bytes.Cut(page, begin)
	text, rest, ended := bytes.Cut(text, end)
	if !found || !ended || bytes.Contains(rest, []byte("<"+name)) {
		panic(fmt.Sprintf("console: the page must have exactly one %s", begin))
	}
	sum := sha256.Sum256(text)
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}
