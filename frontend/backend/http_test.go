package backend

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"ramen/link"
	"ramen/protocol"
)

func TestPublishOverHTTP(t *testing.T) {
	r := newRig(t, nil, nil)
	r.seen["old m9"] = true
	full := protocol.Errorf(protocol.CodeResourceExhausted, "the mailbox is full")
	full.RetryAfter = 1500 * time.Millisecond
	r.result = func(p link.Publish) (link.Result, bool) {
		switch p.User {
		case "full":
			return link.Result{Status: link.StatusRejected, Err: full}, true
		case "down":
			return link.Result{Status: link.StatusRejected, Err: protocol.Errorf(protocol.CodeUnavailable, "later")}, true
		case "broken":
			return link.Result{Status: link.StatusRejected}, true
		}
		return link.Result{}, false
	}
	for _, c := range []struct {
		name, body string
		status     int
		want       string
	}{
		{"one", `{"user":"u1","id":"m1","type":"trip.offer","priority":"high","ttl_ms":30000,"payload":{ "fare": 12 }}`, 200,
			`{"results":[{"id":"m1","status":"accepted","devices":2}]}`},
		{"one again", `{"user":"u1","id":"m1"}`, 200, `{"results":[{"id":"m1","status":"duplicate","devices":2}]}`},
		{"users", `{"users":["a","b c","a"],"id":"m2"}`, 200, `{"results":[{"id":"m2","status":"accepted","devices":2},` +
			`{"id":"m2","status":"rejected","error":{"code":"invalid_argument","message":"user has U+0020 at byte 1: it must be 1 to 128 bytes of printable UTF-8, without spaces and control characters"},"devices":0},` +
			`{"id":"m2","status":"duplicate","devices":2}]}`},
		{"one user of users is still a batch", `{"users":["full"],"id":"m2"}`, 200,
			`{"results":[{"id":"m2","status":"rejected","error":{"code":"resource_exhausted","message":"the mailbox is full"},"devices":0}]}`},
		{"users, and a bad message", `{"users":["a","b"],"id":"m2","ttl_ms":1}`, 200, `{"results":[` +
			strings.Repeat(`,{"id":"m2","status":"rejected","error":{"code":"invalid_argument","message":"ttl_ms is 1: it must be 1000 to 86400000, or 0 for the default of 1800000"},"devices":0}`, 2)[1:] + `]}`},
		{"batch", `{"messages":[{"user":"u1","id":"m3"},{"user":"","id":"m4"},{"user":"u1","id":"m3"},{"user":"old","id":"m9"},{"user":"broken","id":"m5"}]}`, 200,
			`{"results":[{"id":"m3","status":"accepted","devices":2},{"id":"m4","status":"rejected","error":{"code":"invalid_argument","message":"user is missing: give the user, or users, of the message"},"devices":0},` +
				`{"id":"m3","status":"duplicate","devices":2},{"id":"m9","status":"duplicate","devices":2},` +
				`{"id":"m5","status":"rejected","error":{"code":"internal","message":"the user's gateway failed: the gateway rejected the message without a reason"},"devices":0}]}`},
		{"a bad id is not repeated", `{"messages":[{"user":"u1","id":"a b"}]}`, 200,
			`{"results":[{"status":"rejected","error":{"code":"invalid_argument","message":"id has U+0020 at byte 1: it must be 1 to 128 bytes of printable UTF-8, without spaces and control characters"},"devices":0}]}`},
		{"one bad value", `{"user":"u1","priority":"urgent"}`, 400, `{"error":{"code":"invalid_argument","message":"priority \"urgent\" is unknown: it must be high, medium or low"}}`},
		{"user and users", `{"user":"u1","users":["u2"]}`, 400, `{"error":{"code":"invalid_argument","message":"both user and users are given: give user for one user, or users for several"}}`},
		{"one too large", `{"user":"u1","payload":"` + strings.Repeat("x", 70000) + `"}`, 413, `{"error":{"code":"too_large","message":"payload has 70002 bytes: at most 65536 are allowed"}}`},
		{"one to a full mailbox", `{"user":"full"}`, 429, `{"error":{"code":"resource_exhausted","message":"the mailbox is full"}}`},
		{"one to nobody", `{"user":"down"}`, 503, `{"error":{"code":"unavailable","message":"later"}}`},
		{"one that fails", `{"user":"broken"}`, 500, `{"error":{"code":"internal","message":"the user's gateway failed: the gateway rejected the message without a reason"}}`},
		{"no body", ``, 400, `{"error":{"code":"invalid_argument","message":"body is empty: send a JSON object"}}`},
		{"bad batch", `{"messages":[{"user":"u7","id":"never"},{"user":7}]}`, 400, `{"error":{"code":"invalid_argument","message":"messages[1].user at byte 48 is a number: it must be a string"}}`},
		{"over 4 MiB", strings.Repeat(" ", 4<<20) + `{}`, 413, `{"error":{"code":"too_large","message":"the body has over 4194304 bytes: send a smaller batch"}}`},
	} {
		res, body := r.do(t, "POST", "/v1/publish", c.body)
		if res.StatusCode != c.status || body != c.want {
			t.Errorf("%s:\n got %d %s\nwant %d %s", c.name, res.StatusCode, body, c.status, c.want)
		}
		if got := res.Header.Get("Content-Type"); got != "application/json" {
			t.Errorf("%s: the content type is %q", c.name, got)
		}
		if retry := res.Header.Get("Retry-After"); (retry != "") != (c.status == 429 || c.status == 503) {
			t.Errorf("%s: Retry-After is %q", c.name, retry)
		} else if c.status == 429 && retry != "2" || c.status == 503 && retry != "1" {
			t.Errorf("%s: Retry-After is %q", c.name, retry)
		}
	}
	first := r.asked()[0]
	if m := first.Message; first.User != "u1" || first.TTLMS != 30000 || m.Type != "trip.offer" || m.Priority != protocol.PriorityHigh || string(m.Payload) != `{"fare":12}` || m.ContentType != "application/json" {
		t.Errorf("the gateway was asked for %+v %+v", first, m)
	}
	for _, p := range r.asked() {
		if p.Message.ID == "never" {
			t.Error("a part of a refused body was published")
		}
	}
}

