package accept

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

// RequestHead says what net/http says of every head that it takes.
func FuzzRequestHead(f *testing.F) {
	f.Add("GET /ramen/receive?user=user-7&device=device-7&app=rider HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer abc.def.ghi\r\nAccept: text/event-stream\r\n\r\n")
	f.Add("GET /ramen/ws?user=user-7&device=device-7&app=rider HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer abc.def.ghi\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Protocol: ramen.v1.json\r\n\r\n")
	f.Add("GET /ramen/receive?a=%41&b HTTP/1.1\r\nhost:ramen:80\r\nLAST-EVENT-ID:\t x \r\nOrigin: null\r\nX-Y_Z: \xff\r\n\r\n")
	f.Add("GET /ramen/receive?device=d HTTP/1.1\r\nHost: ramen\r\nSec-Fetch-Site: same-origin\r\nCookie: a=b; __Host-ramen=abc.def.ghi\r\n\r\n")
	paths := prefixesOf([]string{"/ramen/receive", "/ramen/ws"})
	f.Fuzz(func(t *testing.T, head string) {
		if !strings.HasSuffix(head, "\r\n\r\n") || strings.Index(head, "\r\n\r\n") != len(head)-4 {
			return
		}
		var h RequestHead
		if !h.read(paths, head) {
			return
		}
		r, err := readHTTP([]byte(head))
		if err != nil || !plainHead(r) || r.ContentLength != 0 || r.ProtoMajor != 1 || r.ProtoMinor != 1 || r.Method != "GET" {
			t.Fatalf("taken, but %v: %q", err, head)
		}
		want := RequestHead{
			Path: r.URL.Path, Query: r.URL.RawQuery, Host: r.Host, Origin: r.Header.Get("Origin"),
			Authorization: r.Header.Get("Authorization"), LastEventID: r.Header.Get("Last-Event-ID"),
			FetchSite: r.Header.Get("Sec-Fetch-Site"), Cookies: r.Header.Get("Cookie"),
			Upgrade: Upgrade{
				Connection: r.Header.Get("Connection"), Upgrade: r.Header.Get("Upgrade"), Version: r.Header.Get("Sec-Websocket-Version"),
				Key: r.Header.Get("Sec-Websocket-Key"), Protocols: r.Header.Get("Sec-Websocket-Protocol"), Extensions: r.Header.Get("Sec-Websocket-Extensions"),
			},
		}
		if h != want {
			t.Fatalf("%q: %+v, not %+v", head, h, want)
		}
		for name, values := range r.Header {
			if len(values) > 1 && slices.ContainsFunc(fields[:], func(f headField) bool { return http.CanonicalHeaderKey(f.name) == name }) {
				t.Fatalf("%q: %s came %d times", head, name, len(values))
			}
		}
	})
}
