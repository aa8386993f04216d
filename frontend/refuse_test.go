package frontend

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"ramen/link"
	"ramen/protocol"
)

// A wish that cannot be granted, and what it is answered.
type wrong struct {
	name  string
	query string
	code  protocol.Code
}

var wrongWishes = []wrong{
	{"no user", "device=d", protocol.CodeInvalidArgument},
	{"no device", "user=u", protocol.CodeInvalidArgument},
	{"empty device", "user=u&device=", protocol.CodeInvalidArgument},
	{"space in the user", "user=a%20b&device=d", protocol.CodeInvalidArgument},
	{"long device", "user=u&device=" + strings.Repeat("d", 129), protocol.CodeInvalidArgument},
	{"user twice", "user=u&user=u&device=d", protocol.CodeInvalidArgument},
	{"cursor of wrong characters", "user=u&device=d&cursor=a%2Fb", protocol.CodeInvalidArgument},
	{"long cursor", "user=u&device=d&cursor=" + strings.Repeat("k", 129), protocol.CodeInvalidArgument},
	{"seq is no number", "user=u&device=d&seq=x", protocol.CodeInvalidArgument},
	{"seq is negative", "user=u&device=d&seq=-1&stream=s", protocol.CodeInvalidArgument},
	{"stream of wrong characters", "user=u&device=d&seq=1&stream=a%20b", protocol.CodeInvalidArgument},
	{"window 0", "user=u&device=d&window=0", protocol.CodeInvalidArgument},
	{"window is no number", "user=u&device=d&window=many", protocol.CodeInvalidArgument},
	{"heartbeat_ms too short", "user=u&device=d&heartbeat_ms=999", protocol.CodeInvalidArgument},
	{"heartbeat_ms too long", "user=u&device=d&heartbeat_ms=60001", protocol.CodeInvalidArgument},
	{"heartbeat_ms is no number", "user=u&device=d&heartbeat_ms=4s", protocol.CodeInvalidArgument},
	{"heartbeat unknown", "user=u&device=d&heartbeat=loud", protocol.CodeInvalidArgument},
	{"context too large", "user=u&device=d&app=" + strings.Repeat("a", 1025), protocol.CodeInvalidArgument},
	{"too many labels", "user=u&device=d" + labels(17), protocol.CodeInvalidArgument},
	{"label twice", "user=u&device=d&label.a=1&label.a=2", protocol.CodeInvalidArgument},
	{"bad escape", "user=u&device=d&app=%zz", protocol.CodeInvalidArgument},
}

func labels(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString("&label.")
		b.WriteByte(byte('a' + i))
		b.WriteString("=1")
	}
	return b.String()
}

func (b *bench) get(path, query string, header ...string) (*http.Response, *protocol.Error) {
	b.tb.Helper()
	return b.do("GET", path, query, header...)
}