func TestServersIDIsOneForAllUsers(t *testing.T) {
	r := newRig(t, nil, nil)
	if res, body := r.do(t, "POST", "/v1/publish", `{"users":["a","b"]}`); res.StatusCode != 200 {
		t.Fatal(body)
	}
	if got := r.asked(); len(got) != 2 || len(got[0].Message.ID) != 36 || got[0].Message != got[1].Message {
		t.Fatalf("%+v", got)
	}
}

func TestBodyMayComeCompressed(t *testing.T) {
	r := newRig(t, nil, nil)
	zip := func(s string) string {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		w.Write([]byte(s))
		w.Close()
		return b.String()
	}
	for _, c := range []struct {
		name, encoding, body string
		status               int
		want                 string
	}{
		{"gzip", "gzip", zip(`{"user":"u","id":"m"}`), 200, `"accepted"`},
		{"gzip of 4 MiB", "gzip", zip(strings.Repeat(" ", 4<<20-21) + `{"user":"u","id":"n"}`), 200, `"accepted"`},
		{"gzip of more", "gzip", zip(strings.Repeat(" ", 4<<20-20) + `{"user":"u","id":"o"}`), 413, "the body has over 4194304 bytes"},
		{"gzip of far more", "gzip", zip(strings.Repeat(" ", 64<<20)), 413, "the body has over 4194304 bytes"},
		{"not gzip", "gzip", `{"user":"u"}`, 400, "the body could not be read completely: gzip: invalid header"},
		{"identity", "identity", `{"user":"u","id":"p"}`, 200, `"accepted"`},
		{"brotli", "br", `x`, 400, `the Content-Encoding is \"br\": use gzip, or omit it`},
	} {
		res, body := r.do(t, "POST", "/v1/publish", c.body, "Content-Encoding", c.encoding)
		if res.StatusCode != c.status || !strings.Contains(body, c.want) {
			t.Errorf("%s: %d %s", c.name, res.StatusCode, body)
		}
	}
}

func TestContentTypeOfTheRequestIsNotLookedAt(t *testing.T) {
	r := newRig(t, nil, nil)
	for _, kind := range []string{"application/json", "application/json; charset=utf-8", "application/x-www-form-urlencoded", "text/plain"} {
		if res, body := r.do(t, "POST", "/v1/publish", `{"user":"u"}`, "Content-Type", kind); res.StatusCode != 200 {
			t.Errorf("%s: %d %s", kind, res.StatusCode, body)
		}
	}
}

