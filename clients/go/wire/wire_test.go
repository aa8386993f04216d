package wire

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"ramen/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// SPEC 2.13: at once up to 1 s, doubling, at most 30 s, full jitter.
func TestBackoffDoublesToItsMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := Backoff{Rand: func(n int64) int64 { return n - 1 }}
		begin := time.Now()
		sum := time.Duration(0)
		for _, want := range []time.Duration{1, 2, 4, 8, 16, 30, 30, 30} {
			sum += want * time.Second
			time.Sleep(b.Next())
			if got := time.Since(begin); got != sum {
				t.Fatalf("slept %v in all, want %v", got, sum)
			}
		}
		b.Reset()
		if got := b.Next(); got != time.Second {
			t.Errorf("after a reset the first pause is up to %v", got)
		}
	})
}

func TestBackoffIsFullJitter(t *testing.T) {
	var low, high int
	for range 1000 {
		var b Backoff
		switch d := b.Next(); {
		case d < 0 || d > time.Second:
			t.Fatalf("first pause is %v", d)
		case d < time.Second/2:
			low++
		default:
			high++
		}
	}
	if low < 300 || high < 300 {
		t.Errorf("%d pauses below half a second, %d above", low, high)
	}
}

func TestQueryIsSPEC4(t *testing.T) {
	q := Query(&protocol.OpenFrame{
		User: "u", Device: "d", Cursor: "k1", Token: "secret", Window: 5, HeartbeatMS: 2000,
		Context: &protocol.DeviceContext{App: "a", AppVersion: "1", OS: "o", OSVersion: "2", Model: "m", Locale: "l", Labels: map[string]string{"x y": "z&"}},
	})
	want := "app=a&app_version=1&cursor=k1&device=d&heartbeat_ms=2000&label.x+y=z%26&locale=l&model=m&os=o&os_version=2&user=u&window=5"
	if got := q.Encode(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := Query(&protocol.OpenFrame{Device: "d", HasSeq: true, Seq: 7, Stream: "s"}).Encode(); got != "device=d&seq=7&stream=s" {
		t.Errorf("first form: %s", got)
	}
}

func TestErrorsAreRead(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
		retry  string
		reason protocol.Reason
		after  time.Duration
	}{
		{401, `{"error":{"code":"unauthenticated","message":"m"}}`, "", protocol.ReasonUnauthenticated, 0},
		{401, `<html>`, "", protocol.ReasonUnauthenticated, 0},
		{403, `{"error":{"code":"permission_denied","message":"m"}}`, "", protocol.ReasonPermissionDenied, 0},
		{403, `blocked by proxy`, "", protocol.ReasonNone, 0},
		{404, `{"error":{"code":"not_found","message":"m"}}`, "", protocol.ReasonNone, 0},
		{503, `{"error":{"code":"unavailable","message":"m"}}`, "3", protocol.ReasonUnavailable, 3 * time.Second},
		{503, `nginx`, "99999", protocol.ReasonNone, maxRetryAfter},
		{429, `{"error":{"code":"resource_exhausted","message":"m"}}`, "-1", protocol.ReasonResourceExhausted, 0},
	} {
		h := http.Header{}
		h.Set("Retry-After", c.retry)
		e := ReadError(&http.Response{StatusCode: c.status, Status: "x", Header: h, Body: io.NopCloser(strings.NewReader(c.body))})
		if e.Reason != c.reason || e.RetryAfter != c.after {
			t.Errorf("%d %s: %v after %v, want %v after %v", c.status, c.body, e.Reason, e.RetryAfter, c.reason, c.after)
		}
	}
}

func FuzzReadError(f *testing.F) {
	f.Add(`{"error":{"code":"unavailable","message":"m"}}`, "1")
	f.Add(`{"error":1}`, "x")
	f.Fuzz(func(t *testing.T, body, retry string) {
		h := http.Header{"Retry-After": {retry}}
		e := ReadError(&http.Response{StatusCode: 503, Header: h, Body: io.NopCloser(strings.NewReader(body))})
		if e.RetryAfter < 0 || e.RetryAfter > maxRetryAfter || len(e.Error()) > 3*maxErrorBody {
			t.Errorf("%+v", e)
		}
	})
}

// SPEC 6
func TestCloseCodesAreReasons(t *testing.T) {
	for code, want := range map[int]protocol.Reason{
		1000: protocol.ReasonNone, 1006: protocol.ReasonNone, 1001: protocol.ReasonDrain, 1013: protocol.ReasonUnavailable,
		4400: protocol.ReasonInvalidArgument, 4401: protocol.ReasonUnauthenticated, 4403: protocol.ReasonPermissionDenied,
		4404: protocol.ReasonDisconnected, 4409: protocol.ReasonSuperseded, 4508: protocol.ReasonAckTimeout,
		4513: protocol.ReasonTooSlow, 4529: protocol.ReasonResourceExhausted, 4999: protocol.ReasonNone,
	} {
		if e := endOfWS(&websocket.CloseError{Code: code}); e.Reason != want {
			t.Errorf("%d is %v, want %v", code, e.Reason, want)
		}
	}
}