func (b *bench) do(method, path, query string, header ...string) (*http.Response, *protocol.Error) {
	b.tb.Helper()
	r, err := http.NewRequest(method, "http://"+b.plain+path+"?"+query, nil)
	if err != nil {
		b.tb.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := b.client().Do(r)
	if err != nil {
		b.tb.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.Header.Get("Content-Type") != "application/json" || method == "HEAD" {
		return resp, nil
	}
	var body struct {
		Error struct{ Code, Message string }
	}
	if err := json.NewDecoder(resp.Body).Decode(&body); err != nil {
		b.tb.Fatalf("body: %v", err)
	}
	return resp, &protocol.Error{Code: protocol.Code(body.Error.Code), Message: body.Error.Message}
}

func TestWrongWishIsRefused(t *testing.T) {
	b := newBench(t, nil)
	for _, path := range []string{"/ramen/receive", "/ramen/poll"} {
		for _, w := range wrongWishes {
			resp, e := b.get(path, w.query)
			if e == nil || e.Code != w.code || resp.StatusCode != w.code.HTTPStatus() || e.Message == "" {
				t.Errorf("%s: %s: answered %s %v", path, w.name, resp.Status, e)
			}
		}
	}
	for _, w := range wrongWishes {
		v, err := url.ParseQuery(w.query)
		if err != nil {
			continue // the dialer encodes
		}
		wantClosed(t, b, v, 4400, w.name)
	}
	b.g.mu.Lock()
	defer b.g.mu.Unlock()
	if len(b.g.opens) != 0 {
		t.Errorf("the gateway was asked for %+v", b.g.opens)
	}
}

// wantClosed wants a WebSocket to be upgraded, then closed with code as its first frame.
func wantClosed(t *testing.T, b *bench, v url.Values, code int, what string) {
	t.Helper()
	s := dialSocket(b, v, "ramen.v1.json")
	f, err := s.next()
	var ce *closeError
	if !errors.As(err, &ce) || ce.code != code || ce.text == "" {
		t.Errorf("ws: %s: answered %+v, %v; not %d", what, f, err, code)
	}
}

func TestWrongOpenFrameIsRefused(t *testing.T) {
	b := newBench(t, nil)
	good := protocol.OpenFrame{User: "u", Device: "d"}
	for name, change := range map[string]func(o *protocol.OpenFrame){
		"no user":      func(o *protocol.OpenFrame) { o.User = "" },
		"no device":    func(o *protocol.OpenFrame) { o.Device = "" },
		"bad cursor":   func(o *protocol.OpenFrame) { o.Cursor = "a/b" },
		"bad stream":   func(o *protocol.OpenFrame) { o.Stream, o.HasSeq = "a b", true },
		"bad interval": func(o *protocol.OpenFrame) { o.HeartbeatMS = 5 },
		"big context":  func(o *protocol.OpenFrame) { o.Context = &protocol.DeviceContext{App: strings.Repeat("a", 1025)} },
	} {
		o := good
		change(&o)
		g := newRPC(b)
		g.say(&protocol.DeviceFrame{Kind: protocol.FrameOpen, Open: o})
		f, err := within(t, g)
		if err != nil || f.Kind != protocol.ServerGoAway || f.GoAway.Reason != protocol.ReasonInvalidArgument {
			t.Errorf("%s: answered %+v, %v", name, f, err)
			continue
		}
		wantOver(t, g, protocol.ReasonInvalidArgument)
	}
}

func TestFirstFrameMustBeOpen(t *testing.T) {
	b := newBench(t, func(c *Config, _ *Deps) { c.OpenTimeout = 200 * time.Millisecond })
	for name, say := range map[string]func(g *rpc){
		"ack first":     func(g *rpc) { g.say(ackSeq(1)) },
		"nothing set":   func(g *rpc) { g.say(&protocol.DeviceFrame{}) },
		"never a frame": func(g *rpc) {},
		"half-closed":   func(g *rpc) { g.stream.CloseSend() },
		"garbage":       func(g *rpc) { g.stream.SendMsg(rawFrame([]byte{0xff, 0xff, 0xff})) },
	} {
		g := newRPC(b)
		say(g)
		if f, err := within(t, g); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s: answered %+v, %v", name, f, err)
		}
	}
}

func TestSecondOpenEndsTheStream(t *testing.T) {
	b := newBench(t, nil)
	g := dialGRPC(b, asking("u", "d"))
	want(t, g, protocol.ServerHello)
	g.say(&protocol.DeviceFrame{Kind: protocol.FrameOpen, Open: protocol.OpenFrame{User: "u", Device: "e"}})
	wantOver(t, g, protocol.ReasonInvalidArgument)
}

func someTokens() tokens {
	far := time.Now().Add(time.Hour)
	return tokens{
		"u":     {User: "u", Expires: far},
		"u/d":   {User: "u", Device: "d", Expires: far},
		"u/e":   {User: "u", Device: "e", Expires: far},
		"other": {User: "other", Expires: far},
		"stale": {User: "u", Expires: time.Now().Add(-time.Second)},
	}
}

func TestTokensDecideWhoItIs(t *testing.T) {
	b := newBench(t, func(_ *Config, d *Deps) { d.Tokens = someTokens() })
	for _, c := range []struct {
		query, header string
		code          protocol.Code
		closed        int
	}{
		{"device=d", "", protocol.CodeUnauthenticated, 4401},
		{"device=d&token=bad", "", protocol.CodeUnauthenticated, 4401},
		{"device=d&token=stale", "", protocol.CodeUnauthenticated, 4401},
		{"device=d", "Basic abc", protocol.CodeUnauthenticated, 0},
		{"device=d&token=u", "Bearer bad", protocol.CodeUnauthenticated, 0}, // the header wins
		{"device=d&token=u&user=other", "", protocol.CodePermissionDenied, 4403},
		{"device=e&token=u/d", "", protocol.CodePermissionDenied, 4403},
		{"token=u", "", protocol.CodeInvalidArgument, 4400},
	} {
		var header []string
		if c.header != "" {
			header = []string{"Authorization", c.header}
		}
		for _, path := range []string{"/ramen/receive", "/ramen/poll", "/ramen/ack"} {
			resp, e := b.get(path, c.query+"&cursor=k", header...)
			if e == nil || e.Code != c.code || resp.StatusCode != c.code.HTTPStatus() {
				t.Errorf("%s?%s (%s): answered %s %v", path, c.query, c.header, resp.Status, e)
			}
		}
		if c.closed != 0 {
			v, _ := url.ParseQuery(c.query)
			wantClosed(t, b, v, c.closed, c.query)
		}
	}
	for _, good := range []string{"token=u&device=d", "token=u/d", "token=u/d&device=d&user=u"} {
		v, _ := url.ParseQuery(good)
		for _, d := range dialers {
			want(t, d.dial(b, v), protocol.ServerHello)
		}
	}
}

func TestOwnersRefusalIsTold(t *testing.T) {
	for _, c := range []struct {
		err    error
		events protocol.Reason // goaway of a 200
		closed int
		code   codes.Code
		poll   int
	}{
		{protocol.Errorf(protocol.CodeUnavailable, "no owner"), protocol.ReasonUnavailable, 1013, codes.Unavailable, 503},
		{protocol.Errorf(protocol.CodeResourceExhausted, "64 devices"), protocol.ReasonResourceExhausted, 4529, codes.ResourceExhausted, 429},
		{link.ErrLost, protocol.ReasonUnavailable, 1013, codes.Unavailable, 503},
		{errors.New("secret"), protocol.ReasonInternal, 1011, codes.Internal, 500},
	} {
		b := newBench(t, nil)
		b.g.openErr = func(link.Open) error { return c.err }
		e := dialSSE(b, asking("u", "d")).(*events)
		g := wantEnd(t, e, c.events)
		if e.retry < 2000 || e.retry > 10_000 || strings.Contains(g.Detail, "secret") {
			t.Errorf("%v: retry %d, detail %q", c.err, e.retry, g.Detail)
		}
		wantClosed(t, b, asking("u", "d"), c.closed, c.err.Error())
		r := dialGRPC(b, asking("u", "d"))
		if f, err := within(t, r); err != nil || f.Kind != protocol.ServerGoAway {
			t.Errorf("%v: gRPC answered %+v %v", c.err, f, err)
		}
		if _, err := within(t, r); status.Code(err) != c.code {
			t.Errorf("%v: gRPC ended with %v", c.err, err)
		}
		resp, _ := b.get("/ramen/poll", "user=u&device=d")
		if resp.StatusCode != c.poll || (c.poll != 500) != (resp.Header.Get("Retry-After") != "") {
			t.Errorf("%v: poll answered %s %v", c.err, resp.Status, resp.Header)
		}
	}
}

func TestOverloadIsToldByTransport(t *testing.T) {
	b := newBench(t, func(c *Config, _ *Deps) { c.MaxStreams = 1 })
	want(t, dialSSE(b, asking("u", "d")), protocol.ServerHello)
	refusedEverywhere(t, b, protocol.ReasonUnavailable, 503)
}

// TestFix21DevicesReadyWhileStreamsAreServed, and it says why not.
func TestFix21DevicesReadyWhileStreamsAreServed(t *testing.T) {
	var why error
	b := newBench(t, func(c *Config, d *Deps) { c.MaxStreams, d.Ready = 1, func() error { return why } })
	ready := func(want string) {
		t.Helper()
		resp, err := b.client().Get("http://" + b.plain + "/readyz")
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if (resp.StatusCode == 200) != (want == "ok") || !strings.Contains(string(body), want) {
			t.Errorf("%s: %s, not %q", resp.Status, body, want)
		}
	}
	ready("ok")
	why = errors.New("this process owns no users")
	ready("owns no users")
	why = nil
	d := dialSSE(b, asking("u", "d"))
	want(t, d, protocol.ServerHello)
	ready("the limit of streams is reached")
	d.close()
	b.until("streams have ended", func() bool { return b.s.Admission.Len() == 0 })
	ready("ok")
	if err := b.s.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	ready("draining")
}

func TestDrainingServerRefuses(t *testing.T) {
	b := newBench(t, nil)
	if resp, _ := b.get("/readyz", ""); resp.StatusCode != 200 {
		t.Errorf("readyz: %s", resp.Status)
	}
	if err := b.s.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	refusedEverywhere(t, b, protocol.ReasonDrain, 503)
	if resp, _ := b.get("/readyz", ""); resp.StatusCode != 503 {
		t.Errorf("readyz: %s", resp.Status)
	}
	if resp, _ := b.get("/healthz", ""); resp.StatusCode != 200 {
		t.Errorf("healthz: %s", resp.Status)
	}
}

func TestSourceThatOpensTooFastIsSlowedDown(t *testing.T) {
	b := newBench(t, func(c *Config, _ *Deps) { c.MaxStreamsPerSource = 1 })
	want(t, dialSSE(b, asking("u", "d")), protocol.ServerHello)
	refusedEverywhere(t, b, protocol.ReasonResourceExhausted, 429)
	b = newBench(t, func(c *Config, _ *Deps) { c.OpensPerSecondPerSource = 1 })
	b.get("/ramen/ack", "user=u&device=d&cursor=k")
	if resp, e := b.get("/ramen/ack", "user=u&device=d&cursor=k"); resp.StatusCode != 429 || e == nil || resp.Header.Get("Retry-After") == "" {
		t.Errorf("second ack: %s %v", resp.Status, e)
	}
}

func refusedEverywhere(t *testing.T, b *bench, reason protocol.Reason, poll int) {
	t.Helper()
	for _, dial := range []func(*bench, url.Values) device{dialSSE, dialH2} {
		e := dial(b, asking("u", "e")).(*events)
		wantEnd(t, e, reason)
		if e.retry < 2000 || e.retry > 10_000 {
			t.Errorf("retry is %d", e.retry)
		}
	}
	g := dialGRPC(b, asking("u", "e"))
	wantEnd(t, g, reason)
	if resp, e := b.get("/ramen/poll", "user=u&device=e"); resp.StatusCode != poll || resp.Header.Get("Retry-After") == "" || e == nil {
		t.Errorf("poll: %s %v", resp.Status, e)
	}
	if reason == protocol.ReasonResourceExhausted {
		wantClosed(t, b, asking("u", "e"), 4529, "rate limit")
		return
	}
	resp, _ := b.get("/ramen/ws", "user=u&device=e", "Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "MDEyMzQ1Njc4OWFiY2RlZg==")
	if resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" {
		t.Errorf("ws: %s", resp.Status)
	}
}

func TestPathsAndMethods(t *testing.T) {
	b := newBench(t, nil)
	for _, c := range []struct {
		method, path string
		status       int
		allow        string
	}{
		{"POST", "/ramen/receive", 405, "GET, OPTIONS"},
		{"HEAD", "/ramen/receive", 405, "GET, OPTIONS"},
		{"DELETE", "/ramen/ack", 405, "GET, POST, OPTIONS"},
		{"OPTIONS", "/ramen/ack", 204, "GET, POST, OPTIONS"},
		{"PUT", "/healthz", 405, "GET, HEAD, OPTIONS"},
		{"HEAD", "/healthz", 200, ""},
		{"GET", "/readyz", 200, ""},
		{"GET", "/", 404, ""},
		{"GET", "/v1/publish", 404, ""},
		{"GET", "/metrics", 404, ""},
	} {
		resp, e := b.do(c.method, c.path, "")
		if resp.StatusCode != c.status || resp.Header.Get("Allow") != c.allow {
			t.Errorf("%s %s: %s, Allow %q", c.method, c.path, resp.Status, resp.Header.Get("Allow"))
		}
		if c.status == 405 && c.method != "HEAD" && (e == nil || e.Code != protocol.CodeInvalidArgument) {
			t.Errorf("%s %s: %v", c.method, c.path, e)
		}
	}
	if resp, _ := b.get("/ramen/ws", "user=u&device=d"); resp.StatusCode != 400 {
		t.Errorf("a request that is no handshake: %s", resp.Status)
	}
	h := []string{"Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "MDEyMzQ1Njc4OWFiY2RlZg=="}
	if resp, _ := b.get("/ramen/ws", "user=u&device=d", append(h, "Sec-WebSocket-Protocol", "chat")...); resp.StatusCode != 400 {
		t.Errorf("unknown subprotocol: %s", resp.Status)
	}
	if resp, e := b.get("/ramen/ws", "user=u&device=d", append(h, "Origin", "https://evil.example")...); resp.StatusCode != 403 || e == nil {
		t.Errorf("foreign origin: %s", resp.Status)
	}
}

func TestOriginsAreAnswered(t *testing.T) {
	b := newBench(t, func(c *Config, _ *Deps) { c.Origins = []string{"https://app.example"}; c.LoopbackOrigins = true })
	for origin, allowed := range map[string]bool{
		"https://app.example": true, "https://APP.example": true, "http://localhost:3000": true, "http://127.0.0.1": true, "http://[::1]:8": true,
		"null": true, "https://app.example.evil": false, "http://localhost.evil": false, "http://app.example": false,
	} {
		want := ""
		if allowed {
			want = origin
		}
		for _, c := range [][2]string{{"GET", "/ramen/poll"}, {"POST", "/ramen/ack"}, {"OPTIONS", "/ramen/receive"}, {"GET", "/ramen/receive"}} {
			resp, _ := b.do(c[0], c[1], "", "Origin", origin)
			if got := resp.Header.Get("Access-Control-Allow-Origin"); got != want {
				t.Errorf("%s %s from %s: allowed %q", c[0], c[1], origin, got)
			}
			if c[0] == "OPTIONS" && allowed != strings.Contains(resp.Header.Get("Access-Control-Allow-Headers"), "Last-Event-ID") {
				t.Errorf("preflight from %s: %v", origin, resp.Header)
			}
		}
	}
	c := dialTCP(t, b)
	resp, _ := dialRaw(t, c, "GET /ramen/receive?user=u&device=d HTTP/1.1\r\nHost: localhost\r\nOrigin: https://app.example\r\n\r\n")
	if resp.Header.Get("Access-Control-Allow-Origin") != "https://app.example" || resp.Header.Get("Cache-Control") != "no-cache, no-transform" ||
		resp.Header.Get("X-Accel-Buffering") != "no" || resp.Header.Get("Vary") != "Origin" {
		t.Errorf("the stream's head is %v", resp.Header)
	}
}

func TestAckBesideTheStream(t *testing.T) {
	b := newBench(t, nil)
	d := dialSSE(b, asking("u", "d")).(*events)
	want(t, d, protocol.ServerHello)
	b.g.publish("u", "d", 5, `1`)
	p := wantPushes(t, d, 0, 5)
	for _, c := range []struct {
		query  string
		status int
	}{
		{"user=u&device=d", 400},
		{"user=u&device=d&seq=1", 400},
		{"user=u&device=d&seq=x&stream=" + d.stream, 400},
		{"user=u&device=d&cursor=a%20b", 400},
		{"user=u&device=d&cursor=foreign", 400},
		{"user=u&device=d&seq=1&stream=other", 404},
		{"user=u&device=d&seq=2&stream=" + d.stream, 204},
		{"user=u&device=d&seq=9&stream=x&cursor=" + p.Cursor, 204}, // the cursor counts
	} {
		if resp, e := b.do("POST", "/ramen/ack", c.query); resp.StatusCode != c.status {
			t.Errorf("%s: %s %v", c.query, resp.Status, e)
		}
	}
	if resp, _ := b.get("/ramen/ack", "user=u&device=d&cursor="+p.Cursor); resp.StatusCode != 204 || resp.ContentLength > 0 {
		t.Errorf("GET: %s", resp.Status)
	}
	b.g.mu.Lock()
	defer b.g.mu.Unlock()
	if got := b.g.queueLocked("u", "d").acked; got != 5 {
		t.Errorf("acked up to %d", got)
	}
}