func TestPathsAndMethods(t *testing.T) {
	r := newRig(t, nil, nil)
	for _, c := range []struct {
		method, path string
		status       int
		allow        string
	}{
		{"GET", "/v1/publish", 405, "POST"},
		{"OPTIONS", "/v1/publish", 405, "POST"},
		{"POST", "/v1/users/u/devices", 405, "GET"},
		{"DELETE", "/v1/users/u/messages", 405, "GET"},
		{"GET", "/v1/users/u/messages/m", 405, "DELETE"},
		{"GET", "/v1/users/u/disconnect", 405, "POST"},
		{"GET", "/", 404, ""},
		{"GET", "/v2/publish", 404, ""},
		{"POST", "/v1/publish/", 404, ""},
		{"POST", "/v1/", 404, ""},
		{"GET", "/v1/users", 404, ""},
		{"GET", "/v1/users/u", 404, ""},
		{"GET", "/v1/users/u/cursors", 404, ""},
		{"GET", "/v1/users/u/messages/m/more", 404, ""},
		{"GET", "/v1/users//devices", 400, ""},
		{"GET", "/v1/users/a%20b/devices", 400, ""},
		{"DELETE", "/v1/users/u/messages/", 400, ""},
	} {
		res, body := r.do(t, c.method, c.path, "")
		if res.StatusCode != c.status || res.Header.Get("Allow") != c.allow || !strings.HasPrefix(body, `{"error":{"code":"`) {
			t.Errorf("%s %s: %d, Allow %q, %s", c.method, c.path, res.StatusCode, res.Header.Get("Allow"), body)
		}
		if c.status == 405 && !strings.Contains(body, `"invalid_argument"`) || c.status == 404 && !strings.Contains(body, `"not_found"`) {
			t.Errorf("%s %s: %s", c.method, c.path, body)
		}
	}
}