// A login page of a network is no stream.
func TestALoginPageIsNoStream(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "<html>please log in</html>")
	}))
	defer s.Close()
	d := Dialer{URL: s.URL}
	for _, tr := range []Transport{SSE, WSProto, WSJSON, Poll} {
		conn, err := d.Dial(t.Context(), tr, &protocol.OpenFrame{User: "u", Device: "d"}, nil)
		if err == nil {
			err = conn.Next(new(protocol.ServerFrame))
			_ = conn.Close()
		}
		var e *EndError
		if !errors.As(err, &e) || e.Reason != protocol.ReasonNone {
			t.Errorf("%s: %v", tr, err)
		}
	}
}

// Over TLS with HTTP/2, stream and acks share a connection of their own; a closed one ends Next.
func TestSSEOverHTTP2(t *testing.T) {
	acked := make(chan string, 1)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 || r.Header.Get("Authorization") != "Bearer t" {
			t.Errorf("%s with %q", r.Proto, r.Header.Get("Authorization"))
		}
		if r.URL.Path == "/base/ramen/ack" {
			acked <- r.URL.RawQuery
			w.WriteHeader(http.StatusNoContent)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		_, _ = w.Write(protocol.AppendSSEHello(nil, &protocol.Hello{Stream: "s"}, 500))
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}))
	s.EnableHTTP2 = true
	s.StartTLS()
	defer s.Close()
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	d := Dialer{URL: s.URL + "/base/", TLS: &tls.Config{RootCAs: roots}}
	alive := 0
	conn, err := d.Dial(t.Context(), SSE, &protocol.OpenFrame{User: "u", Device: "d", Token: "t"}, func() { alive++ })
	if err != nil {
		t.Fatal(err)
	}
	var f protocol.ServerFrame
	if err := conn.Next(&f); err != nil || f.Kind != protocol.ServerHello || f.Hello.Stream != "s" || alive == 0 {
		t.Fatalf("%+v, %v, %d signs of life", f, err, alive)
	}
	if err := conn.Ack(t.Context(), 1, "k1"); err != nil {
		t.Fatal(err)
	}
	if q := <-acked; q != "cursor=k1&device=d&user=u" {
		t.Errorf("acked by %s", q)
	}
	if err := conn.Refresh("t2", nil); !errors.Is(err, ErrOneWay) {
		t.Errorf("refresh: %v", err)
	}
	go func() { _ = conn.Close() }()
	if err := conn.Next(&f); err == nil {
		t.Error("Next outlived Close")
	}
}

func TestADialEndsWithItsContext(t *testing.T) {
	block := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { <-block }))
	defer s.Close()
	defer close(block)
	for _, tr := range []Transport{SSE, WS} {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		d := Dialer{URL: s.URL}
		if _, err := d.Dial(ctx, tr, &protocol.OpenFrame{User: "u", Device: "d"}, nil); err == nil {
			t.Errorf("%s: dialled", tr)
		}
		cancel()
	}
}

// A dialer with a network of its own reaches the server over it alone, whatever the transport.
func TestNetIsTheWayToTheServer(t *testing.T) {
	for _, transport := range []Transport{WS, WSJSON, SSE, GRPC} {
		ctx, cancel := context.WithCancel(t.Context())
		asked := ""
		d := Dialer{URL: "http://192.0.2.1:1", GRPC: "192.0.2.1:1", Net: func(_ context.Context, network, addr string) (net.Conn, error) {
			asked = network + " " + addr
			cancel() // gRPC would try again
			return nil, errors.New("no way")
		}}
		c, err := d.Dial(ctx, transport, &protocol.OpenFrame{User: "u", Device: "d"}, nil)
		if err == nil {
			c.Close()
		}
		cancel()
		if err == nil || asked != "tcp 192.0.2.1:1" {
			t.Errorf("%s: asked for %q, %v", transport, asked, err)
		}
	}
}

// TestFix10EndsSayTheirReasonOnce: an end's text repeats neither the reason nor what the server said.
func TestFix10EndsSayTheirReasonOnce(t *testing.T) {
	for _, e := range []*EndError{
		endOfGRPC(status.Error(codes.InvalidArgument, "invalid_argument: ack of seq 9 is beyond the last push")),
		endOfWS(&websocket.CloseError{Code: 4400, Text: "ack of seq 9 is beyond the last push"}),
		{Reason: protocol.ReasonInvalidArgument, Detail: "ack of seq 9 is beyond the last push", Err: protocol.Invalidf("ack of seq 9 is beyond the last push")},
	} {
		if want := "wire: stream ended: invalid_argument: ack of seq 9 is beyond the last push"; e.Error() != want {
			t.Errorf("%q, not %q", e, want)
		}
	}
	if e := cut(io.ErrUnexpectedEOF); e.Error() != "wire: stream ended: unexpected EOF" {
		t.Errorf("%q", e)
	}
}
