package console

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

func askDevice(t testing.TB, d Devices, target, host string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "/device"+target, nil)
	r.Host = host
	w := httptest.NewRecorder()
	d.Page().ServeHTTP(w, r)
	return w
}

// TestDeviceMayConnectToOnePortAlone: the address of the devices' port, and nothing that a link can put into the policy beside it.
func TestDeviceMayConnectToOnePortAlone(t *testing.T) {
	plain, secure, none := Devices{Port: "8080"}, Devices{Port: "8443", TLS: true}, Devices{}
	for _, c := range []struct {
		devices      Devices
		target, host string
		want         string // empty: 'none'
	}{
		{plain, "", "127.0.0.1:9080", "http://127.0.0.1:8080"},
		{plain, "", "ramen.example", "http://ramen.example:8080"},
		{plain, "", "[::1]:9080", "http://[::1]:8080"},
		{plain, "", "[::1]", "http://[::1]:8080"},
		{secure, "", "ramen.example:9080", "https://ramen.example:8443"},
		{none, "", "127.0.0.1:9080", ""},
		{none, "?url=https://push.example.com", "127.0.0.1:9080", "https://push.example.com"},
		{plain, "?url=https://push.example.com:8443/path?x%23y", "127.0.0.1:9080", "https://push.example.com:8443"},
		{plain, "?url=https://a.example%20https://b.example", "127.0.0.1:9080", ""},
		{plain, "?url=https://a.example%3Bscript-src%20*", "127.0.0.1:9080", ""},
		{plain, "?url=https://*", "127.0.0.1:9080", ""},
		{plain, "?url=https://user@a.example", "127.0.0.1:9080", "https://a.example"},
		{plain, "?url=javascript:alert(1)", "127.0.0.1:9080", ""},
		{plain, "?url=", "127.0.0.1:9080", ""},
		{plain, "", "a;b", ""},
		{plain, "", `"><script>`, ""},
	} {
		w := askDevice(t, c.devices, c.target, c.host)
		want := "connect-src 'none'"
		if c.want != "" {
			want = "connect-src " + c.want + " ws" + strings.TrimPrefix(c.want, "http")
		}
		var got []string
		for _, d := range strings.Split(w.Header().Get("Content-Security-Policy"), "; ") {
			if strings.HasPrefix(d, "connect-src") {
				got = append(got, d)
			}
		}
		if len(got) != 1 || got[0] != want {
			t.Errorf("%+v %s of %s: %q, want %q", c.devices, c.target, c.host, got, want)
		}
		if !strings.Contains(w.Body.String(), `<meta name="devices" content="`+c.want+`">`) {
			t.Errorf("%+v %s of %s: the page is not told %q", c.devices, c.target, c.host, c.want)
		}
	}
}

// TestDeviceRunsItsOwnScriptAlone: the policy has the hashes of the page's only script and style, beside the client that it imports.
func TestDeviceRunsItsOwnScriptAlone(t *testing.T) {
	w := askDevice(t, Devices{Port: "8080"}, "", "127.0.0.1:9080")
	page, csp := w.Body.Bytes(), w.Header().Get("Content-Security-Policy")
	for element, source := range map[string]string{"script": "script-src 'self' ", "style": "style-src "} {
		found := regexp.MustCompile(`(?s)<`+element+`\b[^>]*>(.*?)</`+element+`>`).FindAllSubmatch(page, -1)
		if len(found) != 1 {
			t.Fatalf("the page has %d elements <%s>, want one", len(found), element)
		}
		sum := sha256.Sum256(found[0][1])
		if want := source + "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; "; !strings.Contains(csp, want) {
			t.Errorf("the policy has no %s: %s", want, csp)
		}
	}
	for _, want := range []string{"default-src 'none'", "require-trusted-types-for 'script'", "trusted-types 'none'", "frame-ancestors 'none'", "form-action 'none'"} {
		if !strings.Contains(csp, want) {
			t.Errorf("the policy has no %s: %s", want, csp)
		}
	}
	for _, sink := range []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "localStorage", "document.cookie", "srcdoc"} {
		if bytes.Contains(page, []byte(sink)) {
			t.Errorf("the page uses %s", sink)
		}
	}
}

func TestClientIsAScript(t *testing.T) {
	w := httptest.NewRecorder()
	Client().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/device/ramen.min.js", nil))
	if w.Header().Get("Content-Type") != "text/javascript; charset=utf-8" || w.Header().Get("X-Content-Type-Options") != "nosniff" || !bytes.Equal(w.Body.Bytes(), client) {
		t.Errorf("%v, %d bytes", w.Header(), w.Body.Len())
	}
	if !bytes.Contains(client, []byte(" as connect")) {
		t.Error("the script exports no connect")
	}
}
