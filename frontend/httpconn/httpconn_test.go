package httpconn

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"ramen/internal/testcert"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

// patience bounds every wait of these tests.
const patience = 20 * time.Second

// serve serves h, in cleartext or over TLS, until the test ends.
func serve(t *testing.T, h *http.Server, secure bool) (dial func() net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var config *tls.Config
	if secure {
		config = &tls.Config{Certificates: []tls.Certificate{testcert.SelfSigned("ramen").TLS()}}
	}
	done := make(chan error, 1)
	go func() { done <- Serve(h, l, config) }()
	t.Cleanup(func() {
		h.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return func() net.Conn {
		t.Helper()
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if secure {
			c = tls.Client(c, &tls.Config{InsecureSkipVerify: true})
		}
		c.SetDeadline(time.Now().Add(patience))
		t.Cleanup(func() { c.Close() })
		return c
	}
}

func both(t *testing.T, test func(t *testing.T, secure bool)) {
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprintf("tls=%v", secure), func(t *testing.T) { test(t, secure) })
	}
}

func echo(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	fmt.Fprintf(w, "%s %s %s", r.Method, r.URL.Path, body)
}

// TestFix10RefusalsOfNetHTTPAreTheContracts: whatever is wrong with a request, the answer has an error's JSON body. SPEC 4.
func TestFix10RefusalsOfNetHTTPAreTheContracts(t *testing.T) {
	both(t, func(t *testing.T, secure bool) {
		dial := serve(t, &http.Server{Handler: http.HandlerFunc(echo), MaxHeaderBytes: 8 << 10}, secure)
		for _, c := range []struct {
			name, request string
			status        int
			says          string
		}{
			{"no request", "hello\r\n\r\n", 400, "the request is malformed"},
			{"no Host", "GET / HTTP/1.1\r\n\r\n", 400, "missing required Host header"},
			{"two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "the request is malformed"},
			{"bad Host", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400, "malformed Host header"},
			{"bad field name", "GET / HTTP/1.1\r\nHost: a\r\nA B: c\r\n\r\n", 400, "the request is malformed"},
			{"bad field value", "GET / HTTP/1.1\r\nHost: a\r\nA: b\x01c\r\n\r\n", 400, "the request is malformed"},
			{"bad escape", "GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", 400, "the request is malformed"},
			{"bad length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", 400, "the request is malformed"},
			{"two lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400, "the request is malformed"},
			{"long head", "GET / HTTP/1.1\r\nHost: a\r\nA: " + strings.Repeat("x", 64<<10) + "\r\n\r\n", 431, "at most 8192 bytes"},
			{"long line", "GET /" + strings.Repeat("x", 64<<10) + " HTTP/1.1\r\nHost: a\r\n\r\n", 431, "at most 8192 bytes"},
			{"bad coding", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501, "use chunked"},
			{"HTTP/3.0", "GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505, "use HTTP/1.1"},
			{"HTTP/0.9", "GET / HTTP/0.9\r\nHost: a\r\n\r\n", 505, "use HTTP/1.1"},
			{"no version", "GET / HTTP\r\nHost: a\r\n\r\n", 400, "the request is malformed"},
			{"expectation", "POST / HTTP/1.1\r\nHost: a\r\nExpect: wonders\r\nContent-Length: 1\r\n\r\nx", 417, "100-continue"},
			{"much behind it", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n" + strings.Repeat("x", 200<<10), 400, "malformed Host header"},
			{"behind a good one", "GET /one HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\n\r\n", 400, "missing required Host header"},
		} {
			conn := dial()
			go io.WriteString(conn, c.request) // it may be cut off
			r := bufio.NewReader(conn)
			resp, err := http.ReadResponse(r, nil)
			if err == nil && c.name == "behind a good one" {
				io.Copy(io.Discard, resp.Body)
				resp, err = http.ReadResponse(r, nil)
			}
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
				continue
			}
			var body struct {
				Error struct{ Code, Message string }
			}
			err = json.NewDecoder(resp.Body).Decode(&body)
			if err != nil || resp.StatusCode != c.status || resp.Header.Get("Content-Type") != "application/json" || !resp.Close || resp.Header.Get("Date") == "" ||
				body.Error.Code == "" || !strings.Contains(body.Error.Message, c.says) {
				t.Errorf("%s: %s %v %+v %v", c.name, resp.Status, resp.Header, body, err)
			}
			if _, err := r.ReadByte(); err == nil {
				t.Errorf("%s: something follows the answer", c.name)
			}
		}
	})
}

// TestAnswersOfHandlersAreLeftAlone, though they have what net/http's have.
func TestAnswersOfHandlersAreLeftAlone(t *testing.T) {
	both(t, func(t *testing.T, secure bool) {
		dial := serve(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			w.Header().Set("Connection", "close")
			w.WriteHeader(http.StatusBadRequest)
			io.WriteString(w, "400 Bad Request")
		})}, secure)
		c := dial()
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "400 Bad Request" {
			t.Errorf("%q %v", body, err)
		}
	})
}

// TestFix10HTTPOnATLSPortIsToldSo in cleartext.
func TestFix10HTTPOnATLSPortIsToldSo(t *testing.T) {
	dial := serve(t, &http.Server{Handler: http.HandlerFunc(echo)}, true)
	c := dial().(*tls.Conn).NetConn()
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != 400 || !strings.Contains(string(body), `"message":"this port speaks TLS: use https"`) {
		t.Errorf("%s %s", resp.Status, body)
	}
}

