package frontend

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"ramen/frontend/auth"
	"ramen/protocol"
)

// ways are the requests in which a page may show its token.
var ways = []struct {
	name, path string
	secure, h2 bool
}{
	{name: "sse", path: eventsPath}, {name: "sse-tls", path: eventsPath, secure: true}, {name: "sse-h2", path: eventsPath, secure: true, h2: true},
	{name: "ws", path: socketPath}, {name: "ws-tls", path: socketPath, secure: true},
	{name: "poll", path: "/ramen/poll"}, {name: "poll-h2", path: "/ramen/poll", secure: true, h2: true},
	{name: "ack", path: "/ramen/ack"}, {name: "ack-tls", path: "/ramen/ack", secure: true},
}

// Of a request that a page makes: who it is taken for, or the code of the error.
const (
	asAlice  = "alice"
	asBob    = "bob"
	noToken  = string(protocol.CodeUnauthenticated)
	noSocket = "403" // the Origin of a WebSocket is judged before its token: SPEC 3.2.5
)

const cookieName = "__Host-ramen"

// newCookieBench is a server that takes tokens from a cookie.
func newCookieBench(t *testing.T, origins ...string) *bench {
	return newBench(t, func(c *Config, d *Deps) {
		c.Origins = origins
		d.Cookie = cookieName
		d.Tokens = tokens{"a.a.a": claimsOf("alice"), "b.b.b": claimsOf("bob")}
	})
}

func claimsOf(user protocol.UserID) auth.Claims {
	return auth.Claims{User: user, Expires: time.Now().Add(time.Hour)}
}

// ask makes a request, and answers who it was taken for, by the second of two: alice may not ask for bob's.
func (b *bench) ask(way int, query string, fields ...string) (as string, head http.Header) {
	b.tb.Helper()
	as, head = b.askFor("alice", way, query, fields)
	if as == string(protocol.CodePermissionDenied) {
		as, _ = b.askFor("bob", way, query, fields)
	}
	return as, head
}

func (b *bench) askFor(user string, way int, query string, fields []string) (string, http.Header) {
	b.tb.Helper()
	w := ways[way]
	query = "user=" + user + "&device=d&wait=0&cursor=" + "k-" + user + ".d-0" + query
	resp, done := b.request(w.path+"?"+query, w.secure, w.h2, w.path == socketPath, fields)
	defer done()
	switch resp.StatusCode {
	case http.StatusSwitchingProtocols:
		return b.firstFrame(resp.Body, user), resp.Header
	case http.StatusOK, http.StatusNoContent:
		return user, resp.Header
	case http.StatusUnauthorized:
		return noToken, resp.Header
	case http.StatusForbidden:
		if w.path == socketPath {
			return noSocket, resp.Header
		}
		return string(protocol.CodePermissionDenied), resp.Header
	}
	return resp.Status, resp.Header
}

// firstFrame is what a WebSocket begins with: hello, or a close with the reason.
func (b *bench) firstFrame(r io.Reader, user string) string {
	b.tb.Helper()
	var frame [4]byte
	if _, err := io.ReadFull(r, frame[:]); err != nil {
		b.tb.Fatal(err)
	}
	if frame[0] != 0x88 {
		return user
	}
	switch code := int(frame[2])<<8 | int(frame[3]); code {
	case 4401:
		return noToken
	case 4403:
		return string(protocol.CodePermissionDenied)
	default:
		return fmt.Sprint(code)
	}
}

// request makes a GET with exactly these header fields.
func (b *bench) request(target string, secure, h2, upgrade bool, fields []string) (*http.Response, func()) {
	b.tb.Helper()
	if h2 {
		return b.requestH2(target, fields)
	}
	var c net.Conn
	var err error
	host := b.plain
	if secure {
		host = b.secure
		c, err = tls.Dial("tcp", host, b.roots.Clone())
	} else {
		c, err = net.Dial("tcp", host)
	}
	if err != nil {
		b.tb.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(20 * time.Second))
	head := "GET " + target + " HTTP/1.1\r\nHost: " + host + "\r\n"
	if upgrade {
		head += "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n"
	}
	for i := 0; i < len(fields); i += 2 {
		head += fields[i] + ": " + strings.ReplaceAll(fields[i+1], "OWN", host) + "\r\n"
	}
	resp, r := dialRaw(b.tb, c, head+"\r\n")
	if upgrade {
		resp.Body = io.NopCloser(bufio.NewReader(r))
	}
	return resp, func() { c.Close() }
}