func TestAnyPrintableCharacterMayStandInAPath(t *testing.T) {
	r := newRig(t, nil, nil)
	for _, user := range []string{"a/b", "..", ".", "a//b", "%2F", "ü😀", "a?b#c&d=e", "a+b", `"\`, ";,:@"} {
		path := "/v1/users/" + strings.ReplaceAll(strings.ReplaceAll(url.PathEscape(user), ".", "%2E"), "+", "%2B")
		r.told = nil
		r.do(t, "GET", path+"/devices", "")
		r.do(t, "GET", path+"/messages", "")
		r.do(t, "POST", path+"/disconnect", "")
		if res, _ := r.do(t, "DELETE", path+"/messages/waits", ""); res.StatusCode != 204 {
			t.Errorf("%s: %d", user, res.StatusCode)
		}
		if res, body := r.do(t, "DELETE", "/v1/users/u/messages/"+strings.TrimPrefix(path, "/v1/users/"), ""); res.StatusCode != 404 || !strings.Contains(body, "not_found") {
			t.Errorf("%s: %d %s", user, res.StatusCode, body)
		}
		want := fmt.Sprintf(`[devices %s messages %s disconnect %s "" "" recall %s waits recall u %s]`, user, user, user, user, user)
		if got := fmt.Sprint(r.told); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestDisconnectOverHTTP(t *testing.T) {
	r := newRig(t, nil, nil)
	for _, c := range []struct {
		body   string
		status int
		want   string
	}{
		{`{"device":"d1","detail":"sold the phone"}`, 200, `{"streams":3}`},
		{``, 200, `{"streams":3}`},
		{`{"device":"a b"}`, 400, "device has U+0020"},
		{`{"detail":"` + strings.Repeat("x", 257) + `"}`, 400, "detail has 257 bytes: at most 256 are allowed"},
		{`{"detail":"a\nb"}`, 400, "detail has U+000A at byte 1: it must be printable UTF-8, on one line"},
		{`{"devices":[]}`, 400, "devices at byte 1 is unknown: the fields are device and detail"},
	} {
		if res, body := r.do(t, "POST", "/v1/users/u/disconnect", c.body); res.StatusCode != c.status || !strings.Contains(body, c.want) {
			t.Errorf("%s: %d %s", c.body, res.StatusCode, body)
		}
	}
	if got, want := fmt.Sprint(r.told), `[disconnect u "d1" "sold the phone" disconnect u "" ""]`; got != want {
		t.Errorf("got %s", got)
	}
}

func TestKeysAndScopes(t *testing.T) {
	keys, publish, read, both := keyring(t)
	r := newRig(t, nil, keys)
	for _, c := range []struct {
		method, path, body string
		needs              string
		ok                 int
	}{
		{"POST", "/v1/publish", `{"user":"u"}`, publish, 200},
		{"DELETE", "/v1/users/u/messages/waits", "", publish, 204},
		{"POST", "/v1/users/u/disconnect", "", publish, 200},
		{"GET", "/v1/users/u/devices", "", read, 200},
		{"GET", "/v1/users/u/messages", "", read, 200},
	} {
		other := publish
		if c.needs == publish {
			other = read
		}
		for key, want := range map[string]int{"": 401, "Bearer wrong": 401, "Basic eA==": 401, other: 403, c.needs: c.ok, both: c.ok} {
			var headers []string
			if key != "" {
				headers = []string{"Authorization", key}
			}
			res, body := r.do(t, c.method, c.path, c.body, headers...)
			if res.StatusCode != want {
				t.Errorf("%s %s: %d, want %d: %s", c.method, c.path, res.StatusCode, want, body)
			}
			if want == 401 && (res.Header.Get("WWW-Authenticate") != "Bearer" || !strings.Contains(body, `"unauthenticated"`)) || want == 403 && !strings.Contains(body, `"permission_denied"`) {
				t.Errorf("%s %s: %v %s", c.method, c.path, res.Header, body)
			}
		}
	}
}

// TestFix04PagesOfOthersAreForbidden: those of another origin, and without authentication those on a name, which its owner may
// have let point here.
func TestFix04PagesOfOthersAreForbidden(t *testing.T) {
	keys, _, _, both := keyring(t)
	for _, c := range []struct {
		host, origin string
		open, closed int // with authentication off, and on
	}{
		{"", "", 200, 200},
		{"127.0.0.1:9080", "http://127.0.0.1:9080", 200, 200},
		{"[::1]:9080", "http://[::1]:9080", 200, 200},
		{"localhost:9080", "http://LOCALHOST:9080", 200, 200},
		{"localhost:9080", "http://localhost:9080", 200, 200},
		{"localhost", "http://localhost:80", 200, 200},
		{"localhost:443", "https://localhost", 200, 200},
		{"console.example.com", "https://console.example.com", 403, 200}, // off: a name may be an attacker's that resolves to us
		{"localhost:9080", "http://localhost:9081", 403, 403},
		{"localhost:9080", "https://evil.example", 403, 403},
		{"localhost:9080", "null", 403, 403},
		{"localhost:9080", "", 200, 200},
		{"localhost:9080", "file://", 403, 403},
		{"evil.example:9080", "", 403, 200}, // by GET a page of the "same" origin bears none
		{"evil.example", "http://localhost:9080", 403, 403},
		{"192.168.7.1:9080", "", 200, 200},
	} {
		for _, k := range []bool{false, true} {
			r, want, headers := newRig(t, nil, nil), c.open, []string{}
			if k {
				r, want, headers = newRig(t, nil, keys), c.closed, []string{"Authorization", both}
			}
			if c.host != "" {
				headers = append(headers, "Host", c.host)
			}
			if c.origin != "" {
				headers = append(headers, "Origin", c.origin)
			}
			res, body := r.do(t, "POST", "/v1/publish", `{"user":"u"}`, headers...)
			if res.StatusCode != want {
				t.Errorf("keys %v, host %q, origin %q: %d, want %d: %s", k, c.host, c.origin, res.StatusCode, want, body)
			}
			if res, _ := r.do(t, "GET", "/healthz", "", headers...); (res.StatusCode == 403) != (want == 403) {
				t.Errorf("keys %v, origin %q: the rule is not that of the whole port", k, c.origin)
			}
		}
	}
}

func TestRestOfThePortIsServedByOthers(t *testing.T) {
	r := newRig(t, nil, nil)
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("alive")) })
	r.url = serve(t, r.server.Handler(mux))
	if res, body := r.do(t, "GET", "/healthz", ""); res.StatusCode != 200 || body != "alive" {
		t.Error(res.StatusCode, body)
	}
	if res, _ := r.do(t, "POST", "/v1/publish", `{"user":"u"}`); res.StatusCode != 200 {
		t.Error(res.StatusCode)
	}
}

func TestRateOfTheProcess(t *testing.T) {
	r := newRig(t, func(c *Config) { c.PublishesPerSecond, c.PublishBurst, c.Publish.MaxBatch = 0.001, 3, 3 }, nil)
	if res, body := r.do(t, "POST", "/v1/publish", `{"users":["a","b"]}`); res.StatusCode != 200 || strings.Count(body, "accepted") != 2 {
		t.Fatal(body)
	}
	if res, body := r.do(t, "POST", "/v1/publish", `{"messages":[{"user":"a"},{"user":"b"}]}`); res.StatusCode != 200 || strings.Count(body, "resource_exhausted") != 2 {
		t.Fatal(body)
	}
	if res, body := r.do(t, "POST", "/v1/publish", `{"user":"c"}`); res.StatusCode != 200 {
		t.Fatal(body)
	}
	res, body := r.do(t, "POST", "/v1/publish", `{"user":"d"}`)
	if res.StatusCode != 429 || res.Header.Get("Retry-After") == "" || !strings.Contains(body, "this server accepts 0.001 messages per second") {
		t.Fatal(res.StatusCode, body)
	}
}

func TestBytesUnderWayAreBounded(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Publish.MaxBody, c.BytesUnderWay = 1024, 1100 }, nil)
	r.held, r.entered = make(chan struct{}), make(chan struct{}, 2)
	first := make(chan string)
	go func() {
		_, body := r.do(t, "POST", "/v1/publish", `{"user":"a"}`+strings.Repeat(" ", 1000))
		first <- body
	}()
	<-r.entered
	res, body := r.do(t, "POST", "/v1/publish", `{"user":"b"}`+strings.Repeat(" ", 200))
	if res.StatusCode != 503 || !strings.Contains(body, "1100 bytes of publishes are waiting for their answers already") {
		t.Error(res.StatusCode, body)
	}
	close(r.held)
	if body := <-first; !strings.Contains(body, "accepted") {
		t.Error(body)
	}
	if res, body := r.do(t, "POST", "/v1/publish", `{"user":"b"}`+strings.Repeat(" ", 200)); res.StatusCode != 200 {
		t.Error("what was answered still counts:", body)
	}
}

func TestMetricsOfPublishes(t *testing.T) {
	r := newRig(t, nil, nil)
	r.do(t, "POST", "/v1/publish", `{"messages":[{"user":"a","id":"1"},{"user":"a","id":"1"},{"user":"a b"}]}`)
	r.do(t, "POST", "/v1/publish", `{"user":1}`)
	r.do(t, "GET", "/nowhere", ``)
	r.do(t, "GET", "/v1/nowhere", ``)
	for _, c := range []struct {
		name   string
		labels map[string]string
		want   float64
	}{
		{"ramen_backend_publishes_total", map[string]string{"side": "http", "result": "accepted"}, 1},
		{"ramen_backend_publishes_total", map[string]string{"side": "http", "result": "duplicate"}, 1},
		{"ramen_backend_publishes_total", map[string]string{"side": "http", "result": "invalid_argument"}, 1},
		{"ramen_backend_publishes_total", map[string]string{"side": "grpc", "result": "accepted"}, 0},
		{"ramen_backend_requests_total", map[string]string{"side": "http", "call": "publish", "code": "ok"}, 1},
		{"ramen_backend_requests_total", map[string]string{"side": "http", "call": "publish", "code": "invalid_argument"}, 1},
		{"ramen_backend_requests_total", map[string]string{"side": "http", "call": "other", "code": "not_found"}, 1},
		{"ramen_backend_batch_messages", map[string]string{"side": "http"}, 1},
		{"ramen_backend_request_seconds", map[string]string{"side": "http", "call": "publish"}, 2},
	} {
		if got := r.counter(t, c.name, c.labels); got != c.want {
			t.Errorf("%s%v is %v, want %v", c.name, c.labels, got, c.want)
		}
	}
}

// A client that writes its whole request before it reads must get to read why it was refused.
func TestARefusedBodyIsReadToItsEnd(t *testing.T) {
	r := newRig(t, nil, nil)
	server := httptest.NewServer(r.server.Handler(nil))
	defer server.Close()
	for _, size := range []int{4<<20 + 1, 6 << 20, 20 << 20} {
		c, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for range 2 { // the connection goes on, too
			if _, err := fmt.Fprintf(c, "POST /v1/publish HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n%s", c.RemoteAddr(), size, make([]byte, size)); err != nil {
				t.Fatalf("%d bytes: %v", size, err)
			}
			answer, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Fatalf("%d bytes: %v", size, err)
			}
			if answer.StatusCode != http.StatusRequestEntityTooLarge {
				t.Errorf("%d bytes: %s", size, answer.Status)
			}
		}
	}
}