// TestFix22LengthBesideCodingEndsTheConnection, and neither alone does. RFC 9112 6.1.
func TestFix22LengthBesideCodingEndsTheConnection(t *testing.T) {
	const chunk = "4\r\nbody\r\n0\r\n\r\n"
	both(t, func(t *testing.T, secure bool) {
		dial := serve(t, &http.Server{Handler: http.HandlerFunc(echo)}, secure)
		for _, c := range []struct {
			name     string
			requests []string
			closes   bool // after the last
		}{
			{"coding and length", []string{"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n" + chunk}, true},
			{"length and coding", []string{"POST / HTTP/1.1\r\nHost: a\r\nCONTENT-LENGTH: 4\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk}, true},
			{"bare line ends", []string{"POST / HTTP/1.1\nHost: a\ncontent-length: 4\nTransfer-Encoding: chunked\n\n" + chunk}, true},
			{"behind others", []string{"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk,
				"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n" + chunk}, true},
			{"a coding before HTTP/1.1", []string{"POST / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\nbody"}, true},
			{"length", []string{"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody"}, false},
			{"coding", []string{"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk}, false},
			{"by turns", []string{"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk,
				"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk}, false},
			{"neither", []string{"GET / HTTP/1.1\r\nHost: a\r\n\r\n"}, false},
			{"HTTP/1.0 that stays", []string{"POST / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nContent-Length: 4\r\n\r\nbody"}, false},
		} {
			for _, pieces := range []bool{false, true} {
				conn := dial()
				r := bufio.NewReader(conn)
				for i, request := range c.requests {
					send := []string{request}
					if pieces {
						send = strings.SplitAfter(request, "t")
					}
					for _, s := range send {
						io.WriteString(conn, s)
					}
					resp, err := http.ReadResponse(r, nil)
					if err != nil {
						t.Fatalf("%s: %v", c.name, err)
					}
					body, _ := io.ReadAll(resp.Body)
					last := i == len(c.requests)-1
					if resp.StatusCode != 200 || resp.Close != (last && c.closes) || strings.HasPrefix(request, "POST") && string(body) != "POST / body" {
						t.Errorf("%s, request %d: %s %v %q", c.name, i+1, resp.Status, resp.Header, body)
					}
				}
				if c.closes {
					if b, err := r.ReadByte(); err == nil {
						t.Errorf("%s: %q follows the answer", c.name, b)
					}
				}
				conn.Close()
			}
		}
	})
}

// TestBothProtocolsAreServedUnderTLS: what is negotiated, and r.TLS is there.
func TestBothProtocolsAreServedUnderTLS(t *testing.T) {
	h := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Proto, " ", r.TLS != nil && r.TLS.HandshakeComplete)
	})}
	dial := serve(t, h, true)
	at := dial().RemoteAddr().String()
	for _, two := range []bool{false, true} {
		p := new(http.Protocols)
		p.SetHTTP1(!two)
		p.SetHTTP2(two)
		tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, Protocols: p}
		resp, err := (&http.Client{Transport: tr, Timeout: patience}).Get("https://" + at)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		tr.CloseIdleConnections()
		if want := map[bool]string{false: "HTTP/1.1 true", true: "HTTP/2.0 true"}[two]; string(body) != want {
			t.Errorf("%q, not %q", body, want)
		}
	}
}

// TestHandshakesEndWithTheServer, and one that takes longer than a head may is cut off.
func TestHandshakesEndWithTheServer(t *testing.T) {
	h := &http.Server{Handler: http.HandlerFunc(echo), ReadHeaderTimeout: time.Minute}
	c := serve(t, h, true)().(*tls.Conn).NetConn()
	if _, err := c.Write([]byte{22, 3, 1}); err != nil {
		t.Fatal(err)
	}
	h.Close()
	if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, net.ErrClosed) {
		t.Errorf("read: %v", err)
	}
	h = &http.Server{Handler: http.HandlerFunc(echo), ReadHeaderTimeout: 10 * time.Millisecond}
	c = serve(t, h, true)().(*tls.Conn).NetConn()
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("something came")
	}
}

// FuzzLineCounter: a line is found wherever the bytes are cut.
func FuzzLineCounter(f *testing.F) {
	f.Add([]byte("GET / HTTP/1.1\r\nContent-Length: 4\r\n\r\n\n\ncontent-lengthcontent-length\n"), uint8(3))
	f.Fuzz(func(t *testing.T, b []byte, cut uint8) {
		l := lineCounter{name: "\ncontent-length"}
		for rest := b; len(rest) > 0; {
			n := min(len(rest), int(cut)+1)
			l.feed(rest[:n])
			rest = rest[n:]
		}
		lower := []byte(b)
		for i, c := range lower {
			if c >= 'A' && c <= 'Z' {
				lower[i] = c + 'a' - 'A'
			}
		}
		if want := strings.Count(string(lower), "\ncontent-length"); l.n.Load() != int64(want) {
			t.Fatalf("%d lines are counted, not %d", l.n.Load(), want)
		}
	})
}

// TestFix10TextOfAPayloadIsNoAnswer: a body that is written in parts may have any text at the head of a part.
func TestFix10TextOfAPayloadIsNoAnswer(t *testing.T) {
	both(t, func(t *testing.T, secure bool) {
		for _, text := range []string{"HTTP/1.1 417 ", "HTTP/1.1 400 Bad Request", "HTTP/1.1 431 "} {
			for pad := range len(text) {
				want := `"` + strings.Repeat("x", pad) + strings.Repeat(text, 900) + `"`
				dial := serve(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Content-Length", strconv.Itoa(len(want)))
					io.WriteString(w, want)
				})}, secure)
				c := dial()
				io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
				resp, err := http.ReadResponse(bufio.NewReader(c), nil)
				if err != nil {
					t.Fatal(err)
				}
				if body, err := io.ReadAll(resp.Body); err != nil || string(body) != want {
					t.Errorf("%q behind %d: %d bytes, %v", text, pad, len(body), err)
				}
			}
		}
	})
}