func (b *bench) requestH2(target string, fields []string) (*http.Response, func()) {
	b.tb.Helper()
	p := new(http.Protocols)
	p.SetHTTP2(true)
	t := &http.Transport{TLSClientConfig: b.roots.Clone(), Protocols: p}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	r, err := http.NewRequestWithContext(ctx, "GET", "https://"+b.secure+target, nil)
	if err != nil {
		b.tb.Fatal(err)
	}
	for i := 0; i < len(fields); i += 2 {
		r.Header.Add(fields[i], strings.ReplaceAll(fields[i+1], "OWN", b.secure))
	}
	resp, err := t.RoundTrip(r)
	if err != nil {
		b.tb.Fatal(err)
	}
	return resp, func() { cancel(); resp.Body.Close(); t.CloseIdleConnections() }
}

const aliceCookie = "theme=dark; __Host-ramen=a.a.a; __host-ramen=x"

// TestCookieCountsForKnownPagesAlone: a browser sends its cookies with what any page asks for, an image on a foreign one, too. SPEC 4.6.
func TestCookieCountsForKnownPagesAlone(t *testing.T) {
	b := newCookieBench(t, "https://app.example", "https://*.apps.example", "null", "file://")
	for _, c := range []struct {
		name   string
		fields []string
		want   string
		secure string // what differs over TLS; empty: nothing does
		socket string // and of a WebSocket
	}{
		{name: "a page of a configured origin", fields: []string{"Origin", "https://app.example"}, want: asAlice},
		{name: "the same of another site", fields: []string{"Origin", "https://app.example", "Sec-Fetch-Site", "cross-site"}, want: asAlice},
		{name: "a page of a configured subdomain", fields: []string{"Origin", "https://a.apps.example"}, want: asAlice},
		{name: "the configured name over another scheme", fields: []string{"Origin", "http://app.example"}, want: noToken, socket: noSocket},
		{name: "a foreign page", fields: []string{"Origin", "https://evil.example"}, want: noToken, socket: noSocket},
		{name: "a foreign page of the same site", fields: []string{"Origin", "https://evil.example", "Sec-Fetch-Site", "same-site"}, want: noToken, socket: noSocket},
		{name: "a foreign page that says it were our own", fields: []string{"Origin", "https://evil.example", "Sec-Fetch-Site", "same-origin"}, want: noToken, socket: noSocket},
		{name: "a sandboxed frame", fields: []string{"Origin", "null"}, want: noToken},
		{name: "a file", fields: []string{"Origin", "file://"}, want: noToken},
		{name: "an own page's GET", fields: []string{"Sec-Fetch-Site", "same-origin"}, want: asAlice},
		{name: "an image on a foreign page", fields: []string{"Sec-Fetch-Site", "cross-site"}, want: noToken},
		{name: "an image on a sibling's page", fields: []string{"Sec-Fetch-Site", "same-site"}, want: noToken},
		{name: "a link that was typed", fields: []string{"Sec-Fetch-Site", "none"}, want: noToken},
		{name: "two words for where it comes from", fields: []string{"Sec-Fetch-Site", "same-origin", "Sec-Fetch-Site", "cross-site"}, want: noToken},
		{name: "a request of nobody knows whom", want: noToken},
		{name: "an own page", fields: []string{"Origin", "https://OWN"}, want: asAlice},
		{name: "an own page by its browser's word", fields: []string{"Origin", "https://OWN", "Sec-Fetch-Site", "same-origin"}, want: asAlice},
		{name: "an own page in cleartext", fields: []string{"Origin", "http://OWN"}, want: asAlice, secure: noToken},
		{name: "the own name, by its browser's word another origin", fields: []string{"Origin", "http://OWN", "Sec-Fetch-Site", "cross-site"}, want: noToken},
	} {
		for i, way := range ways {
			want := c.want
			if way.secure && c.secure != "" {
				want = c.secure
			}
			if way.path == socketPath && c.socket != "" {
				want = c.socket
			}
			if got, _ := b.ask(i, "", append(slices.Clone(c.fields), "Cookie", aliceCookie)...); got != want {
				t.Errorf("%s: %s was taken for %s, want %s", way.name, c.name, got, want)
			}
		}
	}
}

// TestAnyOriginSendsNoCookie: where every page may read answers, none may use its visitor's cookie.
func TestAnyOriginSendsNoCookie(t *testing.T) {
	b := newCookieBench(t, "*")
	for i, way := range ways {
		got, head := b.ask(i, "", "Origin", "https://evil.example", "Cookie", aliceCookie)
		if got != noToken {
			t.Errorf("%s: a page of any origin was taken for %s", way.name, got)
		}
		if h := head.Get("Access-Control-Allow-Credentials"); h != "" {
			t.Errorf("%s: credentials of any origin are allowed: %q", way.name, h)
		}
	}
}

