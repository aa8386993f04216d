package console

import (
	"bytes"
	_ "embed" // the page, and the client that it is made of
	"html"
	"net"
	"net/http"
	"net/url"
	"strings"
)

//go:embed device.html
var devicePage []byte

// The client for browsers as clients/web builds it (make console-client), so that no npm is needed to build the server. sources_test.go
// and scripts/clients-test.sh hold it to what clients/web has.
//
//go:embed ramen.min.js
var client []byte

// placeholder is where the page is told the address of the devices' port.
const placeholder = "DEVICES"

// Devices is where this process serves devices.
type Devices struct {
	Port string // empty: it serves none
	TLS  bool
}

// Page serves the page that is a device. The address that its client connects to is at the devices' port of the host that the page was
// asked of, or in the parameter url: behind a proxy, or of another process. The policy lets it connect to that one alone.
func (d Devices) Page() http.Handler {
	script := "script-src 'self' " + hashOf(devicePage, `script type="module"`) // 'self': the client, the only script that there is
	style := "style-src " + hashOf(devicePage, "style")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		address := d.address(r)
		connect := "connect-src 'none'"
		if address != "" {
			connect = "connect-src " + address + " ws" + strings.TrimPrefix(address, "http")
		}
		w.Header().Set("Content-Security-Policy", policy(script, style, connect))
		write(w, r, "text/html; charset=utf-8", bytes.Replace(devicePage, []byte(placeholder), []byte(html.EscapeString(address)), 1))
	})
}

// Client serves the script that the page imports.
func Client() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { write(w, r, "text/javascript; charset=utf-8", client) })
}

// address is an origin that r asks for, or this host's; empty where it is none.
func (d Devices) address(r *http.Request) string {
	if r.URL.Query().Has("url") {
		u, err := url.Parse(strings.TrimSpace(r.URL.Query().Get("url")))
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || !plainHost(u.Host) {
			return ""
		}
		return u.Scheme + "://" + u.Host
	}
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = strings.Trim(r.Host, "[]")
	}
	address := net.JoinHostPort(host, d.Port)
	switch {
	case d.Port == "" || !plainHost(address):
		return ""
	case d.TLS:
		return "https://" + address
	}
	return "http://" + address
}

// plainHost keeps out of the policy what would end a source or a directive. Names that are not ASCII are for the browser to write.
func plainHost(host string) bool {
	return host != "" && strings.IndexFunc(host, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && !strings.ContainsRune(".:-_[]", r)
	}) < 0
}
