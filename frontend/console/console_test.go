package console

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

func ask(t testing.TB, method string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	Handler().ServeHTTP(w, httptest.NewRequest(method, "/", nil))
	return w
}

// directives are those of the Content-Security-Policy, by name.
func directives(t testing.TB) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, d := range strings.Split(ask(t, http.MethodGet).Header().Get("Content-Security-Policy"), "; ") {
		name, value, _ := strings.Cut(d, " ")
		if _, twice := found[name]; twice {
			t.Errorf("the directive %s stands twice: browsers take the first alone", name)
		}
		found[name] = value
	}
	return found
}

func TestHeadersAreStrict(t *testing.T) {
	w := ask(t, http.MethodGet)
	if w.Code != http.StatusOK || !bytes.Equal(w.Body.Bytes(), page) {
		t.Errorf("status %d and %d bytes, want 200 and the page's %d", w.Code, w.Body.Len(), len(page))
	}
	for name, want := range map[string]string{
		"Content-Type":           "text/html; charset=utf-8",
		"Content-Length":         strconv.Itoa(len(page)),
		"Cache-Control":          "no-store",
		"X-Content-Type-Options": "nosniff",
		"X-Frame-Options":        "DENY",
		"Referrer-Policy":        "same-origin",
	} {
		if got := w.Header().Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if w := ask(t, http.MethodHead); w.Code != http.StatusOK || w.Body.Len() != 0 || w.Header().Get("Content-Length") != strconv.Itoa(len(page)) {
		t.Errorf("HEAD: %d, %d bytes, Content-Length %s", w.Code, w.Body.Len(), w.Header().Get("Content-Length"))
	}
}

func TestPolicyLetsNothingElseRun(t *testing.T) {
	got := directives(t)
	for name, want := range map[string]string{
		"default-src": "'none'", "connect-src": "'self'", "img-src": "data:", "base-uri": "'none'", "form-action": "'none'",
		"frame-ancestors": "'none'", "require-trusted-types-for": "'script'", "trusted-types": "'none'",
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
	for name, value := range got {
		if strings.Contains(value, "unsafe") || strings.Contains(value, "*") {
			t.Errorf("%s %s", name, value)
		}
	}
}

// The hashes are counted here over the elements as a browser finds them: a space more, and the page would be dead.
func TestPolicyHashesAreThoseOfThePage(t *testing.T) {
	got := directives(t)
	for _, element := range []string{"script", "style"} {
		found := regexp.MustCompile(`(?s)<`+element+`\b([^>]*)>(.*?)</`+element+`>`).FindAllSubmatch(page, -1)
		if len(found) != 1 || len(found[0][1]) != 0 {
			t.Fatalf("the page has %d elements <%s>, want one, without attributes", len(found), element)
		}
		sum := sha256.Sum256(found[0][2])
		if want := "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"; got[element+"-src"] != want {
			t.Errorf("%s-src is %s, want %s", element, got[element+"-src"], want)
		}
	}
	if bytes.ContainsRune(page, '\r') {
		t.Error("the page has a CR: browsers hash the text with LF alone")
	}
}

func TestPageLoadsNothing(t *testing.T) {
	for what, bad := range map[string]string{
		"an external address":                        `(?i)\b(https?|wss?|ftp):|["'(=]\s*//[a-z]`,
		"a loaded resource":                          `(?i)\bsrc\s*=|@import|\burl\(|\bimport\s*[("'{*]|<(link|iframe|object|embed|base)\b[^>]*href="[^d]`,
		"a handler or style that the policy refuses": `(?i)<[a-z][^>]*\s(on[a-z]+|style)=`,
	} {
		if hit := regexp.MustCompile(bad).Find(page); hit != nil {
			t.Errorf("the page has %s: %q", what, hit)
		}
	}
}

// What outsiders say must only become text.
func TestPageMakesNoMarkupFromText(t *testing.T) {
	for _, sink := range []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "DOMParser", "createContextualFragment", "setHTML", "eval(", "new Function", "srcdoc", ".href"} {
		if bytes.Contains(page, []byte(sink)) {
			t.Errorf("the page uses %s", sink)
		}
	}
	if bytes.Contains(page, []byte("localStorage")) || bytes.Contains(page, []byte("document.cookie")) {
		t.Error("the key is for sessionStorage alone")
	}
}

func TestPageMustHaveOneScript(t *testing.T) {
	for _, page := range []string{"", "<script>", "<script>a</script><script>b</script>", "<script type=module>a</script>"} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%q has a hash", page)
				}
			}()
			hashOf([]byte(page), "script")
		}()
	}
}
