package accept

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ramen/frontend/sock"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 20 * time.Second

// place is an Acceptor on a real socket; what it opens is a line that says by which path it came.
type place struct {
	t    *testing.T
	addr string
	a    *Acceptor

	raw  bool   // requests can take the raw path
	open func() // called by Open, where it is not nil
}

func newPlace(t *testing.T, portable bool, open func()) *place {
	t.Helper()
	cfg := sock.Default()
	cfg.Portable = portable
	loop, err := sock.NewLoop(cfg)
	if err != nil {
		t.Fatal(err)
	}
	l, err := sock.Listen(t.Context(), "127.0.0.1:0", cfg)
	if err != nil {
		t.Fatal(err)
	}
	p := &place{t: t, addr: l.Addr().String()}
	p.a = New(Config{
		Paths: []string{"/open", "/other"}, HeadTimeout: patience, MaxHeadBytes: 8 << 10,
		Loop: loop, Frontend: p, Context: context.Background(), Logger: slog.New(slog.DiscardHandler),
	}, l)
	h := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "net/http") })}
	served := make(chan error, 1)
	go func() { served <- p.a.Serve(h) }()
	t.Cleanup(func() {
		h.Close()
		<-served
		loop.Close()
	})
	if p.raw = !portable && runtime.GOOS == "linux"; p.raw {
		p.untilRaw()
	}
	p.open = open
	return p
}

// untilRaw waits until the kernel keeps connections for their first bytes: one that came before is accepted without them.
func (p *place) untilRaw() {
	p.t.Helper()
	for late := time.Now().Add(patience); !strings.HasPrefix(p.ask("GET /open?q HTTP/1.1\r\nHost: a\r\n\r\n"), "raw "); {
		if time.Now().After(late) {
			p.t.Fatal("no connection takes the raw path")
		}
	}
}

// Open implements Frontend.
func (p *place) Open(r *Request) bool {
	if p.open != nil {
		p.open()
	}
	switch r.Head.Query {
	case "leave":
		return false
	case "refuse":
		r.WriteHeader(http.StatusTeapot)
		return true
	}
	if c, err := r.Attach(LastBytes{}); err == nil {
		fmt.Fprintf(c, "raw %s %s %s", r.Head.Path, r.Head.Query, r.Behind)
		c.Shutdown()
	}
	return true
}

// ServeHTTP implements Frontend.
func (p *place) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if c, err := FromHijacker(p.a.cfg.Loop, w.(http.Hijacker)).Attach(LastBytes{}); err == nil {
		fmt.Fprintf(c, "early %s %s", r.URL.Path, r.URL.RawQuery)
		c.Shutdown()
	}
}

// ResponseHeader implements Frontend.
func (p *place) ResponseHeader(h *RequestHead) http.Header {
	return http.Header{"X-Origin": {h.Origin}}
}

func (p *place) dial(send string) net.Conn {
	p.t.Helper()
	c, err := net.Dial("tcp", p.addr)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	io.WriteString(c, send)
	return c
}

// ask is what is answered, to the connection's end.
func (p *place) ask(send string) string {
	p.t.Helper()
	b, err := io.ReadAll(p.dial(send))
	if err != nil {
		p.t.Errorf("%q: %v", send, err)
	}
	return string(b)
}

// Each request takes the path that the package comment says.
func TestRequestsTakeTheirPath(t *testing.T) {
	const host = " HTTP/1.1\r\nHost: a\r\n"
	for _, portable := range []bool{false, true} {
		p := newPlace(t, portable, nil)
		raw := "early"
		if p.raw {
			raw = "raw"
		}
		for _, c := range []struct{ send, want string }{
			{"GET /open?q=1" + host + "\r\n", raw + " /open q=1"},
			{"GET /other?q" + host + "\r\n", raw + " /other q"},
			{"GET /open?q" + host + "a: b\nc: d\r\n\r\n", "early /open q"},
			{"GET /open?leave" + host + "\r\n", "early /open leave"},
			{"GET /opener?q" + host + "Connection: close\r\n\r\n", "net/http"},
			{"GET /open" + host + "Connection: close\r\n\r\n", "net/http"},
			{"POST /open?q" + host + "Connection: close\r\n\r\n", "net/http"},
			{"GET /open?q" + host + "Connection: close\r\nContent-Length: 1\r\n\r\nx", "net/http"},
		} {
			if got := p.ask(c.send); !strings.HasPrefix(got, c.want) && (!strings.HasPrefix(got, "HTTP/1.1 200 OK\r\n") || !strings.HasSuffix(got, c.want)) {
				t.Errorf("portable %v: %q is answered %q, not by %q", portable, c.send, got, c.want)
			}
		}
	}
}

// An answer in place of a stream has the header of the frontend, and ends the connection.
func TestAnswerInPlaceOfAStream(t *testing.T) {
	p := newPlace(t, false, nil)
	c := p.dial("GET /open?refuse HTTP/1.1\r\nHost: a\r\nOrigin: https://b\r\n\r\n")
	r := bufio.NewReader(c)
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusTeapot || resp.Header.Get("X-Origin") != "https://b" || !resp.Close || resp.Header.Get("Date") == "" {
		t.Errorf("%s %v", resp.Status, resp.Header)
	}
	if _, err := r.ReadByte(); err != io.EOF {
		t.Errorf("behind it: %v", err)
	}
}

// However many streams open at once, however long each takes, none waits for another.
func TestOpensDoNotWaitForEachOther(t *testing.T) {
	const streams = 200
	var all sync.WaitGroup
	all.Add(streams)
	p := newPlace(t, false, func() { all.Done(); all.Wait() })
	var conns []net.Conn
	for range streams {
		conns = append(conns, p.dial("GET /open?q HTTP/1.1\r\nHost: a\r\n\r\n"))
	}
	for _, c := range conns {
		if _, err := c.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
}