// TestCookieComesLast: what a page says on purpose counts before what its browser adds.
func TestCookieComesLast(t *testing.T) {
	b := newCookieBench(t, "https://app.example")
	from := []string{"Origin", "https://app.example"}
	for _, c := range []struct {
		name, query string
		fields      []string
		want        string
	}{
		{"the header before the cookie", "", []string{"Authorization", "Bearer b.b.b", "Cookie", aliceCookie}, asBob},
		{"the query before the cookie", "&token=b.b.b", []string{"Cookie", aliceCookie}, asBob},
		{"a bad header before the cookie", "", []string{"Authorization", "Bearer x", "Cookie", aliceCookie}, noToken},
		{"a proxy's login beside the cookie", "", []string{"Authorization", "Basic eDp5", "Cookie", aliceCookie}, asAlice},
		{"a quoted value", "", []string{"Cookie", `a=b;__Host-ramen="b.b.b"`}, asBob},
		{"an empty cookie", "", []string{"Cookie", "__Host-ramen="}, noToken},
		{"a bad cookie", "", []string{"Cookie", "__Host-ramen=x"}, noToken},
		{"a name in another case", "", []string{"Cookie", "__host-ramen=a.a.a"}, noToken},
		{"a name that only ends the same", "", []string{"Cookie", "x__Host-ramen=a.a.a"}, noToken},
		{"two cookies of the name", "", []string{"Cookie", "__Host-ramen=a.a.a; __Host-ramen=b.b.b"}, noToken},
		{"the same in two fields", "", []string{"Cookie", "__Host-ramen=a.a.a", "Cookie", "__Host-ramen=b.b.b"}, noToken},
		{"one of two fields", "", []string{"Cookie", "a=b", "Cookie", "__Host-ramen=a.a.a"}, asAlice},
	} {
		for i, way := range ways {
			if got, _ := b.ask(i, c.query, append(slices.Clone(from), c.fields...)...); got != c.want {
				t.Errorf("%s: %s: taken for %s, want %s", way.name, c.name, got, c.want)
			}
		}
	}
}

// TestWithoutANameNoCookieCounts, and no answer allows credentials.
func TestWithoutANameNoCookieCounts(t *testing.T) {
	b := newBench(t, func(c *Config, d *Deps) {
		c.Origins = []string{"https://app.example"}
		d.Tokens = tokens{"a.a.a": claimsOf("alice")}
	})
	for i, way := range ways {
		got, head := b.ask(i, "", "Origin", "https://app.example", "Sec-Fetch-Site", "same-origin", "Cookie", "__Host-ramen=a.a.a; =a.a.a")
		if got != noToken || head.Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("%s: taken for %s, credentials %q", way.name, got, head.Get("Access-Control-Allow-Credentials"))
		}
	}
}

// TestCredentialsAreAllowedToKnownPages, on every answer: a browser keeps one without from its page. SPEC 3.2.7.
func TestCredentialsAreAllowedToKnownPages(t *testing.T) {
	b := newCookieBench(t, "https://app.example", "https://*.apps.example", "null")
	for origin, want := range map[string]string{
		"https://app.example": "true", "https://a.apps.example": "true", "null": "", "https://evil.example": "", "": "",
	} {
		for i, way := range ways {
			if way.path == socketPath {
				continue // CORS does not hold for WebSockets
			}
			for _, cookie := range []string{aliceCookie, "__Host-ramen=x"} { // an answer, and an error
				fields := []string{"Cookie", cookie}
				if origin != "" {
					fields = append(fields, "Origin", origin)
				}
				_, head := b.ask(i, "", fields...)
				if got := head.Get("Access-Control-Allow-Credentials"); got != want {
					t.Errorf("%s to %q: credentials %q, want %q", way.name, origin, got, want)
				}
				if want != "" && head.Get("Access-Control-Allow-Origin") != origin || head.Get("Vary") != "Origin" {
					t.Errorf("%s to %q: allowed %q, varies by %q", way.name, origin, head.Get("Access-Control-Allow-Origin"), head.Get("Vary"))
				}
			}
		}
		resp, _ := b.do("OPTIONS", "/ramen/poll", "", "Origin", origin, "Access-Control-Request-Method", "GET")
		if got := resp.Header.Get("Access-Control-Allow-Credentials"); got != want {
			t.Errorf("preflight of %q: credentials %q, want %q", origin, got, want)
		}
	}
}
